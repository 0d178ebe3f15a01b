"""StyleGAN2 (Karras et al. 2020, arXiv 1912.04958; with labels as in arXiv 2006.06676), for drawing.

The noise is the constant one. Kernels are modulated by scaling the inputs of a
convolution instead of its weights, so that one kernel serves all images of a batch.
"""

from itertools import pairwise
from math import log2

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from gan.latents import InputSpec
from gan.networks import family, styled
from gan.networks.styled import EPS, GAIN, SLOPE

FIR = (1.0, 3.0, 3.0, 1.0)  # binomial filter, section 4.2 and appendix B of arXiv 1912.04958


def _activated(values: Tensor, clamp: float | None) -> Tensor:
    activated = functional.leaky_relu(values, SLOPE) * GAIN
    return activated if clamp is None else activated.clamp(-clamp, clamp)


def _filter(gain: float) -> Tensor:
    """The separable filter as [4, 4], whose sum is the gain."""
    line = torch.tensor(FIR) / sum(FIR)
    return gain * torch.outer(line, line)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and whose output channels are then brought to unit variance."""

    def __init__(self, w_dim: int, before: int, after: int, side: int, up: bool, clamp: float | None) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, before)
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
        self.bias = nn.Parameter(torch.zeros(after))
        self.register_buffer("noise", torch.zeros(side, side))  # the constant one, times its strength
        self.register_buffer("fir", _filter(4).repeat(after, 1, 1, 1), persistent=False)
        self._up, self._clamp, self._after = up, clamp, after

    def forward(self, images: Tensor, w: Tensor) -> Tensor:
        """float [n, before, h, w] and styles [n, w_dim] -> float [n, after, h, w], or twice the rows and columns."""
        style = self.affine(w)
        scaled = images * style[:, :, None, None]
        if self._up:
            grown = functional.conv_transpose2d(scaled, self.weight.transpose(0, 1), stride=2)
            found = functional.conv2d(grown, self.get_buffer("fir"), padding=1, groups=self._after)
        else:
            found = functional.conv2d(scaled, self.weight, padding=1)
        demodulation = (style.square() @ self.weight.square().sum((2, 3)).t()).clamp_min(EPS).rsqrt()
        found = found * demodulation[:, :, None, None] + self.get_buffer("noise") + self.bias[:, None, None]
        return _activated(found, self._clamp)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to the channels of an image, without normalisation."""

    def __init__(self, w_dim: int, before: int, channels: int, clamp: float | None) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, before)
        self.weight = nn.Parameter(torch.randn(channels, before, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self._clamp = clamp

    def forward(self, images: Tensor, w: Tensor) -> Tensor:
        """float [n, before, h, w] and styles [n, w_dim] -> float [n, channels, h, w]."""
        found = functional.conv2d(images * self.affine(w)[:, :, None, None], self.weight) + self.bias[:, None, None]
        return found if self._clamp is None else found.clamp(-self._clamp, self._clamp)


class Synthesis(styled.Synthesis):
    """Styles, one for each layer, to images: blocks that double the size, each of which adds to the image ("skip", figure 7)."""

    def __init__(self, w_dim: int, channels: int, widths: list[int], clamp: float | None) -> None:
        """`widths` are the channels at 4x4, 8x8 …"""
        super().__init__()
        self.const = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.convolutions = nn.ModuleList([ModulatedConv(w_dim, widths[0], widths[0], 4, up=False, clamp=clamp)])
        self.to_rgb = nn.ModuleList([ToRGB(w_dim, widths[0], channels, clamp)])
        for doublings, (before, after) in enumerate(pairwise(widths), 1):
            side = 4 << doublings
            self.convolutions.append(ModulatedConv(w_dim, before, after, side, up=True, clamp=clamp))
            self.convolutions.append(ModulatedConv(w_dim, after, after, side, up=False, clamp=clamp))
            self.to_rgb.append(ToRGB(w_dim, after, channels, clamp))
        self.layers = len(self.convolutions) + 1  # that have a style of their own: the last image has one too
        self.register_buffer("fir", _filter(4).repeat(channels, 1, 1, 1), persistent=False)
        self._channels = channels

    def forward(self, ws: Tensor) -> Tensor:
        """See `styled.Synthesis`."""
        first, *others = self.convolutions
        values = first(self.const.expand(ws.shape[0], -1, -1, -1), ws[:, 0])
        images: Tensor = self.to_rgb[0](values, ws[:, 1])
        for block in range(len(self.to_rgb) - 1):
            # The style of an image is that of the next block's first convolution.
            up, same = others[2 * block : 2 * block + 2]
            values = same(up(values, ws[:, 2 * block + 1]), ws[:, 2 * block + 2])
            images = functional.conv_transpose2d(images, self.get_buffer("fir"), stride=2, padding=1, groups=self._channels)
            images = images + self.to_rgb[block + 1](values, ws[:, 2 * block + 3])
        return images


class Arguments(BaseModel):
    """Sizes of the networks, and the bound on their values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    w_dim: int = Field(512, gt=0)
    layers: int = Field(8, gt=0)
    widths: list[int] | None = None
    clamp: float | None = 256.0


class Generator(styled.Generator):
    """StyleGAN2's two networks."""

    synthesis: Synthesis

    def __init__(
        self,
        input_spec: InputSpec,
        channels: int,
        size: tuple[int, int],  # a square of a power of 2
        w_dim: int = 512,
        layers: int = 8,  # of the mapping network
        widths: list[int] | None = None,  # channels at 4x4, 8x8 … up to the size
        clamp: float | None = 256.0,  # values of the synthesis network lie in [-clamp, clamp]; None: any
    ) -> None:
        """Raises ValueError for another size."""
        height, width = size
        if height != width or height < 8 or height & (height - 1):
            raise ValueError(f"StyleGAN2 draws squares of 8, 16, 32 … pixels a side, not {width}x{height}")
        doublings = int(log2(height)) - 2
        widths = widths or [min(32768 // (4 << level), 512) for level in range(doublings + 1)]
        if len(widths) != doublings + 1:
            raise ValueError(f"an image of {width}x{height} has {doublings + 1} sizes of blocks, not {len(widths)}")
        mapping = styled.Mapping(input_spec.z_dim, input_spec.classes, w_dim, layers)
        super().__init__(input_spec, mapping, Synthesis(w_dim, channels, widths, clamp))


FAMILY = family.Family("stylegan2", Generator, arguments=Arguments)
