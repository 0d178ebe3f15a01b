"""What NVIDIA's StyleGAN2 and StyleGAN3 write in the same way: fully connected layers, and the mapping network of them."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan.latents import InputSpec, inputs_of_seeds
from gan.networks import styled
from training.convert.files.records import Module
from training.convert.files.sources import Tensors
from training.convert.kinds.base import Account

_MAPPING_RATE = 0.01  # the learning rate of mapping networks relative to others, which a state dict does not say
_AVERAGED = 10_000  # styles whose mean is the mean style, where a file does not say it


def plain(module: Module | None, path: str, name: str, otherwise: Any) -> Any:
    """A plain attribute of an inner module, or what it is by default if the file is a state dict, which has no attributes."""
    inner = None if module is None else module.module(path)
    return otherwise if inner is None else inner.attribute(name, otherwise)


def move_linear(account: Account, module: Module | None, theirs: str, ours: str, *, rate: float = 1.0, gain: float = 1.0) -> None:
    """A fully connected layer, whose weights become those that are used: times its gains, and times `gain`."""
    weight = account.take(f"{theirs}.weight", f"{ours}.weight")
    weight_gain = plain(module, theirs, "weight_gain", rate / sqrt(weight.shape[1]))
    account.put(f"{ours}.weight", weight * np.float32(weight_gain * gain), f"{theirs}.weight")
    account.move(f"{theirs}.bias", f"{ours}.bias", plain(module, theirs, "bias_gain", rate) * gain)


def move_mapping(account: Account, module: Module | None, mapping: styled.Mapping) -> None:
    """A mapping network with its mean style."""
    if mapping.embed is not None:
        move_linear(account, module, "mapping.embed", "mapping.embed")
    for number in range(len(mapping.layers)):
        move_linear(account, module, f"mapping.fc{number}", f"mapping.layers.{number}", rate=_MAPPING_RATE)
    account.move("mapping.w_avg", "mapping.w_avg")


def mapping_sizes(tensors: Tensors, layer: Callable[[int], str], embed: str) -> tuple[InputSpec, int, int]:
    """From the shapes of the layers' weights: the inputs, the components of a style, and the number of layers."""
    layers = 0
    while layer(layers) in tensors:
        layers += 1
    w_dim, inputs = tensors[layer(0)].shape
    classes = tensors[embed].shape[1] if embed in tensors else None
    return InputSpec(inputs if classes is None else inputs - tensors[embed].shape[0], classes=classes), w_dim, layers


@torch.no_grad()
def mean_style(mapping: styled.Mapping, input_spec: InputSpec) -> NDArray[np.float32]:
    """The mean style of many seeds, where a file has none."""
    rows = [torch.from_numpy(column) for column in inputs_of_seeds(range(_AVERAGED), input_spec).values()]
    found: NDArray[np.float32] = mapping(*rows).mean(0).numpy()
    return found
