"""Network families by name. Importing this needs no torch; a family's own module does."""

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gan.attribute_table import AttributeTable
from gan.latents import InputSpec
from gan.networks.layers.base_grid import Size
from gan.networks.layers.norms import Norm

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gan.networks.family import Discriminator, Family, Generator

# The modules of this package that declare a FAMILY. One of another package calls `register`.
_MODULES = {
    "mlp": "gan.networks.mlp",
    "dcgan": "gan.networks.dcgan",
    "resnet": "gan.networks.resnet",
    "r3gan": "gan.networks.r3gan",
}
# And of families for drawing: networks that were trained elsewhere
_FOR_DRAWING = {
    "stylegan2": "gan.networks.stylegan2",
    "stylegan3": "gan.networks.stylegan3",
}
_registered: dict[str, "Family"] = {}


def names() -> list[str]:
    """All families that can be trained."""
    return [*_MODULES, *(name for name in _registered if name not in _MODULES)]


def register(family: "Family") -> None:
    """Add a family of another package. Raises ValueError if there is one of its name."""
    if family.name in (*names(), *_FOR_DRAWING):
        raise ValueError(f"there is a network family {family.name} already")
    _registered[family.name] = family


def get(name: str) -> "Family":
    """The family of this name. Raises ValueError, with the names that there are, if there is none."""
    if name not in (*names(), *_FOR_DRAWING):
        raise ValueError(f"there is no network family {name[:50]}: take {', '.join(names()[:-1])} or {names()[-1]}")
    if name not in _registered:
        _registered[name] = import_module((_MODULES | _FOR_DRAWING)[name]).FAMILY
    return _registered[name]


def generator(
    name: str,
    input_spec: InputSpec,
    channels: int,  # of an image: 1 grey, 3 RGB
    size: Size,  # height and width of an image in pixels
    arguments: dict[str, Any],  # {"width": ...}; r3gan takes "blocks" too, and all take "attributes"
) -> "Generator":
    """A generator of the family, its weights still to be drawn or loaded. Raises ValueError for what the family cannot be."""
    from gan.networks import attributes

    family, of_family = get(name), {key: value for key, value in arguments.items() if key != attributes.ARGUMENT}
    build = partial(family.generator, channels=channels, size=size, **family.check(of_family))
    if attributes.ARGUMENT not in arguments:
        return build(input_spec)
    return attributes.Generator(input_spec, AttributeTable.model_validate(arguments[attributes.ARGUMENT]), build)


def discriminator(
    name: str,
    channels: int,  # of an image: 1 grey, 3 RGB
    size: Size,  # height and width of an image in pixels
    classes: int | None,  # how many labels; None: unconditional
    norm: Norm,
    arguments: dict[str, Any],  # as the generator's
) -> "Discriminator":
    """A discriminator of the family, its weights still to be drawn or loaded. Raises ValueError for what the family cannot be."""
    family = get(name)
    assert family.discriminator is not None, "only families that can be trained are asked for one"
    return family.discriminator(channels, size, classes=classes, norm=norm, **family.check(arguments))


def initialise(name: str, network: "nn.Module", random: "torch.Generator") -> None:
    """Draw start weights, as the family's paper has them, for either network from `random` alone. It must be in training mode."""
    from gan.networks import attributes

    initialise_network = get(name).initialise
    assert initialise_network is not None, "only families that can be trained are asked to"
    if isinstance(network, attributes.Generator):
        initialise_network(network.generator, random)
        attributes.initialise(network, random)
    else:
        initialise_network(network, random)
