"""The command that draws many images without a service: `python -m gan.sample`."""

import argparse
import posixpath
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gan import model
from gan.images import encoding
from gan.latents import join
from gan.model import Model, archives
from gan.model.origins import Origins
from gan.runtimes import ENGINES
from gan.sampling import command, sets
from gan.sampling.command import SampleError
from gan.sampling.drawing import Drawn, Wanted, draw
from gan.sampling.sets import Plan
from gan.sampling.store import Store

_MOST_VALUES = 2**31  # bytes of pixels of a single file, which is made in memory
_FILES = (".png", ".npz", ".zip")
_EXAMPLES = """examples:
  python -m gan.sample models/fashion-mnist --seeds 0-9999 --out images/        a PNG for each seed, as in the service's zip
  python -m gan.sample models/fashion-mnist --seeds 0-63 --label Bag --out bags.png               one sheet of all
  python -m gan.sample models/avatars --seeds 0-9999 --label balanced --out avatars.npz           arrays: images, seeds, labels
  python -m gan.sample models/avatars --seeds 0-999999 --format webdataset --out set/             shards of 10,000 images

Stopped, it goes on where it was by the same command. Files that are there stay as they are.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gan.sample", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_arguments(parser)
    parser.add_argument(
        "--columns", type=command.count, metavar="N", help="of the sheet of a .png; as close to a square as possible if absent"
    )
    parser.add_argument("--runtime", choices=ENGINES, default="onnx", help="default: %(default)s")
    parser.add_argument("--threads", type=command.count, metavar="N", help="processor threads; as many as help if absent")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return command.exit_status("gan.sample", lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> None:
    kind = Path(chosen.out).suffix.lower()
    single = kind in _FILES and chosen.format is None
    if chosen.columns is not None and not (single and kind == ".png"):
        raise SampleError("--columns is for a sheet: give --out a name that ends in .png")
    if chosen.shard_size is not None and chosen.format is None:
        raise SampleError("--shard-size is for shards: give --format too")
    loaded = model.load(chosen.model, chosen.runtime, threads=chosen.threads)
    wanted = command.wanted_of(chosen, loaded.manifest)
    draw(loaded, chosen.seeds[:1], wanted)  # so that a wrong label is said before anything is written
    with command.progress(len(chosen.seeds), loaded.manifest.name) as advance:
        if single:
            _write_file(chosen, loaded, wanted, kind, advance)
        elif chosen.format is None:
            store = Store(chosen.out)
            sets.begin(store, {"model": loaded.folder.title, **wanted.as_json()})
            sets.write_files(loaded, store, chosen.seeds, wanted, advance)
        else:
            _write_shards(Store(chosen.out), command.plan_of(chosen, loaded, chosen.format), loaded, advance)


def _write_shards(store: Store, plan: Plan, loaded: Model, advance: Callable[[int], None]) -> None:
    record = plan.record(loaded.folder.title)
    sets.begin(store, record)
    missing, made = set(sets.unfinished(store, plan)), []
    for place in range(len(plan)):
        if place in missing:
            made.append(sets.make_shard(loaded, store, plan, place, advance))
        else:
            made.append(sets.described(store, plan, place))
            advance(made[-1].images)
    sets.finish(store, record, made)


def _write_file(chosen: argparse.Namespace, loaded: Model, wanted: Wanted, kind: str, advance: Callable[[int], None]) -> None:
    seeds, manifest = chosen.seeds, loaded.manifest
    values = len(seeds) * manifest.channels * manifest.height * manifest.width * (1 if kind == ".npz" else wanted.scale**2)
    if values > _MOST_VALUES:
        raise SampleError(f"--out {chosen.out}: {values:,} bytes of pixels are too many for one file; give a folder, and --format")
    if kind == ".npz" and wanted.scale != 1:
        raise SampleError("--scale has no meaning for .npz")
    folder, name = posixpath.split(chosen.out)
    store = Store(folder or ".")  # refused before anything is drawn
    parts = []
    for start in range(0, len(seeds), 256):
        parts.append(draw(loaded, seeds[start : start + 256], wanted))
        advance(len(parts[-1].seeds))
    store.put(name, _content(_joined(parts), kind, wanted, chosen.columns))


def _joined(parts: Sequence[Drawn]) -> Drawn:
    first = parts[0]
    seeds = [seed for part in parts for seed in part.seeds]
    rows = join([part.origins.rows for part in parts])
    origins = Origins(first.origins.model, first.origins.manifest, seeds, rows, first.origins.truncation)
    return Drawn(seeds, np.concatenate([part.images for part in parts]), origins, first.scale)


def _content(drawn: Drawn, kind: str, wanted: Wanted, columns: int | None) -> bytes:
    """The bytes of one file of all images: those that the service answers with."""
    if kind == ".npz":
        return archives.as_npz(drawn.images, drawn.seeds, drawn.labels)
    if kind == ".zip":
        return archives.as_zip(drawn.images, drawn.names, wanted.scale, drawn.origins.origin_of_image)
    sheet = encoding.grid(drawn.images, columns)
    return encoding.encode(sheet, "png", origin=drawn.origins.origin_of_sheet(), scale=wanted.scale)


if __name__ == "__main__":
    sys.exit(main())
