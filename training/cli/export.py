"""The command that exports models again: `python -m training.export`."""

import argparse
import sys

from gan.errors import GanServiceError
from gan.latents import SEEDS
from gan.paths import user_path
from training.cli.console import log_lines
from training.export.again import export_again


def _seeds(text: str) -> int:
    seeds = int(text)
    if not 1 <= seeds <= SEEDS:
        raise argparse.ArgumentTypeError(f"give 1 to {SEEDS}, not {text}: images must be compared before files are replaced")
    return seeds


@log_lines()
def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        "python -m training.export",
        description="Write the exported files of model folders again, from their weights: for files that are damaged, or too old "
        "for what is to read them. Name, version and images stay.",
        epilog="example: python -m training.export models/shoes",
    )
    parser.add_argument("folders", nargs="+", type=user_path, metavar="MODEL", help="a model folder")
    parser.add_argument("--seeds", type=_seeds, default=1000, help="images to compare before and after, %(default)s by default")
    parser.add_argument("--take-changes", action="store_true", help="export even if some of these images change")
    parser.add_argument(
        "--phases",
        action="store_true",
        help="write transposed convolutions of generator.onnx as ordinary ones, if ONNX Runtime is faster so on this machine",
    )
    options = parser.parse_args(arguments)
    for folder in options.folders:
        try:
            manifest = export_again(folder, options.seeds, options.take_changes, options.phases)
        except (GanServiceError, OSError) as error:
            print(f"training.export: {folder}: {error}", file=sys.stderr)
            return 1
        print(f"{folder}: {manifest.name}@{manifest.version} was exported again")
    return 0
