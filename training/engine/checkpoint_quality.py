"""Measures of a checkpoint: distance, precision and recall, spread, and the accuracy of the discriminator."""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from gan.images import encoding
from gan.latents import Inputs, inputs_of_seeds
from gan.networks.family import Generator
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.engine import batch_norm
from training.engine.minibatch import to_network
from training.engine.state import TrainingState
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator
from training.evaluation.point_evaluator import PointEvaluator
from training.evaluation.subsets import fixed_subset
from training.hardware import Hardware
from training.losses.adversarial import OBJECTIVES
from training.losses.diffaugment import AUGMENT_PARAMS, augment

_GENERATED_AT_ONCE = 64
SPREAD_SEEDS = 64
_FEWEST_OF_A_CLASS = 10  # images whose spread means something
_HARDLY_ANY_SPREAD = 1e-3  # of a grey level: less than one pixel value in one image


def measure_checkpoint(
    state: TrainingState,
    dataset: Dataset,
    config: TrainingConfig,
    hardware: Hardware,
    checkpoint_evaluator: CheckpointEvaluator | PointEvaluator,
) -> dict[str, float]:
    """Measure a checkpoint: distance, precision and recall, spread, and the accuracy of the discriminator.

    Changes no state, and is a function of the weights alone.
    """
    rows = inputs_of_seeds(range(config.measure), state.input_spec)
    images = generate_nchw(state.finished_generator(hardware.device), rows, dtype=dataset.images.dtype)
    found = {
        **checkpoint_evaluator.measure(images),
        "spread": _relative_spread(images, dataset.images, np.arange(len(dataset.images))),
    }
    if dataset.labels is not None and (within := _spread_within_classes(images, rows["label"], dataset)) is not None:
        found["spread_within_classes"] = within
    boundary = OBJECTIVES[config.objective].boundary
    if boundary is not None:
        labels = rows.get("label")
        found["accuracy_fake"] = 1 - _share_classified_real(boundary, state, config, hardware, images, labels)
        if checkpoint_evaluator.held_out is not None:
            # The evaluator may have labels that the networks are not trained with.
            real_labels = (
                None
                if labels is None or checkpoint_evaluator.held_out_labels is None
                else checkpoint_evaluator.held_out_labels[: config.measure]
            )
            real = checkpoint_evaluator.held_out[: config.measure]
            found["accuracy_held_out"] = _share_classified_real(boundary, state, config, hardware, real, real_labels)
    return found


def spread(images: NDArray[Any]) -> float:
    """Root of the mean squared distance of two of the first 64 images, per pixel value: 0 if they are all alike."""
    values = images[:SPREAD_SEEDS].astype(np.float64)
    return float(np.sqrt(2 * values.var(0, ddof=1).mean())) if len(values) > 1 else 0.0


def _relative_spread(images: NDArray[Any], real: NDArray[Any], places: NDArray[np.int64]) -> float:
    """The spread relative to that of the real images at these places; 1 where those are all alike: there is nothing to compare."""
    # From anywhere: neighbours in a folder are often alike.
    unit = spread(real[places[fixed_subset(len(places), SPREAD_SEEDS, seed=0)]])
    return spread(images) / unit if unit >= _HARDLY_ANY_SPREAD else 1.0


def _spread_within_classes(images: NDArray[Any], labels: NDArray[np.int64], dataset: Dataset) -> float | None:
    """The least of the classes' spreads, each relative to that of its real images; None where none can be compared.

    0 where a class has become one image, which the spread of all images together does not show.
    """
    assert dataset.labels is not None, "called for labelled data"
    found = []
    for label in range(len(dataset.classes)):
        of_label, places = images[labels == label], np.flatnonzero(dataset.labels == label)
        if len(of_label) >= _FEWEST_OF_A_CLASS and len(places) >= _FEWEST_OF_A_CLASS:
            found.append(_relative_spread(of_label, dataset.images, places))
    return min(found, default=None)


def generate_nchw(
    generator: Generator, rows: Inputs, at_once: int = _GENERATED_AT_ONCE, dtype: DTypeLike = np.uint8
) -> NDArray[Any]:
    """Generate images by a finished generator, [n, channels, height, width], as networks and data have them.

    They are uint8 or, for points in the plane, the float32 that the network gives.
    """
    device = next(generator.parameters()).device
    values = [torch.split(torch.from_numpy(column).to(device), at_once) for column in rows.values()]
    with torch.no_grad():
        outputs = [generator(*batch) for batch in zip(*values, strict=True)]
        if dtype == np.uint8:
            outputs = [encoding.to_uint8_range(output).to(torch.uint8) for output in outputs]
        images: NDArray[Any] = torch.cat([output.cpu() for output in outputs]).numpy()
    return images


@torch.no_grad()
def _share_classified_real(
    boundary: float,
    state: TrainingState,
    config: TrainingConfig,
    hardware: Hardware,
    images: NDArray[Any],
    labels: NDArray[np.int64] | None,
) -> float:
    """The share of the images that the discriminator classifies as real.

    Evaluated as in training, in batches of one kind and augmented, but on a copy: each call changes power iterations and running
    statistics.
    """
    discriminator = copy.deepcopy(state.discriminator)
    batch_norm.leave_group(discriminator)
    at_once = min(config.batch_size, config.micro_batch_size or config.batch_size)
    right = []
    for start in range(0, len(images) - at_once + 1, at_once) or [0]:
        rows = slice(start, start + at_once)
        label = None if labels is None else torch.from_numpy(labels[rows]).to(hardware.device)
        shown = to_network(images[rows], hardware.device)
        augment_params = torch.from_numpy(np.random.default_rng(start).random((len(shown), AUGMENT_PARAMS), np.float32)).to(
            hardware.device
        )
        with hardware.autocast():
            logits: Tensor = discriminator(augment(shown, augment_params, config.augment), label)[0]
        right.append((logits > boundary).float().mean())
    return float(torch.stack(right).mean())
