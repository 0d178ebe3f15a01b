"""One run of `python -m training.evaluate`: from the target to the text that is printed."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan.manifest import Manifest
from gan.model_folder import read_manifest
from gan.runtimes import ENGINES
from training.config.points import is_points
from training.config.schema import TrainingConfig
from training.config.values import parse_size
from training.data import Dataset
from training.errors import EvaluationTargetError
from training.evaluation.comparison import Evaluation
from training.evaluation.deviations import format_measure
from training.evaluation.evaluator import Evaluator
from training.evaluation.feature_extractors import FeatureName, choose
from training.evaluation.real_images import FIRST_SEED, SampleSet
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
from training.hardware import Hardware

if TYPE_CHECKING:
    from training.cli.evaluate import CommandLine


@dataclass(frozen=True)
class Target:
    """The images to measure, and the model that generates them, if it is one."""

    model: Path | None
    manifest: Manifest | None
    source: DataSource  # the real images

    @classmethod
    def find(cls, command: "CommandLine") -> "Target":
        """Raises EvaluationTargetError for a target that is neither, or real images that are not named."""
        if is_points(command.data):
            raise EvaluationTargetError(
                f"--data {command.data}: points in the plane are no images to measure others by; give images"
            )
        model = find_model(command.target)
        if model is not None:
            manifest = read_manifest(model)
            return cls(model, manifest, data_source_of(manifest, command.data))
        if command.data is None:
            raise EvaluationTargetError(f"{command.target} is a folder of images: give the --data that they are to be like")
        return cls(None, None, DataSource(command.data, parse_size(command.resolution)))

    @property
    def classes(self) -> list[str] | None:
        """Those of the model; None if it is not conditional, or there is none."""
        return None if self.manifest is None else self.manifest.classes

    def load_data(self, command: "CommandLine") -> tuple[Dataset, FeatureName, str]:
        """The real images, the features to measure by, and why those."""
        labelled = len(self.classes or ()) > 1 or has_builtin_labels(self.source.data)
        preferred = None if command.features == "auto" else command.features
        name, why = choose(preferred, labelled=labelled, inception_weights=command.inception_weights)
        # Training a classifier takes minutes: random features of an unconditional model do not need it.
        needed = self.classes is not None or name == "classifier" or (labelled and name == "inception")
        return self._as_trained_on(self.source.load(labelled=needed)), name, why

    def _as_trained_on(self, data: Dataset) -> Dataset:
        """Earlier versions sorted classes and recognised grey images differently."""
        if self.manifest is None:
            return data
        data = data.in_order(self.manifest.classes or ())
        return data.in_colour() if self.manifest.channels == 3 else data

    def samples(self, command: "CommandLine") -> tuple[Iterator[SampleSet], str, str]:
        """The images to measure, what they are, and the seeds for their protocol."""
        if self.model is None:
            found, about = read_folder(command.target, self.source, samples=command.samples, sets=command.sets)
            return iter(found), about, ""
        precisions = ENGINES[command.runtime].precisions
        if command.precision not in precisions:
            raise EvaluationTargetError(
                f"--precision {command.precision}: --runtime {command.runtime} computes in {' or '.join(precisions)}"
            )
        start = FIRST_SEED[command.on] if command.seed_start is None else command.seed_start
        seeds = SeedRange(command.samples, start, command.sets)
        sampler = ModelSampler(self.model, command.runtime, command.precision)
        return sampler.generate(seeds), sampler.describe(seeds), str(seeds)

    def check_classes(self, data: Dataset) -> None:
        """Raises EvaluationTargetError for data with other classes than the model's."""
        if self.classes is not None and self.classes != list(data.classes):
            raise EvaluationTargetError(
                f"--data {self.source.data} has other classes than {self.model} was trained on: give the data it was trained on"
            )


def evaluate(command: "CommandLine") -> str:
    """Carry out the command; returns the text to print. Raises GanServiceError."""
    target = Target.find(command)
    data, features, why = target.load_data(command)
    samples, about, seeds = target.samples(command)
    first = match_dataset(next(samples), data)  # before a classifier is trained: an error must not come late
    target.check_classes(data)
    hardware = Hardware.choose(TrainingConfig(threads=command.threads))
    hardware.prepare()
    try:
        evaluator = Evaluator.from_dataset(
            data, features, inception_weights=command.inception_weights, hardware=hardware, progress=True
        )
        evaluation = evaluator.evaluate(
            chain([first], (match_dataset(sample, data) for sample in samples)),
            part=command.on,
            against=None if command.against == "auto" else command.against,
            seeds=seeds,
            progress=True,
        )
    except ValueError as error:
        raise EvaluationTargetError(f"{error}; see --samples, --against and --data") from error
    if command.pairs is not None:
        _write_pairs(command.pairs, evaluation, data)
    why = evaluator.caveat or why
    if command.as_json:
        return json.dumps(_as_json(about, data, why, evaluation), indent=2, allow_nan=False)
    return _as_table(about, data, why, evaluation)


def _write_pairs(file: Path, evaluation: Evaluation, data: Dataset) -> None:
    try:
        file.write_bytes(render_pairs(evaluation.suspects, data.images, evaluation.pairs))
    except OSError as error:
        raise EvaluationTargetError(f"--pairs {file}: cannot be written ({error.strerror}); give another file") from error


def _about(data: Dataset) -> str:
    held_out = 0 if data.held_out is None else len(data.held_out.images)
    return f"{data.name}, {len(data.images)} training images, {held_out} held out"


def _as_json(about: str, data: Dataset, why: str, found: Evaluation) -> dict[str, Any]:
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
        "remarks": list(found.remarks),
        "class_shares": shares,
        "nearest": [
            # JSON has no infinity, which is what a ratio is where 1 % of the real images are doubles.
            {"generated": pair.generated, "training": pair.training, "ratio": pair.ratio if math.isfinite(pair.ratio) else None}
            for pair in found.pairs
        ],
    }


def _as_table(about: str, data: Dataset, why: str, found: Evaluation) -> str:
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
    lines += ["", *found.remarks] if found.remarks else []
    if found.class_shares is not None:
        parts = [f"{name} {100 * share:.1f} %" for name, share in zip(data.classes, found.class_shares, strict=True)]
        lines += ["", f"shares of the classes, as the classifier sees them: {', '.join(parts)}"]
    return "\n".join(lines)
