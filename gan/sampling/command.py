"""What the commands that draw many images share: arguments, progress, and how they end."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gan.errors import GanServiceError
from gan.model import Model
from gan.paths import user_path
from gan.sampling import sets
from gan.sampling.drawing import Wanted
from gan.sampling.seeds import Seeds
from gan.sampling.sets import Plan
from gan.sampling.shards import ShardFormat


class SampleError(GanServiceError):
    """A request for images that cannot be met."""


def exit_status(command: str, run: Callable[[], None]) -> int:
    """Run a command; prints why it failed, or that it was stopped, and returns its exit status."""
    try:
        run()
    except GanServiceError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command}: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which images are drawn, and where they are put."""
    parser.add_argument("model", type=user_path, help="a model folder")
    parser.add_argument("--seeds", required=True, type=Seeds.parse, metavar="SEEDS", help="such as 0-9999 or 1,5,10-20")
    parser.add_argument("--out", required=True, metavar="PLACE", help="a folder, or a file that ends in .png, .npz or .zip")
    parser.add_argument(
        "--format",
        choices=get_args(ShardFormat),
        help="shards in a folder: WebDataset's tar files, parquet, or zip; without, a PNG for each",
    )
    parser.add_argument("--shard-size", type=int, metavar="N", help="images of a shard; 10,000, or fewer of large ones, if absent")
    parser.add_argument("--label", metavar="CLASS", help="by name or index, or balanced, by turns; each seed's own if absent")
    parser.add_argument("--truncation", type=float, metavar="PSI", help="0 to 1: less variety for more typical images")
    parser.add_argument("--scale", type=int, default=1, metavar="N", help="whole-number enlargement (default: %(default)s)")


def plan_of(chosen: argparse.Namespace, model: Model, format: ShardFormat) -> Plan:
    """The shards that are asked for. Raises SampleError."""
    size = sets.default_shard_size(model.manifest, chosen.scale) if chosen.shard_size is None else chosen.shard_size
    if size < 1:
        raise SampleError(f"--shard-size {size}: must be 1 or more")
    return Plan(chosen.seeds, wanted_of(chosen), format, size)


def wanted_of(chosen: argparse.Namespace) -> Wanted:
    """How images are drawn. Raises SampleError."""
    if chosen.scale < 1:
        raise SampleError(f"--scale {chosen.scale}: must be 1 or more")
    if chosen.truncation is not None and not 0 <= chosen.truncation <= 1:
        raise SampleError(f"--truncation {chosen.truncation}: must be a number from 0 to 1")
    return Wanted(chosen.label, chosen.truncation, chosen.scale)


@contextmanager
def progress(total: int, name: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, with the rate and the time left; yields a function to call with the number of new images."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    rate = TextColumn("{task.fields[rate]}")
    with Progress(*columns, rate, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, rate="")

        def advance(images: int) -> None:
            bar.advance(task, images)
            speed = bar.tasks[0].speed
            bar.update(task, rate="" if speed is None else f"{speed:,.0f} images/s")

        yield advance
