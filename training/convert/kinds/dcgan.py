"""DCGANs, whose layers are ours in the same order under other names."""

import re
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from gan.latents import InputSpec
from gan.networks import dcgan
from gan.networks.layers.base_grid import base_grid
from training.convert.files.sources import State
from training.convert.kinds.base import Account, DiscriminatorError, Kind, Recognised
from training.errors import ConversionError

_TUTORIALS = re.compile(r"(?:module\.)?(?:main|model|layers)\.(\d+)\.(\w+)")
_ZOOS = re.compile(r"(?:module\.)?(formatLayer|main\.(?:batchNorm\d+|convTranspose\d+|outlayer))\.(\w+)")


def _order_in_zoo(layer: str) -> tuple[int, ...]:
    """formatLayer, main.batchNorm0, main.convTranspose1, main.batchNorm1 …, main.outlayer."""
    number = int((re.findall(r"\d+", layer) or ["0"])[0])
    if layer == "formatLayer":
        return (-1,)
    return (10**6,) if "outlayer" in layer else (number, "batchNorm" in layer)


def _matches(names: re.Pattern[str], state: State) -> bool:
    """Whether all names are of layers, and three layers or more are convolutions."""
    kernels = [name for name, values in state.tensors.items() if values.ndim == 4]
    return len(kernels) >= 3 and all(names.fullmatch(name) for name in state.tensors)


def _build(title: str, names: re.Pattern[str], order: Callable[[str], tuple[int, ...]], state: State) -> Recognised:
    layers: dict[str, dict[str, str]] = {}  # layer -> what of it -> name of the tensor
    for name in state.tensors:
        match = names.fullmatch(name)
        assert match is not None, "all names match"
        layers.setdefault(match[1], {})[match[2]] = name
    theirs = [layers[layer] for layer in sorted(layers, key=order)]
    kernels = [values for layer in theirs if (values := state.tensors.get(layer.get("weight", ""), np.zeros(0))).ndim == 4]
    generator, width = _network(kernels)
    _, channels, height, width_of_image = _image(kernels)
    ours = _by_layer(generator.state_dict())
    if len(ours) != len(theirs):
        raise ConversionError(
            f"a DCGAN of {width_of_image}x{height} images has {len(ours)} layers with weights, and the file has {len(theirs)}"
        )
    account = Account(state.tensors, generator, "a DCGAN")
    for mine, other in zip(ours.values(), theirs, strict=True):
        for part, name in mine.items():
            if part == "num_batches_tracked" and part not in other:
                account.fill(name)
                continue
            if part not in other:
                raise ConversionError(f"the file has no tensor for {name}: the layer has {', '.join(other) or 'nothing'}")
            account.move(other[part], name)
    became = dict(account.close())
    return Recognised(title, "dcgan", {"width": width}, generator.eval(), channels, (height, width_of_image), became)


def _image(kernels: list[np.ndarray]) -> tuple[int, int, int, int]:
    """Components of a latent vector, and the channels, height and width of an image."""
    first, last, doublings = kernels[0], kernels[-1], len(kernels) - 1
    return first.shape[0], last.shape[1], first.shape[2] << doublings, first.shape[3] << doublings


def _network(kernels: list[np.ndarray]) -> tuple[dcgan.Generator, int]:
    first, last = kernels[0], kernels[-1]
    if first.shape[1] in (1, 3) and last.shape[0] == 1:  # [out, in, rows, columns], where transposed ones have [in, out, …]
        raise DiscriminatorError
    z_dim, channels, height, width = _image(kernels)
    try:
        base_grid((height, width))
        return dcgan.Generator(InputSpec(z_dim), channels, (height, width), last.shape[0]), last.shape[0]
    except ValueError as error:
        raise ConversionError(f"a DCGAN of {width}x{height} images cannot be built here: {error}") from error


def _by_layer(state: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Layer -> what of it -> the tensor's name."""
    found: dict[str, dict[str, str]] = {}
    for name in state:
        layer, _, part = name.rpartition(".")
        found.setdefault(layer, {})[part] = name
    return found


KINDS = [
    Kind(
        "dcgan",
        partial(_matches, _TUTORIALS),
        partial(_build, "DCGAN, as in PyTorch's tutorial", _TUTORIALS, lambda layer: (int(layer),)),
    ),
    Kind("dcgan-zoo", partial(_matches, _ZOOS), partial(_build, "DCGAN of pytorch_GAN_zoo", _ZOOS, _order_in_zoo)),
]
