"""What one step plays with: the next images, latent vectors and all that chance decides, pure functions of (seed, images seen).

So nothing of it has to be saved, and a run that was killed goes on with what it would have had.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.latents import InputSpec, code_dtype
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.losses.diffaugment import AUGMENT_PARAMS

_LATENTS, _AUGMENT = 1, 2  # keep the streams of one step apart, and from the order of the data


@dataclass(frozen=True)
class Batch:
    """One process's share of a step, on its device."""

    real: Tensor  # float32 [n, channels, height, width] in [-1, 1]
    label: Tensor | None  # int64 [n], of the real images, and what is asked of the generated ones
    inputs: list[Tensor]  # of the generator: z, label, codes
    augment_params: (
        Tensor  # uniform in [0, 1), [4, n, CHANCES]: how both batches are augmented, for the discriminator and for the generator
    )
    share: Tensor  # uniform in [0, 1), [n]: how far from the real to the generated image WGAN-GP's penalty is taken


def draw(
    dataset: Dataset,
    config: TrainingConfig,
    space: InputSpec,
    seen: int,
    mine: slice,  # the rows of the batch that are this process's
    device: torch.device,
) -> Batch:
    """What the step that follows `seen` images plays with.

    Drawn for the whole batch and then cut, so that it does not matter how many processes share it.
    """
    images, labels = dataset.batch(config.seed, seen, config.batch_size)
    chance = np.random.default_rng([config.seed, seen, _AUGMENT])
    augment_params = chance.random((4, config.batch_size, AUGMENT_PARAMS), np.float32)
    share = chance.random(config.batch_size, np.float32)
    if config.mirror:
        turned = chance.random(config.batch_size) < 0.5
        images[turned] = images[turned, ..., ::-1].copy()
    z, *codes = latents(config, space, seen)
    inputs = [z, *([] if labels is None else [labels]), *codes]
    return Batch(
        to_network(images[mine], device),
        None if labels is None else upload(labels[mine], device),
        [upload(values[mine], device) for values in inputs],
        upload(augment_params[:, mine], device),
        upload(share[mine], device),
    )


def latents(config: TrainingConfig, space: InputSpec, seen: int) -> list[NDArray[Any]]:
    """Latent vectors [batch, z_dim] and codes, each [batch], of the step that follows `seen` images."""
    random = np.random.default_rng([config.seed, seen, _LATENTS])
    shape = (config.batch_size, space.z_dim)
    z = random.standard_normal(shape, np.float32) if space.distribution == "normal" else random.uniform(-1, 1, shape)
    drawn: list[NDArray[Any]] = [z.astype(np.float32)]
    for code in space.codes:
        n, k = config.batch_size, code.categories
        drawn.append((random.uniform(-1, 1, n) if k is None else random.integers(k, size=n)).astype(code_dtype(code)))
    return drawn


def to_network(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 [n, channels, height, width] -> float32 in [-1, 1], channels last, on the device."""
    uploaded = upload(np.ascontiguousarray(images), device)
    return uploaded.to(torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)


def upload(values: NDArray[Any], device: torch.device) -> Tensor:
    """As a tensor on the device; to a GPU from pinned memory, so that the processor need not wait for the copy."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
