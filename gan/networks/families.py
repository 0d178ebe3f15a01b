"""The network families by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from gan.latents import InputSpec
from gan.manifest import ArchitectureName
from gan.networks import dcgan, mlp, r3gan, resnet
from gan.networks.layers.base_grid import Size
from gan.networks.layers.norms import Norm

Generator = mlp.Generator | dcgan.Generator | resnet.Generator | r3gan.Generator
Discriminator = mlp.Discriminator | dcgan.Discriminator | resnet.Discriminator | r3gan.Discriminator


@dataclass(frozen=True)
class Family:
    """What a file of this folder has."""

    generator: Callable[..., Generator]
    discriminator: Callable[..., Discriminator]
    initialise: Callable[[nn.Module, torch.Generator], None]
    arguments: frozenset[str] = frozenset({"width"})  # numbers that both networks take beside the common ones


FAMILIES: dict[ArchitectureName, Family] = {
    "mlp": Family(mlp.Generator, mlp.Discriminator, mlp.initialise),
    "dcgan": Family(dcgan.Generator, dcgan.Discriminator, dcgan.initialise),
    "resnet": Family(resnet.Generator, resnet.Discriminator, resnet.initialise),
    "r3gan": Family(r3gan.Generator, r3gan.Discriminator, r3gan.initialise, frozenset({"width", "blocks"})),
}


def generator(
    name: ArchitectureName,
    space: InputSpec,
    channels: int,  # of a image: 1 grey, 3 RGB
    size: Size,  # height and width of a image in pixels
    arguments: dict[str, int],  # {"width": ...}; r3gan takes "blocks" too
) -> Generator:
    """A generator of the family, its weights still to be drawn or loaded. Raises ValueError for what the family cannot be."""
    _check(name, arguments)
    return FAMILIES[name].generator(space, channels, size, **arguments)


def discriminator(
    name: ArchitectureName,
    channels: int,  # of a image: 1 grey, 3 RGB
    size: Size,  # height and width of a image in pixels
    classes: int | None,  # how many labels; None: unconditional
    norm: Norm,
    arguments: dict[str, int],  # as of the generator
) -> Discriminator:
    """A discriminator of the family, its weights still to be drawn or loaded. Raises ValueError for what the family cannot be."""
    _check(name, arguments)
    return FAMILIES[name].discriminator(channels, size, classes=classes, norm=norm, **arguments)


def initialise(name: ArchitectureName, network: nn.Module, random: torch.Generator) -> None:
    """Give either network of the family its paper's start weights, drawn from `random` alone. It must be in training mode."""
    FAMILIES[name].initialise(network, random)


def _check(name: ArchitectureName, arguments: dict[str, int]) -> None:
    if wrong := arguments.keys() - FAMILIES[name].arguments:
        raise ValueError(
            f"{name} networks take no {', '.join(sorted(wrong))}: they take {', '.join(sorted(FAMILIES[name].arguments))}"
        )
