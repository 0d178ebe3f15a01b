"""Generated images to measure, of a model or in a folder, and the data that they are compared with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gan import model_folder, runtimes
from gan.images import encoding
from gan.latents import seed_range
from gan.manifest import Manifest
from gan.manifest_parts import Trained
from gan.runtimes.base import PrecisionName
from training import data
from training.config.files import CONFIG, read_yaml
from training.config.points import is_points
from training.data import MAX_PIXELS, Dataset, Fit
from training.errors import DataError, EvaluationTargetError, UsageError
from training.evaluation.nearest_neighbours import Pair
from training.evaluation.real_images import SampleSet, match_channels
from training.evaluation.subsets import fixed_subset


@dataclass(frozen=True)
class DataSource:
    """The arguments of `data.load`: where images come from and how they are resized."""

    data: str
    size: tuple[int, int]  # height, width
    fit: Fit = "crop"
    background: str = "white"
    max_bad: float = 0.01
    max_pixels: int = MAX_PIXELS  # of one file

    def load(self, *, labelled: bool) -> Dataset:
        """Load the dataset. Raises DataError."""
        return data.load(
            self.data,
            self.size,
            labelled=labelled,
            fit=self.fit,
            background=self.background,
            max_bad=self.max_bad,
            max_pixels=self.max_pixels,
        )


@dataclass(frozen=True)
class SeedRange:
    """The seeds to generate images from: `sets` consecutive ranges of so many seeds each."""

    samples: int
    start: int
    sets: int = 1

    def __str__(self) -> str:
        return f"seeds {self.start} to {(self.start + self.sets * self.samples - 1) % 2**32}"


def find_model(target: Path) -> Path | None:
    """The model folder that the target is or contains; None for a folder of images. Raises EvaluationTargetError."""
    if target.is_file():
        raise EvaluationTargetError(
            f"{target} is a file; give a model folder, a run's folder or a folder of images (a zip of images: unpack it)"
        )
    if not target.is_dir():
        raise EvaluationTargetError(f"{target}: there is no such folder; give a model folder, a run's folder or a folder of images")
    if (target / "model.json").is_file():
        return target
    if not (target / "config.yaml").is_file():
        inside = sorted(path for path in target.iterdir() if any((path / name).is_file() for name in ("model.json", "config.yaml")))
        if inside:
            raise EvaluationTargetError(f"{target} holds models or runs; give one of them, such as {inside[0]}")
        return None
    if not (target / "model" / "model.json").is_file():
        if _is_of_points(target):
            raise EvaluationTargetError(
                f"{target} is a run on points in the plane, which exports no model: its report.html has the measures"
            )
        raise EvaluationTargetError(
            f"{target} is a run that has exported no model yet: finish it with training.run --resume {target}"
        )
    return target / "model"


def _is_of_points(run: Path) -> bool:
    """Whether a run's folder is of one on points in the plane, as far as its configuration can be read."""
    try:
        return is_points(read_yaml(run / CONFIG, str(run)).get("data"))
    except UsageError:
        return False


def has_builtin_labels(source: str) -> bool:
    """Whether --data is a builtin set whose images all have labels; whether folders are classes only their owner knows."""
    try:
        survey = data.survey(source)
    except DataError:
        return False
    return survey.builtin and survey.classes is not None and survey.all_labelled


def data_source_of(manifest: Manifest, given: str | None = None) -> DataSource:
    """The data a model was trained on, by its manifest or as `given`. Raises EvaluationTargetError where neither says it."""
    config = manifest.origin.config if isinstance(manifest.origin, Trained) else {}
    config = config if given is None else {**config, "data": given}
    try:
        found = {name: config[name] for name in ("data", "fit", "background", "max_bad", "max_pixels") if name in config}
        return DataSource(size=(manifest.height, manifest.width), **found)
    except TypeError as error:
        raise EvaluationTargetError(f"{manifest.name} does not say what it was trained on: give --data") from error


class ModelSampler:
    """Generates images of a model as the service does, by default by ONNX Runtime."""

    def __init__(self, folder: Path, runtime: str = "onnx", precision: PrecisionName = "float32") -> None:
        """Raises ModelFolderError, also for a runtime or a precision that there is not here."""
        self._model = model_folder.read(folder)
        self._runtime = runtimes.load(self._model, runtime, precision=precision)

    def generate(self, seeds: SeedRange) -> Iterator[SampleSet]:
        """Generate one sample for each set of seeds; each seed has its own label."""
        for number in range(seeds.sets):
            yield self._sample(seed_range((seeds.start + number * seeds.samples) % 2**32, seeds.samples))

    def describe(self, seeds: SeedRange) -> str:
        """What `generate` yields, for people."""
        truncation = self._model.manifest.sampling.truncation
        truncated = "" if truncation is None else f", truncation {truncation}"
        return f"{self._model.title}, {seeds}, drawn by {self._runtime.name}{truncated}"

    def _sample(self, seeds: Sequence[int]) -> SampleSet:
        manifest = self._model.manifest
        images, labels = [], []
        with tqdm(total=len(seeds), desc="drawing", unit="pic", leave=False, disable=None) as bar:
            for start in range(0, len(seeds), 256):
                some = seeds[start : start + 256]
                rows = runtimes.inputs_of_seeds(self._runtime, manifest, some, manifest.sampling.truncation)
                images.append(runtimes.generate_images(self._runtime, rows).transpose(0, 3, 1, 2))
                if "label" in rows:
                    labels.append(rows["label"])
                bar.update(len(rows["z"]))
        return SampleSet(np.concatenate(images), np.concatenate(labels) if labels else None)


def read_folder(folder: Path, source: DataSource, *, samples: int, sets: int) -> tuple[list[SampleSet], str]:
    """Read samples from a folder of images, resized as those of the source, and describe them for people.

    At most `sets` fixed random samples of so many images, no image in two of them; one sample of all images where there are
    fewer. Raises DataError.
    """
    dataset = replace(source, data=str(folder)).load(labelled=False)
    images = dataset.images if dataset.held_out is None else np.concatenate([dataset.images, dataset.held_out.images])
    found = len(images)
    size = f"{images.shape[3]}x{images.shape[2]}"
    samples, sets = min(samples, found), max(1, min(sets, found // samples))
    about = f"{sets * samples} of the {found} images in {folder}, at {size}"
    return [SampleSet(images[fixed_subset(found, samples, seed=0, part=number)]) for number in range(sets)], about


def match_dataset(sample: SampleSet, dataset: Dataset) -> SampleSet:
    """Give generated images the channels of the real ones. Raises EvaluationTargetError where that is impossible."""
    try:
        return replace(sample, images=match_channels(sample.images, dataset.images.shape[1]))
    except ValueError as error:
        raise EvaluationTargetError(f"{error}: give the --data that they were made from") from error


def render_pairs(suspects: NDArray[np.uint8], train: NDArray[np.uint8], pairs: Sequence[Pair]) -> bytes:
    """A PNG of four pairs a row, at twice the size: the generated image of each pair, and to its right the training image."""
    sheet = np.stack([image for suspect, pair in zip(suspects, pairs, strict=True) for image in (suspect, train[pair.training])])
    return encoding.encode(encoding.grid(sheet.transpose(0, 2, 3, 1), columns=8), "png", scale=2)
