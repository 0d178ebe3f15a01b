"""What the measuring command measures: a model's seeds or the pictures in a folder; and the data set beside them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gan import artifact, runtime
from gan.latents import inputs, seed_range
from training import data
from training.quality import Real, match_channels


class SubjectError(Exception):
    """Something that cannot be measured as asked; the message names the flag or folder and the remedy."""


@dataclass(frozen=True)
class RealData:
    """What of a data set is used here."""

    real: Real
    labels: NDArray[np.int64] | None  # [n], of the training pictures
    classes: tuple[str, ...]  # names of the labels; empty without labels
    fingerprint: str
    about: str  # for people


@dataclass(frozen=True)
class Drawn:
    """The pictures to be measured."""

    pictures: NDArray[np.uint8]  # [n, c, h, w]
    labels: NDArray[np.int64] | None  # [n], what was asked for; None for an unconditional model
    about: str  # for people


def find_model(target: Path) -> Path | None:
    """The model folder that the target is or holds; None for a folder of pictures. Raises SubjectError."""
    if not target.is_dir():
        raise SubjectError(f"{target}: there is no such folder; give a model folder, a run's folder or a folder of pictures")
    if (target / "model.json").is_file():
        return target
    if not (target / "config.yaml").is_file():
        return None
    if not (target / "model" / "model.json").is_file():
        raise SubjectError(f"{target} is a run that has exported no model yet: finish it with training.run --resume {target}")
    return target / "model"


def has_known_labels(source: str) -> bool:
    """Whether a data set is one whose files have labels; of a folder of pictures only its owner knows."""
    try:
        found = data.survey(source)
    except data.DataError:
        return False
    return found.known and found.classes is not None


def load(source: str, size: tuple[int, int], *, labelled: bool) -> RealData:
    """A data set at a size of (height, width); the only place here that knows how they are loaded. Raises data.DataError."""
    dataset = data.load(source, size, labelled=labelled)
    held_out = dataset.held_out
    real = Real(dataset.pictures) if held_out is None else Real(dataset.pictures, held_out.pictures, held_out.labels)
    held = 0 if held_out is None else len(held_out.pictures)
    about = f"{dataset.name}, {len(dataset.pictures)} training pictures, {held} held out"
    return RealData(real, dataset.labels, dataset.classes, dataset.fingerprint, about)


def draw(folder: Path, *, samples: int, seed_start: int) -> Drawn:
    """Seeds of a model, each with its own label, drawn by ONNX Runtime as the service would. Raises ModelFolderError."""
    model = artifact.read(folder)
    manifest = model.manifest
    drawing = runtime.load(model, "onnx")
    seeds = seed_range(seed_start, samples)
    pictures, labels = [], []
    with tqdm(total=len(seeds), desc="drawing", unit="pic", leave=False, disable=None) as bar:
        for start in range(0, len(seeds), 256):
            rows = inputs(seeds[start : start + 256], manifest.space, manifest.sampling.truncation)
            pictures.append(runtime.draw(drawing, rows).transpose(0, 3, 1, 2))
            if "label" in rows:
                labels.append(rows["label"])
            bar.update(len(rows["z"]))
    about = f"{model.title}, seeds {seeds[0]} to {seeds[-1]}, drawn by {drawing.name}"
    if manifest.sampling.truncation is not None:
        about += f", truncation {manifest.sampling.truncation}"
    return Drawn(np.concatenate(pictures), np.concatenate(labels) if labels else None, about)


def read(folder: Path, size: tuple[int, int], *, samples: int) -> Drawn:
    """The pictures in a folder, or so many of them, chosen at random but always the same. Raises data.DataError."""
    real = load(str(folder), size, labelled=False).real
    pictures = real.train if real.held_out is None else np.concatenate([real.train, real.held_out])
    found = len(pictures)
    if found > samples:
        pictures = pictures[np.sort(np.random.RandomState(0).permutation(found)[:samples])]
    return Drawn(pictures, None, f"{len(pictures)} of the {found} pictures in {folder}, at {size[0]}x{size[1]}")


def fit(drawn: Drawn, real: Real) -> Drawn:
    """Drawn pictures with as many channels as the real ones. Raises SubjectError where that cannot be."""
    try:
        return replace(drawn, pictures=match_channels(drawn.pictures, real.train.shape[1]))
    except ValueError as error:
        raise SubjectError(f"{error}: give the --data that they were made from") from error
