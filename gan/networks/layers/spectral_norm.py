"""Spectral normalisation of a discriminator's layers (Miyato et al. 2018, arXiv 1802.05957, algorithm 1)."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from gan.networks.layers.norms import Norm

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.Embedding)

_START_ITERATIONS = 15  # as many as torch makes when it normalises a layer


def normalised(layer: Layer, norm: Norm) -> Layer:
    """The layer itself, its weight divided by an estimate of its largest singular value if the norm is "spectral".

    The estimate takes one power iteration in each forward pass in training mode. Its vectors are buffers, part of the state.
    """
    return parametrizations.spectral_norm(layer) if norm == "spectral" else layer  # type: ignore[return-value]  # it is the same layer


def weight_of(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding) -> Tensor:
    """The parameter itself, before any normalisation."""
    if is_parametrized(layer, "weight"):
        return layer.parametrizations.weight.original  # type: ignore[union-attr, return-value]
    return layer.weight


@torch.no_grad()
def init_power_iteration(network: nn.Module, random: torch.Generator) -> None:
    """Draw the vectors of all power iterations anew and let them settle; call it after the weights are drawn.

    torch draws them when it builds the layers, from its global generator: they would depend on more than the run's seed.
    Does nothing to a network without spectral normalisation; one with it must be in training mode.
    """
    for normalisation in network.modules():
        if isinstance(normalisation, ParametrizationList):
            assert normalisation.training
            for vector in normalisation.buffers():
                vector.normal_(generator=random)
            for _ in range(_START_ITERATIONS):
                normalisation()
