"""StyleGAN3's generator (Karras et al. 2021, arXiv 2106.12423), both configurations, for drawing.

Filters, factors and paddings are those that the network was trained with, and are given: nothing is designed here. Kernels are
modulated by scaling the inputs of a convolution instead of its weights, as in `gan.networks.stylegan2`.
"""

from math import pi
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from gan.latents import InputSpec
from gan.networks import family, styled
from gan.networks.styled import EPS, GAIN, SLOPE


class _Fixed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputArguments(_Fixed):
    """Of the Fourier features that the network begins with (section 3.2)."""

    channels: int = Field(gt=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    sampling_rate: float = Field(gt=0)
    bandwidth: float = Field(ge=0)


class LayerArguments(_Fixed):
    """Of one layer: a modulated convolution, then a nonlinearity at a higher sampling rate (section 3.1 and figure 4b)."""

    inputs: int = Field(gt=0)
    outputs: int = Field(gt=0)
    kernel: int = Field(gt=0)
    up: int = Field(gt=0)  # times the sampling rate for the nonlinearity
    down: int = Field(gt=0)  # and back by this
    up_filter: list[int] | None  # shape: one side if it is separable, two if not; None: no filter
    down_filter: list[int] | None
    padding: tuple[int, int, int, int]  # left, right, top, bottom, of the signal at the higher rate; negative ones cut off
    to_rgb: bool  # the last layer, which is linear and not demodulated
    clamp: float | None


class Arguments(_Fixed):
    """Sizes of both networks."""

    w_dim: int = Field(gt=0)
    mapping_layers: int = Field(gt=0)
    input: InputArguments
    layers: list[LayerArguments] = Field(min_length=1)
    output_scale: float

    @classmethod
    def of(cls, arguments: "Arguments | dict[str, object]") -> Self:
        """From JSON."""
        return cls.model_validate(arguments)


class FourierFeatures(nn.Module):
    """Waves of fixed frequencies, turned and moved by the first style, then mixed (section 3.2, appendix F)."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor
    grid: Tensor

    def __init__(self, w_dim: int, arguments: InputArguments) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, 4)
        self.weight = nn.Parameter(torch.randn(arguments.channels, arguments.channels))
        self.register_buffer("freqs", torch.randn(arguments.channels, 2))
        self.register_buffer("phases", torch.rand(arguments.channels))
        self.register_buffer("transform", torch.eye(3))
        self._rate, self._bandwidth = arguments.sampling_rate, arguments.bandwidth
        x, y = (_centres(side) * (side / arguments.sampling_rate / 2) for side in (arguments.width, arguments.height))
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).reshape(-1, 2)
        self.register_buffer("grid", grid, persistent=False)
        self._width, self._height = arguments.width, arguments.height

    def forward(self, w: Tensor) -> Tensor:
        """Styles float [n, w_dim] -> float [n, channels, height, width]."""
        turn = self.affine(w)
        turn = turn / turn[:, :2].norm(dim=1, keepdim=True)
        cosine, sine, x, y = turn.unbind(1)
        # The image is turned, then moved: both rows of the product of the two matrices, without their last row (0, 0, 1)
        first = torch.stack([cosine, -sine, -cosine * x + sine * y], 1)
        second = torch.stack([sine, cosine, -sine * x - cosine * y], 1)
        matrix = torch.stack([first, second], 1) @ self.transform
        phases = self.phases + (self.freqs @ matrix[:, :, 2:]).squeeze(2)
        freqs = self.freqs @ matrix[:, :, :2]
        amplitudes = (1 - (freqs.norm(dim=2) - self._bandwidth) / (self._rate / 2 - self._bandwidth)).clamp(0, 1)
        waves = torch.sin((self.grid @ freqs.transpose(1, 2) + phases[:, None]) * (2 * pi)) * amplitudes[:, None]
        features = waves @ self.weight.t()
        return features.transpose(1, 2).unflatten(2, (self._height, self._width))  # type: ignore[no-any-return]


def _centres(side: int) -> Tensor:
    """Centres of pixels between -1 and 1."""
    return (2 * torch.arange(side) + 1) / side - 1


class Layer(nn.Module):
    """A modulated convolution; then up, leaky ReLU, and down again."""

    weight: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None
    input_gain: Tensor

    def __init__(self, w_dim: int, arguments: LayerArguments) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, arguments.inputs)
        self.weight = nn.Parameter(torch.randn(arguments.outputs, arguments.inputs, arguments.kernel, arguments.kernel))
        self.bias = nn.Parameter(torch.zeros(arguments.outputs))
        self.register_buffer("input_gain", torch.ones(()))  # brings the layer's input to unit variance
        for name, shape in (("up_filter", arguments.up_filter), ("down_filter", arguments.down_filter)):
            self.register_buffer(name, None if shape is None else torch.ones(shape))
        self._arguments = arguments

    def forward(self, images: Tensor, w: Tensor) -> Tensor:
        """float [n, inputs, h, w] and styles [n, w_dim] -> float [n, outputs, h', w']."""
        about, style, weight = self._arguments, self.affine(w), self.weight
        if not about.to_rgb:
            # NVIDIA takes the mean over the batch, which demodulation undoes but for EPS; of one image, no other image matters.
            style = style * (style.square().mean(1, keepdim=True)).rsqrt()
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        found = functional.conv2d(images * (style * self.input_gain)[:, :, None, None], weight, padding=about.kernel - 1)
        if not about.to_rgb:
            found = found * (style.square() @ weight.square().sum((2, 3)).t()).clamp_min(EPS).rsqrt()[:, :, None, None]
        found = found + self.bias[:, None, None]
        found = _raised(found, self.up_filter, about.up, about.padding)
        if not about.to_rgb:
            found = functional.leaky_relu(found, SLOPE) * GAIN
        if about.clamp is not None:
            found = found.clamp(-about.clamp, about.clamp)
        return _lowered(found, self.down_filter, about.down)


def _raised(images: Tensor, fir: Tensor | None, up: int, padding: tuple[int, int, int, int]) -> Tensor:
    """Zeros between the values, `up` - 1 of them, zeros around (or values cut off), and the filter, whose gain is up^2."""
    left, right, top, bottom = padding
    if fir is None:
        if up > 1:
            raise ValueError("a layer that raises the sampling rate needs a filter for it")
        return _cut(images, -left, images.shape[3] + left + right, -top, images.shape[2] + top + bottom)
    taps, height, width = fir.shape[0], images.shape[2] * up, images.shape[3] * up
    for kernel in _kernels(fir * up**fir.ndim):
        channels = images.shape[1]
        stride = (up if kernel.shape[0] > 1 else 1, up if kernel.shape[1] > 1 else 1)
        images = functional.conv_transpose2d(images, kernel.expand(channels, 1, -1, -1), stride=stride, groups=channels)
    # Of all sums of the filter with the values, those in which zeros beyond the padding have no part
    return _cut(images, taps - 1 - left, width + left + right - taps + 1, taps - 1 - top, height + top + bottom - taps + 1)


def _lowered(images: Tensor, fir: Tensor | None, down: int) -> Tensor:
    """The filter, and of its results each `down`-th."""
    if fir is None:
        return images[:, :, ::down, ::down] if down > 1 else images
    for kernel in _kernels(fir.flip(tuple(range(fir.ndim)))):
        channels = images.shape[1]
        stride = (down if kernel.shape[0] > 1 else 1, down if kernel.shape[1] > 1 else 1)
        images = functional.conv2d(images, kernel.expand(channels, 1, -1, -1), stride=stride, groups=channels)
    return images


def _kernels(fir: Tensor) -> list[Tensor]:
    """A filter as kernels to apply one after the other: two of one dimension if it is separable."""
    return [fir] if fir.ndim == 2 else [fir[:, None], fir[None]]


def _cut(images: Tensor, left: int, width: int, top: int, height: int) -> Tensor:
    """The part that begins at a column and a row and has a width and a height; zeros where there is nothing."""
    right, bottom = left + width - images.shape[3], top + height - images.shape[2]
    beyond = [max(side, 0) for side in (-left, right, -top, bottom)]
    if any(beyond):
        images = functional.pad(images, beyond)
    first_column, first_row = max(left, 0), max(top, 0)
    return images[:, :, first_row : first_row + height, first_column : first_column + width]


class Synthesis(styled.Synthesis):
    """Styles, one for the Fourier features and one for each layer, to images."""

    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        self.input = FourierFeatures(arguments.w_dim, arguments.input)
        self.steps = nn.ModuleList(Layer(arguments.w_dim, one) for one in arguments.layers)
        self.layers = len(self.steps) + 1
        self._scale = arguments.output_scale

    def forward(self, ws: Tensor) -> Tensor:
        """See `styled.Synthesis`."""
        images = self.input(ws[:, 0])
        for place, step in enumerate(self.steps, 1):
            images = step(images, ws[:, place])
        return images * self._scale  # type: ignore[no-any-return]


class Generator(styled.Generator):
    """StyleGAN3's two networks."""

    synthesis: Synthesis

    def __init__(self, input_spec: InputSpec, channels: int, size: tuple[int, int], **arguments: object) -> None:
        """`arguments` are those of `Arguments`. Raises ValueError if they do not end in images of these channels and this size."""
        about = Arguments.of(arguments)
        if about.layers[-1].outputs != channels:
            raise ValueError(f"the last layer has {about.layers[-1].outputs} outputs for images of {channels} channels")
        mapping = styled.Mapping(input_spec.z_dim, input_spec.classes, about.w_dim, about.mapping_layers)
        super().__init__(input_spec, mapping, Synthesis(about))
        self.size = size


FAMILY = family.Family("stylegan3", Generator, arguments=Arguments)
