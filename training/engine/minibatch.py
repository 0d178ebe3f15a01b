"""Inputs of one step: images, latents and everything random, pure functions of (seed, images seen).

So no random state has to be saved, and a resumed run gets the minibatches that it would have had.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.attribute_table import chosen
from gan.latents import InputSpec, code_dtype
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.losses.diffaugment import AUGMENT_PARAMS

_LATENTS, _AUGMENT = 1, 2  # separate the random streams of one step from each other and from the order of the data


@dataclass(frozen=True)
class AttributeTargets:
    """What images show by the data's table of attributes, [n, columns], int64."""

    real: Tensor  # the place of each value among those of its class and column
    fake: Tensor  # the same, as the latent vectors choose it
    first: Tensor  # index of a class's and column's first value among all values
    values: Tensor  # how many the class and column has
    most: int  # of them in any class and column

    def rows(self, rows: slice) -> "AttributeTargets":
        """Those of some images."""
        return AttributeTargets(self.real[rows], self.fake[rows], self.first[rows], self.values[rows], self.most)


@dataclass(frozen=True)
class Minibatch:
    """Rows of a step that one process computes, on its device."""

    real: Tensor  # float32 [n, channels, height, width] in [-1, 1]; points in the plane [n, 2, 1, 1]
    label: Tensor | None  # int64 [n], of the real images; the generated ones are conditioned on the same labels
    inputs: list[Tensor]  # of the generator: z, label, codes
    # Uniform in [0, 1), [4, n, AUGMENT_PARAMS]: real and generated images, in the discriminator's and in the generator's loss
    augment_params: Tensor
    interp_alpha: Tensor  # uniform in [0, 1), [n]: from the real (0) to the generated image (1), where WGAN-GP's penalty is taken
    attributes: AttributeTargets | None = None

    def parts(self, size: int | None) -> list["Minibatch"]:
        """Consecutive parts of `size` rows each, of which n is a multiple; the minibatch itself if `size` is None or no less."""
        if size is None or size >= len(self.real):
            return [self]
        return [self._rows(slice(start, start + size)) for start in range(0, len(self.real), size)]

    def _rows(self, rows: slice) -> "Minibatch":
        return Minibatch(
            self.real[rows],
            None if self.label is None else self.label[rows],
            [values[rows] for values in self.inputs],
            self.augment_params[:, rows],
            self.interp_alpha[rows],
            None if self.attributes is None else self.attributes.rows(rows),
        )


def make_minibatch(
    dataset: Dataset,
    config: TrainingConfig,
    input_spec: InputSpec,
    seen: int,
    rows: slice,  # of the whole batch, that this process computes
    device: torch.device,
) -> Minibatch:
    """The minibatch of the step that follows `seen` images.

    Drawn for the whole batch and then sliced, so that it does not depend on the number of processes.
    """
    images, labels = dataset.batch(config.seed, seen, config.batch_size)
    random = np.random.default_rng([config.seed, seen, _AUGMENT])
    augment_params = random.random((4, config.batch_size, AUGMENT_PARAMS), np.float32)
    interp_alpha = random.random(config.batch_size, np.float32)
    if config.mirror:
        mirrored = random.random(config.batch_size) < 0.5
        images[mirrored] = images[mirrored, ..., ::-1].copy()
    z, *codes = sample_latents(config, input_spec, seen)
    inputs = [z, *([] if labels is None else [labels]), *codes]
    return Minibatch(
        to_network(images[rows], device),
        None if labels is None else upload(labels[rows], device),
        [upload(values[rows], device) for values in inputs],
        upload(augment_params[:, rows], device),
        upload(interp_alpha[rows], device),
        _attributes(dataset, config, input_spec, seen, z, labels, rows, device),
    )


def _attributes(
    dataset: Dataset,
    config: TrainingConfig,
    input_spec: InputSpec,
    seen: int,
    z: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    rows: slice,
    device: torch.device,
) -> AttributeTargets | None:
    if dataset.attributes is None:
        return None
    given = dataset.attributes
    places = given.places[dataset.indices(config.seed, seen, config.batch_size)]
    of_images = np.zeros(len(z), np.int64) if labels is None else labels
    arrays = (
        places.astype(np.int64),
        chosen(z, labels, given.thresholds[input_spec.distribution]),
        given.firsts[of_images],
        given.counts[of_images],
    )
    real, fake, first, values = (upload(array[rows], device) for array in arrays)
    return AttributeTargets(real, fake, first, values, int(given.counts.max()))


class Minibatches:
    """The minibatches of a run, of which the next may be made in a thread while the networks are at work on another."""

    def __init__(self, make: Callable[[int], Minibatch]) -> None:
        """`make` gives the minibatch of the step that follows so many images."""
        self._make = make
        self._thread = ThreadPoolExecutor(1, "minibatch")
        self._next: tuple[int, Future[Minibatch]] | None = None

    def at(self, seen: int) -> Minibatch:
        """The minibatch of the step that follows `seen` images."""
        started, self._next = self._next, None
        return started[1].result() if started is not None and started[0] == seen else self._make(seen)

    def prefetch(self, seen: int) -> None:
        """Begin to make a minibatch that will be asked for."""
        self._next = seen, self._thread.submit(self._make, seen)


def sample_latents(config: TrainingConfig, input_spec: InputSpec, seen: int) -> list[NDArray[Any]]:
    """Latent vectors [batch, z_dim] and codes, each [batch], of the step that follows `seen` images."""
    random = np.random.default_rng([config.seed, seen, _LATENTS])
    shape = (config.batch_size, input_spec.z_dim)
    z = random.standard_normal(shape, np.float32) if input_spec.distribution == "normal" else random.uniform(-1, 1, shape)
    sampled: list[NDArray[Any]] = [z.astype(np.float32)]
    for code in input_spec.codes:
        n, k = config.batch_size, code.categories
        sampled.append((random.uniform(-1, 1, n) if k is None else random.integers(k, size=n)).astype(code_dtype(code)))
    return sampled


def to_network(images: NDArray[Any], device: torch.device) -> Tensor:
    """uint8 [n, channels, height, width] -> float32 in [-1, 1], channels last, on the device; points are float32 already."""
    uploaded = upload(np.ascontiguousarray(images), device)
    if uploaded.dtype == torch.float32:
        return uploaded
    return uploaded.to(torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)


def upload(values: NDArray[Any], device: torch.device) -> Tensor:
    """Copy to a tensor on the device; to a GPU from pinned memory, so that the CPU need not wait for the copy."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
