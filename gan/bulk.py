"""The command that draws millions of images on many processors and machines: `python -m gan.bulk`, on Ray."""

import argparse
import logging
import math
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, get_args

from gan import model
from gan.errors import GanServiceError
from gan.model import Model
from gan.runtimes import ENGINES
from gan.sampling import command, sets
from gan.sampling.drawing import draw
from gan.sampling.sets import Plan
from gan.sampling.shards import Shard, ShardFormat
from gan.sampling.store import Store

_EXAMPLES = """examples:
  python -m gan.bulk models/fashion-mnist --seeds 0-9999999 --out set/              on all processors of this machine
  python -m gan.bulk models/avatars --seeds 0-9999999 --label balanced --format parquet --out s3://bucket/avatars
  python -m gan.bulk models/avatars --seeds 0-9999999 --out s3://bucket/avatars --ray ray://head:10001

Every seed is drawn once. Shards appear whole; the same command skips those that are there. manifest.json, written last, lists each
with its seeds and its SHA-256. The extra 'bulk' installs Ray; --out of s3:// and gs:// needs the extras 's3' and 'gs'.
"""

_PATIENCE = 10.0  # seconds


class BulkError(GanServiceError):
    """Bulk generation that cannot begin or go on."""


class Drawer:
    """Makes shards, in a process of its own on any machine. Ray makes one of each; the model is loaded once."""

    def __init__(self, path: str, out: str, plan: Plan, runtime: str, threads: int, title: str) -> None:
        """Raises BulkError where this machine has another model, or another folder to write to, than the command."""
        self._model = model.load(path, runtime, threads=threads)
        if self._model.folder.title != title:
            raise BulkError(f"{path} is {self._model.folder.title} on this machine, not {title}: copy the same folder to all")
        self._store, self._plan = Store(out), plan
        if not sets.is_begun(self._store, plan.record(title)):
            raise BulkError(f"--out {out} is another folder on this machine: give one that all share, or s3:// or gs://")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make the shard at a place, or describe the one that is there; or say why not, which Ray would leave out."""
        place, shard, failure = int(row["place"]), Shard("", 0, 0, 0, ""), ""
        try:
            if row["there"]:
                shard = sets.described(self._store, self._plan, place)
            else:
                shard = sets.make_shard(self._model, self._store, self._plan, place)
        except GanServiceError as error:
            failure = str(error)
        return {"place": place, "failure": failure, **shard.as_json()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gan.bulk", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_arguments(parser)
    parser.set_defaults(format="webdataset")
    parser.add_argument("--runtime", choices=ENGINES, default="onnx", help="default: %(default)s")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="of a cluster; RAY_ADDRESS if absent, and without that Ray on this machine, started if none runs",
    )
    parser.add_argument(
        "--processes", type=command.count, metavar="N", help="that draw at once; as many as the cluster has room for if absent"
    )
    parser.add_argument(
        "--threads", type=command.count, default=1, metavar="N", help="processor threads of each process (default: %(default)s)"
    )
    parser.add_argument("--gpus", type=_gpus, default=0, metavar="N", help="GPUs of each process, such as 1 or 0.25 (default: 0)")
    chosen = parser.parse_args(arguments)
    assert chosen.format in get_args(ShardFormat), "the parser has seen to that"
    return command.exit_status("gan.bulk", lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> None:
    loaded = model.load(chosen.model, threads=1)
    plan = command.plan_of(chosen, loaded, chosen.format)
    draw(loaded, chosen.seeds[:1], plan.wanted)  # so that a wrong label is said before anything is started
    record, store = plan.record(loaded.folder.title), Store(chosen.out)
    sets.begin(store, record)
    sets.finish(store, record, _made(chosen, loaded, plan, store))


@command.argument
def _gpus(text: str) -> float:
    """A share of a GPU, or whole ones."""
    number = float(text)
    if not (0 <= number <= 1 or (number > 1 and number.is_integer())):
        raise ValueError(f"must be 0 to 1, or a whole number, not {text}")
    return number


def _made(chosen: argparse.Namespace, loaded: Model, plan: Plan, store: Store) -> list[Shard]:
    """All shards, once all are there. Raises BulkError."""
    try:
        import ray
    except ImportError as error:
        raise BulkError("gan.bulk needs Ray: install the extra 'bulk', or draw on one machine with python -m gan.sample") from error
    _connect(ray, chosen.ray)
    room = _room(ray, chosen.threads, chosen.gpus)
    processes = min(chosen.processes or room, room)
    missing = set(sets.unfinished(store, plan))
    rows = [{"place": place, "there": place not in missing} for place in range(len(plan))]
    arguments = (os.path.abspath(chosen.model), store.absolute, plan, chosen.runtime, chosen.threads, loaded.folder.title)  # noqa: PTH100
    drawer: Any = Drawer  # Ray takes classes too
    data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        drawer,
        fn_constructor_args=arguments,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=processes, initial_size=processes),
        num_cpus=chosen.threads,
        num_gpus=chosen.gpus,
    )  # Ray starts a process that dies anew, and makes its shard once more: the same bytes in the same place
    found: dict[int, Shard] = {}
    try:
        with command.progress(len(plan.seeds), loaded.manifest.name) as advance:
            for row in data.iter_rows():
                place, failure = row.pop("place"), row.pop("failure")
                if failure:
                    raise BulkError(failure)
                found[place] = Shard(**row)
                advance(found[place].images)
    except ray.exceptions.RayError as error:
        raise BulkError(f"a process failed ({' '.join(str(error).split())[-500:]}); the same command goes on") from error
    return [found[place] for place in range(len(plan))]


def _connect(ray: Any, address: str | None) -> None:
    """Connect to the cluster at an address, or start Ray here. Raises BulkError."""
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of how Ray Data itself starts processes
    # Read by glibc in each process of Ray that starts here: by default each thread of many keeps what it freed for itself, and a
    # process grew by 2 KB with every image.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdecimal():
            socket.create_connection((host, int(port)), _PATIENCE).close()  # Ray itself would try for many minutes
        if not ray.is_initialized():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address is None else None,
            )
    except Exception as error:  # Ray's own, and those of its connection
        raise BulkError(f"Ray cannot be reached at {address or 'this machine'} ({' '.join(str(error).split())[:300]})") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # there is one of ours
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # now that its import has set another level
    context.print_on_execution_start = False


def _room(ray: Any, threads: int, gpus: float) -> int:
    """How many processes the machines of the cluster have room for. Raises BulkError for none."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(int(min(one.get("CPU", 0) // threads, one.get("GPU", 0) // gpus if gpus else math.inf)) for one in machines)
    if room < 1:
        raise BulkError(
            f"no machine of the cluster has room for a process of {threads} processors and {gpus:g} GPUs: ask for fewer"
        )
    return room


if __name__ == "__main__":
    sys.exit(main())
