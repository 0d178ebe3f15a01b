"""The command that evaluates images: `python -m training.evaluate`."""

import json
import math
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from gan.paths import UserPath, expand
from training.cli.console import log_lines
from training.cli.flags import Flags, parse, run_command
from training.config.values import Count, parse_size
from training.errors import EvaluationTargetError

if TYPE_CHECKING:
    from training.data import Dataset
    from training.evaluation.comparison import Evaluation

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


class _CommandLine(Flags):
    """Measure generated images against real ones: those of a model, of a run, or in a folder.

    Each number is printed with its standard deviation from sample to sample and its protocol, and as a yardstick with that of
    real images under the same protocol.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

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
    resolution: Annotated[str, AfterValidator(_check_size)] = "32"
    """for a folder of images: the size in pixels that they and the data are brought to, such as 48x64; a model has its own"""
    pairs: Annotated[UserPath | None, AfterValidator(_check_png)] = None
    """a PNG file to write: the generated images nearest to training images, each next to that one"""
    as_json: bool = Field(False, validation_alias="json")
    """print JSON instead of a table"""


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 for a command that cannot be carried out as given."""
    given = parse(_CommandLine, "training.evaluate", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    try:
        return run_command(
            "training.evaluate", lambda: _evaluate(_CommandLine.model_validate(given)), "take fewer --samples, or free some"
        )
    except KeyboardInterrupt:
        return 130


def _evaluate(command: _CommandLine) -> None:
    from gan.model_folder import read_manifest
    from training.evaluation.evaluator import Evaluator
    from training.evaluation.feature_extractors import choose
    from training.evaluation.real_images import FIRST_SEED
    from training.evaluation.samples import (
        DataSource,
        ModelSampler,
        SeedRange,
        data_source_of,
        find_model,
        has_builtin_labels,
        match_dataset,
        read_folder,
        render_pairs,
    )

    model = find_model(command.target)
    manifest = None if model is None else read_manifest(model)
    if manifest is not None:
        source = data_source_of(manifest, command.data)
    elif command.data is None:
        raise EvaluationTargetError(f"{command.target} is a folder of images: give the --data that they are to be like")
    else:
        source = DataSource(command.data, parse_size(command.resolution))
    conditional = manifest is not None and manifest.classes is not None
    labelled = (manifest is not None and len(manifest.classes or ()) > 1) or has_builtin_labels(source.data)
    preferred = None if command.features == "auto" else command.features
    name, why = choose(preferred, labelled=labelled, inception_weights=command.inception_weights)
    # Training a classifier takes minutes: random features of an unconditional model do not need it.
    data = source.load(labelled=conditional or name == "classifier" or (labelled and name == "inception"))
    if model is not None:
        start = FIRST_SEED[command.on] if command.seed_start is None else command.seed_start
        seeds, sampler = SeedRange(command.samples, start, command.sets), ModelSampler(model)
        samples, about, protocol = sampler.generate(seeds), sampler.describe(seeds), str(seeds)
    else:
        found, about = read_folder(command.target, source, samples=command.samples, sets=command.sets)
        samples, protocol = iter(found), ""
    if manifest is not None:  # earlier versions sorted classes and recognised grey images differently
        data = data.in_order(manifest.classes or ())
        data = data.in_colour() if manifest.channels == 3 else data
    first = match_dataset(next(samples), data)  # before a classifier is trained: an error must not come late
    if manifest is not None and conditional and manifest.classes != list(data.classes):
        raise EvaluationTargetError(
            f"--data {source.data} has other classes than {model} was trained on: give the data it was trained on"
        )

    try:
        evaluator = Evaluator.from_dataset(data, name, inception_weights=command.inception_weights, progress=True)
        evaluation = evaluator.evaluate(
            chain([first], (match_dataset(sample, data) for sample in samples)),
            part=command.on,
            against=None if command.against == "auto" else command.against,
            seeds=protocol,
            progress=True,
        )
    except ValueError as error:
        raise EvaluationTargetError(f"{error}; see --samples, --against and --data") from error
    if command.pairs is not None:
        try:
            command.pairs.write_bytes(render_pairs(evaluation.suspects, data.images, evaluation.pairs))
        except OSError as error:
            raise EvaluationTargetError(
                f"--pairs {command.pairs}: cannot be written ({error.strerror}); give another file"
            ) from error
    why = evaluator.caveat or why
    if command.as_json:
        print(json.dumps(_as_json(about, data, why, evaluation), indent=2, allow_nan=False))
    else:
        print(_as_table(about, data, why, evaluation))


def _about(data: "Dataset") -> str:
    held_out = 0 if data.held_out is None else len(data.held_out.images)
    return f"{data.name}, {len(data.images)} training images, {held_out} held out"


def _as_json(about: str, data: "Dataset", why: str, found: "Evaluation") -> dict[str, Any]:
    shares = {} if found.class_shares is None else dict(zip(data.classes, found.class_shares.tolist(), strict=True))
    return {
        "pictures": about,
        "data": _about(data),
        "features": why,
        "measurements": [
            {
                "name": one.name,
                "value": one.value,
                "deviation": one.deviation,
                "real": one.real,
                "real_deviation": one.real_deviation,
                "protocol": one.protocol,
            }
            for one in found.measurements
        ],
        "class_shares": shares,
        "nearest": [
            # JSON has no infinity, which is what a ratio is where 1 % of the real images are doubles.
            {"generated": pair.generated, "training": pair.training, "ratio": pair.ratio if math.isfinite(pair.ratio) else None}
            for pair in found.pairs
        ],
    }


def _as_table(about: str, data: "Dataset", why: str, found: "Evaluation") -> str:
    from training.evaluation.deviations import format_measure

    wide = max(len(one.name) for one in found.measurements)
    lines = [
        f"images: {about}",
        f"data: {_about(data)}",
        why,
        "",
        f"{'measure':{wide}}  {'generated':>18}  {'real':>18}  protocol",
    ]
    for one in found.measurements:
        generated, real = format_measure(one)
        lines.append(f"{one.name:{wide}}  {generated:>18}  {real:>18}  {one.protocol}")
    if found.class_shares is not None:
        parts = [f"{name} {100 * share:.1f} %" for name, share in zip(data.classes, found.class_shares, strict=True)]
        lines += ["", f"shares of the classes, as the classifier sees them: {', '.join(parts)}"]
    return "\n".join(lines)
