"""Real pictures for an encoder and a score: those to learn from, those that choose, and those that report."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.manifest import Manifest
from training.data import Dataset
from training.data.split import OF_A_CLASS, halves
from training.errors import EvaluationTargetError, UsageError
from training.evaluation.samples import data_source_of

_ONE_IN = 10  # held back of a set that holds out none
_FEWEST = 20


@dataclass(frozen=True)
class Part:
    """Some pictures."""

    images: NDArray[np.uint8]  # [n, channels, height, width]
    labels: NDArray[np.int64] | None  # [n]; None for an unconditional model


@dataclass(frozen=True)
class Pictures:
    """The pictures of a set. None of `train` is in the others."""

    train: Dataset
    selection: Part  # which choose a checkpoint and give the quantiles of scores
    test: Part  # which only report; the same where there are too few for two halves


def load(manifest: Manifest, data: str | None) -> Pictures:
    """Load what a model was trained on, or `data`, with labels if the model is conditional.

    Raises UsageError for data that does not fit the model, and DataError for data that cannot be read.
    """
    try:
        source = data_source_of(manifest, data)
    except EvaluationTargetError as error:
        raise UsageError(str(error)) from error
    conditional = manifest.classes is not None
    dataset = source.load(labelled=conditional).in_order(manifest.classes or ())
    if manifest.channels == 3:
        dataset = dataset.in_colour()
    if dataset.images.shape[1] != manifest.channels:
        raise UsageError(f"--data {source.data}: the images are coloured, and {manifest.name} draws grey ones: give grey images")
    if conditional and list(dataset.classes) != manifest.classes:
        raise UsageError(
            f"--data {source.data} has other classes than {manifest.name} was trained on: give the data it was trained on"
        )
    return split(dataset, source.data)


def split(dataset: Dataset, named: str) -> Pictures:
    """Choose the parts of a set; `named` is the value of --data. Raises UsageError for too few pictures."""
    if len(dataset.images) < _FEWEST:
        raise UsageError(f"--data {named}: {_FEWEST} images are the least to learn from, not {len(dataset.images)}")
    if dataset.held_out is None:
        return _held_back(dataset)
    held_out = Part(dataset.held_out.images, dataset.held_out.labels)
    both = halves(held_out.images)
    if both is None:
        return Pictures(dataset, held_out, held_out)
    selection, test = (_some(held_out, places) for places in both)
    return Pictures(dataset, selection, test)


def _held_back(dataset: Dataset) -> Pictures:
    """Hold back every tenth picture of a set that holds out none, but at most a quarter of a class, if that leaves any."""
    places = np.arange(len(dataset.images))
    back = places % _ONE_IN == _ONE_IN - 1
    if dataset.labels is not None:
        spared = back.copy()
        for label in np.unique(dataset.labels):
            of_class = dataset.labels == label
            spared[np.flatnonzero(back & of_class)[of_class.sum() // OF_A_CLASS :]] = False
        back = spared if spared.any() else back
    whole = Part(dataset.images, dataset.labels)
    kept, held = _some(whole, places[~back]), _some(whole, places[back])
    train = Dataset(dataset.name, kept.images, dataset.licence, dataset.classes, kept.labels)
    return Pictures(train, held, held)


def _some(part: Part, places: NDArray[np.int64]) -> Part:
    return Part(part.images[places], None if part.labels is None else part.labels[places])
