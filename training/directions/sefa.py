"""Directions in closed form, from the generator's first weights: SeFa (Shen and Zhou 2021, arXiv 2007.06600).

Whatever a latent vector changes in an image passes through the first layer that takes it, y = A^T z. The directions along which y
moves farthest are the eigenvectors of A A^T with the largest eigenvalues (equation 5). As in the authors' program, the columns of A
are scaled to length 1 first. For networks whose first layer is linear these are, but for that scaling, the principal components of
GANSpace (Härkönen et al. 2020, arXiv 2004.02546) in that layer.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan.networks import attributes, dcgan, mlp, r3gan, resnet, styled, stylegan2, stylegan3
from gan.networks.family import Generator
from training.errors import UsageError


@dataclass(frozen=True)
class Component:
    """One direction."""

    direction: NDArray[np.float64]  # [z_dim] of length 1, or of styles [w_dim]
    strength: float  # its eigenvalue, in means of all


def components(generator: Generator, n: int) -> list[Component]:
    """The first n directions, at most as many as a latent vector has components, by falling eigenvalue.

    Signs are free; the largest component of each is positive. Raises UsageError for a family whose first layer is not known here.
    """
    weights = _first_weights(generator).detach().double().numpy()
    lengths = np.linalg.norm(weights, axis=0, keepdims=True)
    weights = weights / np.where(lengths > 0, lengths, 1)
    values, vectors = np.linalg.eigh(weights @ weights.T)
    order = np.argsort(values)[::-1][:n]
    found = []
    for place in order:
        vector = vectors[:, place]
        sign = np.sign(vector[np.abs(vector).argmax()])
        found.append(Component(sign * vector, float(values[place] / values.mean())))
    return found


def _first_weights(generator: Generator) -> Tensor:
    """The weights that latent vectors, or styles, meet first, float [components, outputs]; labels and codes are left out."""
    z_dim = generator.input_spec.z_dim
    match generator:
        case styled.Generator():
            return torch.cat([layer.get_submodule("affine").get_parameter("weight") for layer in _styled_layers(generator)]).T
        case dcgan.Generator():
            return generator.layers[0].get_parameter("weight")[:z_dim].flatten(1)
        case resnet.Generator():
            return generator.first.weight[:, :z_dim].T
        case attributes.Generator():
            # A component that chooses an attribute is no input of the network in the classes where there is a choice.
            weights, without = _first_weights(generator.generator)[:z_dim], 1 - generator.chooses.float().mean(0)
            return weights * without[:, None]
        case mlp.Generator():
            return generator.layers[0].get_parameter("weight")[:, :z_dim].T
        case r3gan.Generator():
            return generator.scale.weight[:, :z_dim].T
    raise _unknown(generator)


def _styled_layers(generator: styled.Generator) -> list[nn.Module]:
    """The layers that make features of styles; those that only turn features into colours are left out."""
    match generator.synthesis:
        case stylegan2.Synthesis() as synthesis:
            return list(synthesis.convolutions)
        case stylegan3.Synthesis() as synthesis:
            return list(synthesis.steps)[:-1]
    raise _unknown(generator)


def _unknown(generator: Generator) -> UsageError:
    return UsageError(
        f"--sefa: the first layer of {type(generator).__module__} is not known here: give --sefa 0, for attributes alone"
    )
