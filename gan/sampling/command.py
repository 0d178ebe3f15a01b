"""What the commands that draw many images share: arguments, progress, and how they end."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gan.errors import GanServiceError
from gan.manifest import Manifest
from gan.model import Model
from gan.paths import user_path
from gan.sampling import sets
from gan.sampling.drawing import Wanted
from gan.sampling.seeds import Seeds
from gan.sampling.sets import Plan
from gan.sampling.shards import ShardFormat

T = TypeVar("T")

_MOST_VALUES = 2**28  # bytes of the pixels of one image, of which some are in memory at once


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


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A type for argparse that says why it refuses a text, which argparse does for its own error only."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except (GanServiceError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


@argument
def count(text: str) -> int:
    """A whole number from 1 on."""
    if not re.fullmatch("0*[1-9][0-9]{,17}", text):
        raise ValueError(f"must be a whole number, 1 or more, not {text[:100]!r}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which images are drawn, and where they are put."""
    parser.add_argument("model", type=argument(user_path), help="a model folder")
    parser.add_argument("--seeds", required=True, type=argument(Seeds.parse), metavar="SEEDS", help="such as 0-9999 or 1,5,10-20")
    parser.add_argument("--out", required=True, metavar="PLACE", help="a folder, or a file that ends in .png, .npz or .zip")
    parser.add_argument(
        "--format",
        choices=get_args(ShardFormat),
        help="shards in a folder: WebDataset's tar files, parquet, or zip; without, a PNG for each",
    )
    parser.add_argument(
        "--shard-size", type=count, metavar="N", help="images of a shard; 10,000, or fewer of large ones, if absent"
    )
    parser.add_argument("--label", metavar="CLASS", help="by name or index, or balanced, by turns; each seed's own if absent")
    parser.add_argument("--truncation", type=float, metavar="PSI", help="0 to 1: less variety for more typical images")
    parser.add_argument("--scale", type=count, default=1, metavar="N", help="whole-number enlargement (default: %(default)s)")


def plan_of(chosen: argparse.Namespace, model: Model, format: ShardFormat) -> Plan:
    """The shards that are asked for. Raises SampleError."""
    size = chosen.shard_size or sets.default_shard_size(model.manifest, chosen.scale)
    return Plan(chosen.seeds, wanted_of(chosen, model.manifest), format, size)


def wanted_of(chosen: argparse.Namespace, manifest: Manifest) -> Wanted:
    """How images are drawn. Raises SampleError."""
    values = manifest.channels * manifest.height * manifest.width * chosen.scale**2
    if values > _MOST_VALUES:
        raise SampleError(f"--scale {chosen.scale}: {values:,} bytes of pixels are too many for one image")
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
