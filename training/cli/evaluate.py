"""The command that evaluates images: `python -m training.evaluate`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from gan.paths import UserPath, expand
from gan.runtimes.base import PrecisionName
from training.cli.console import log_lines
from training.cli.flags import Flags, parse, run_command
from training.config.values import Count, parse_size

_EXAMPLES = """examples:
  python -m training.evaluate models/fashion-mnist                    as its card has it, against Fashion-MNIST's test images
  python -m training.evaluate models/fashion-mnist --on selection     as models are chosen, which no figure to report may be
  python -m training.evaluate runs/003-fashion-mnist-cgan --json      the model of a run, as JSON
  python -m training.evaluate models/shoes                            a model of one's own images, which are where they were
  python -m training.evaluate ./drawn --data ./my-pictures            images in a folder, drawn by anything
  python -m training.evaluate models/shoes --pairs pairs.png          and the most suspicious ones next to training images
"""


def _check_size(resolution: str) -> str:
    parse_size(resolution)
    return resolution


def _check_png(file: Path | None) -> Path | None:
    if file is not None and file.suffix.lower() != ".png":
        raise ValueError("must end in .png, the format that is written")
    return file


class CommandLine(Flags):
    """Measure generated images against real ones: those of a model, of a run, or in a folder.

    Each number is printed with its standard deviation from sample to sample and its protocol, and as a yardstick with that of
    real images under the same protocol.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    usage = "TARGET [--flag value …]        (--help lists the flags)"

    target: CliPositionalArg[UserPath]
    """a model folder, whose seeds are drawn, each with its own label; a run's folder; or a folder of images"""
    data: Annotated[str, AfterValidator(expand)] | None = None
    """what the model was trained on, if not where its manifest says; needed for a folder of images"""
    features: Literal["auto", "inception", "classifier", "random"] = "auto"
    """the network that measures: inception compares with published numbers and needs its weights; classifier is trained on the
    labels of the data, once, in minutes; random needs nothing and says least; auto takes the first that is available"""
    inception_weights: UserPath | None = None
    """torch-fidelity's file of Inception V3 weights, where it cannot be downloaded"""
    against: Literal["auto", "held-out", "training"] = "auto"
    """the real side: auto takes held-out images where the data has any"""
    on: Literal["test", "selection"] = "test"
    """which half of the held-out images: test, which never chose a checkpoint or a model, for figures to report; selection, by
    which they are chosen, for trying settings; where fewer than 1,000 are held out, all are selection"""
    samples: Count = 5_000
    """images to draw, or to take from a folder at most; numbers compare only for as many"""
    sets: int = Field(5, ge=1, le=100)
    """how often: so many samples, each of other seeds, give each number its standard deviation; 1 is quickest"""
    seed_start: int | None = Field(None, ge=0, lt=2**32)
    """the first seed; by default 2147483648 for test, and 0 for selection, as checkpoints have it"""
    runtime: Literal["onnx", "openvino", "torchscript"] = "onnx"
    """what generates the images of a model, as GAN_RUNTIME says it to the service"""
    precision: PrecisionName = "float32"
    """that the runtime computes in, as GAN_PRECISION: what bfloat16 with openvino, or float16 with torchscript on a GPU, costs"""
    threads: int | None = Field(None, gt=0, le=4096)
    """processor threads for features and the classifier, by default all; one is often faster while other programs run"""
    resolution: Annotated[str, AfterValidator(_check_size)] = "32"
    """for a folder of images: the size in pixels that they and the data are brought to, such as 48x64; a model has its own"""
    pairs: Annotated[UserPath | None, AfterValidator(_check_png)] = None
    """a PNG file to write: the generated images nearest to training images, each next to that one"""
    as_json: bool = Field(False, validation_alias="json")
    """print JSON instead of a table"""


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 for a command that cannot be carried out as given."""
    given = parse(CommandLine, "training.evaluate", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    try:
        return run_command(
            "training.evaluate", lambda: _print_evaluation(CommandLine.model_validate(given)), "take fewer --samples, or free some"
        )
    except KeyboardInterrupt:
        return 130


def _print_evaluation(command: CommandLine) -> None:
    # The libraries take seconds to import: --help and a mistyped flag should not.
    from training.cli.evaluation_run import evaluate

    print(evaluate(command))
