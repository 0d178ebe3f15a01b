"""What the generators of StyleGAN have in common: a mapping network makes styles, and a synthesis network draws from them.

They are for drawing: trained elsewhere, not here. Weights are those that are used: the factors by which NVIDIA's code multiplies
them at run time (equalised learning rates, section 4.1 of arXiv 1710.10196) are part of them.
"""

from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from gan.latents import InputSpec
from gan.networks import family

SLOPE, GAIN, EPS = 0.2, sqrt(2), 1e-8


class Mapping(nn.Module):
    """Latent vectors, and labels, to styles: fully connected layers after a normalisation of each vector."""

    w_avg: Tensor  # float [w_dim], the mean of all styles, from which they are truncated

    def __init__(self, z_dim: int, classes: int | None, w_dim: int, layers: int) -> None:
        super().__init__()
        self.embed = None if classes is None else nn.Linear(classes, w_dim)
        sizes = [z_dim if classes is None else z_dim + w_dim, *[w_dim] * layers]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, *label: Tensor) -> Tensor:
        """float [n, z_dim], and int64 [n] with labels -> styles, float [n, w_dim]."""
        values = _normalised(z)
        if self.embed is not None:
            # The embedding of a one-hot vector, without making one
            embedded = self.embed.weight.t()[label[0]] + self.embed.bias
            values = torch.cat([values, _normalised(embedded)], 1)
        for layer in self.layers:
            values = functional.leaky_relu(layer(values), SLOPE) * GAIN
        return values


def _normalised(values: Tensor) -> Tensor:
    # At least EPS, where the paper's programs add it: exporters to ONNX leave such an addition out, and 0 would be divided by 0.
    return values * values.square().mean(1, keepdim=True).clamp_min(EPS).rsqrt()


class Synthesis(nn.Module):
    """Base of synthesis networks: styles, one for each layer, to images."""

    layers: int  # that have a style of their own

    def forward(self, ws: Tensor) -> Tensor:
        """Styles float [n, layers, w_dim] -> images float [n, channels, side, side], which may go beyond [-1, 1]."""
        raise NotImplementedError


class Generator(family.Generator):
    """Latent vectors, and labels, to images: the mapping network, and the synthesis network with one style for all layers."""

    def __init__(self, input_spec: InputSpec, mapping: Mapping, synthesis: Synthesis) -> None:
        super().__init__()
        self.input_spec, self.mapping, self.synthesis = input_spec, mapping, synthesis

    def forward(self, z: Tensor, *label: Tensor) -> Tensor:
        """float [n, z_dim], and int64 [n] with labels -> float [n, channels, side, side] in [-1, 1]."""
        w = self.mapping(z, *label)
        images: Tensor = self.synthesis(w[:, None].expand(-1, self.synthesis.layers, -1))
        return images.clamp(-1, 1)
