"""SNGAN's residual networks (Miyato et al. 2018, arXiv 1802.05957, appendix B.4, table 4: 32x32 images), at any size.

Labels are taken as by Miyato and Koyama 2018 (arXiv 1802.05637): the generator by class-conditional batch normalisation, the
discriminator by projection. With a width of 128 and 32x32 RGB images the generator (z of 128 components) has 4,276,739 parameters
and the discriminator 1,053,824, both without labels.
"""

from dataclasses import replace
from itertools import pairwise
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from gan.latents import InputSpec
from gan.networks import family
from gan.networks.layers import conditioning, spectral_norm
from gan.networks.layers.base_grid import Size, base_grid
from gan.networks.layers.norms import Norm, check_norm

_NORMS: tuple[Norm, ...] = ("spectral", "none", "batch")

_PAPERS_DOUBLINGS = 3  # from 4x4 to 32x32


Upsampling = Literal["nearest", "bilinear"]


class Arguments(family.WidthArguments):
    """Adds what networks of other programs have otherwise."""

    upsampling: Upsampling = "nearest"  # how rows and columns are doubled
    widths: list[int] | None = None  # channels from the base grid to the image, one more than blocks; None: by the width


def _narrowed(width: int, times: int, smallest: int) -> int:
    """A width halved some times, but not below the smallest."""
    return max(width >> times, smallest, 1)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are the label's own (Miyato and Koyama 2018); plain without labels."""

    def __init__(self, channels: int, classes: int | None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=classes is None)
        self.gain = None if classes is None else nn.Embedding(classes, channels)
        self.bias = None if classes is None else nn.Embedding(classes, channels)

    def forward(self, input: Tensor, label: Tensor | None) -> Tensor:
        """float [n, channels, rows, columns], int64 [n] or None without labels -> float of the same shape."""
        normal: Tensor = self.norm(input)
        if self.gain is None or self.bias is None:
            return normal
        gain, bias = (values(label)[:, :, None, None].type_as(normal) for values in (self.gain, self.bias))
        modulated: Tensor = normal * gain + bias
        return modulated


class UpBlock(nn.Module):
    """Twice the rows and columns: normalise, ReLU, double, convolve, normalise, ReLU, convolve; beside it a 1x1 shortcut."""

    def __init__(self, before: int, after: int, classes: int | None, upsampling: Upsampling = "nearest") -> None:
        super().__init__()
        self._upsampling = upsampling
        self.first_norm = ConditionalBatchNorm(before, classes)
        self.first = nn.Conv2d(before, after, kernel_size=3, padding=1)
        self.second_norm = ConditionalBatchNorm(after, classes)
        self.second = nn.Conv2d(after, after, kernel_size=3, padding=1)
        self.shortcut = nn.Conv2d(before, after, kernel_size=1)

    def forward(self, input: Tensor, label: Tensor | None) -> Tensor:
        """float [n, before, rows, columns], int64 [n] or None -> float [n, after, 2 rows, 2 columns]."""
        residual: Tensor = self.first(self._doubled(functional.relu(self.first_norm(input, label))))
        residual = self.second(functional.relu(self.second_norm(residual, label)))
        # A 1x1 convolution and the doubling commute; this way round it takes a quarter of the work.
        return residual + self._doubled(self.shortcut(input))

    def _doubled(self, images: Tensor) -> Tensor:
        if self._upsampling == "nearest":
            return functional.interpolate(images, scale_factor=2.0, mode="nearest")
        return functional.interpolate(images, scale_factor=2.0, mode="bilinear", align_corners=False)


class Generator(family.Generator):
    """Latent vectors to images: a linear layer to the base grid, then one residual block for each doubling.

    The first three blocks have twice the width, which are all for a 32x32 image; each one beyond has half the channels of the one
    before, but not below a quarter of the width.
    """

    def __init__(
        self,
        input_spec: InputSpec,  # latent vectors, and the label and the codes if there are any
        channels: int,  # of an image: 1 grey, 3 RGB
        size: Size,  # of an image in pixels, one that `base_grid` takes
        width: int,  # half the channels of a block: the paper's 256 are a width of 128
        upsampling: Upsampling = "nearest",
        widths: list[int] | None = None,  # channels from the base grid to the image; None: by the width
    ) -> None:
        """Raises ValueError for a size that `base_grid` does not take, and for widths that are too few or too many."""
        super().__init__()
        grid = base_grid(size)
        self.input_spec = input_spec
        self.codes = replace(input_spec, classes=None)  # what is appended to the latent vector; the label is not
        if widths is None:
            widths = [
                _narrowed(2 * width, max(doubling - _PAPERS_DOUBLINGS, 0), smallest=width // 4)
                for doubling in range(grid.doublings + 1)
            ]
        elif len(widths) != grid.doublings + 1:
            raise ValueError(f"an image of {size[1]}x{size[0]} takes {grid.doublings + 1} widths, not {len(widths)}")
        self.grid = (widths[0], grid.rows, grid.columns)
        self.first = nn.Linear(input_spec.z_dim + conditioning.condition_size(self.codes), widths[0] * grid.rows * grid.columns)
        self.blocks = nn.ModuleList(UpBlock(before, after, input_spec.classes, upsampling) for before, after in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.last = nn.Conv2d(widths[-1], channels, kernel_size=3, padding=1)

    def forward(self, z: Tensor, *label_and_codes: Tensor) -> Tensor:
        """float [n, z_dim], and the rest of `input_spec.names`, each [n] -> float [n, channels, height, width] in [-1, 1].

        The label chooses the gains and biases of the normalisation; codes stand beside the latent vector.
        """
        label, codes = None, label_and_codes
        if self.input_spec.classes is not None:
            label, *others = label_and_codes
            codes = tuple(others)
        if codes:
            z = torch.cat([z, conditioning.condition_vector(self.codes, codes, like=z)], 1)
        images: Tensor = self.first(z).view(-1, *self.grid)
        for block in self.blocks:
            images = block(images, label)
        return torch.tanh(self.last(functional.relu(self.norm(images))))


class DownBlock(nn.Module):
    """ReLU, convolve, ReLU, convolve, and halve where asked for; beside it a shortcut, 1x1 where anything changes.

    The first block of a network has no ReLU before its first convolution, which would cut off half of the image's values.
    """

    def __init__(self, before: int, after: int, norm: Norm, first: bool = False, halve: bool = True) -> None:
        super().__init__()
        inner = after if first else before
        self.is_first, self.halve = first, halve
        self.first = spectral_norm.normalised(nn.Conv2d(before, inner, kernel_size=3, padding=1), norm)
        self.second = spectral_norm.normalised(nn.Conv2d(inner, after, kernel_size=3, padding=1), norm)
        changes = halve or before != after
        self.shortcut = spectral_norm.normalised(nn.Conv2d(before, after, kernel_size=1), norm) if changes else nn.Identity()
        # Before each ReLU, as in the generator; the image itself is not normalised.
        self.first_norm = nn.BatchNorm2d(before) if norm == "batch" and not first else nn.Identity()
        self.second_norm = nn.BatchNorm2d(inner) if norm == "batch" else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """float [n, before, rows, columns] -> float [n, after, rows, columns], or half as many of these two."""
        residual = self.first(input if self.is_first else functional.relu(self.first_norm(input)))
        residual = self.second(functional.relu(self.second_norm(residual)))
        if not self.halve:
            return residual + self.shortcut(input)  # type: ignore[no-any-return]
        # A 1x1 convolution and the mean commute; this way round it takes a quarter of the work.
        return functional.avg_pool2d(residual, 2) + self.shortcut(functional.avg_pool2d(input, 2))  # type: ignore[no-any-return]


class Discriminator(family.Discriminator):
    """Images to logits: residual blocks that halve, one less than the generator's that double, then two that do not.

    All have the width as channels for a 32x32 image; in larger ones the blocks nearer to the image have half of the next one's,
    but not below a quarter of the width.
    """

    def __init__(
        self,
        channels: int,  # of an image: 1 grey, 3 RGB
        size: Size,  # of an image in pixels, one that `base_grid` takes
        width: int,  # channels of a block; the paper has 128
        classes: int | None = None,  # how many labels, by projection; None: unconditional
        norm: Norm = "spectral",
    ) -> None:
        """Raises ValueError for a size that `base_grid` does not take."""
        super().__init__()
        check_norm("resnet", norm, _NORMS)
        halvings = base_grid(size).doublings - 1
        self.classes = classes
        self.feature_count = width
        beyond = max(halvings + 1 - _PAPERS_DOUBLINGS, 0)
        widths = [_narrowed(width, max(beyond - block, 0), smallest=width // 4) for block in range(halvings)]
        self.blocks = nn.Sequential(
            DownBlock(channels, widths[0], norm, first=True),
            *(DownBlock(before, after, norm) for before, after in pairwise(widths)),
            DownBlock(widths[-1], width, norm, halve=False),
            DownBlock(width, width, norm, halve=False),
        )
        self.last = spectral_norm.normalised(nn.Linear(width, 1, bias=False), norm)
        self.embedding = None if classes is None else spectral_norm.normalised(nn.Embedding(classes, width), norm)

    def forward_features(self, images: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `family.Discriminator`.

        With labels, the projection of the features on the label's embedding is added (Miyato and Koyama 2018, figure 1d).
        """
        features = functional.relu(self.blocks(images)).sum((2, 3))
        logits: Tensor = self.last(features).flatten()
        if self.embedding is not None:
            assert label is not None
            logits = logits + (self.embedding(label) * features).sum(1)
        return logits, features


@torch.no_grad()
def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Start weights of the paper's code: Glorot's uniform ones, those of residual convolutions times sqrt(2); biases 0.

    Gains of batch normalisation are 1 and its biases 0, for every label.
    """
    residual = {
        layer for block in network.modules() if isinstance(block, UpBlock | DownBlock) for layer in (block.first, block.second)
    }
    for module in network.modules():
        if isinstance(module, ConditionalBatchNorm) and module.gain is not None and module.bias is not None:
            init.ones_(module.gain.weight)
            init.zeros_(module.bias.weight)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            init.xavier_uniform_(spectral_norm.weight_of(module), sqrt(2) if module in residual else 1.0, generator=random)
            if module.bias is not None:
                init.zeros_(module.bias)
    if isinstance(network, Discriminator) and network.embedding is not None:
        init.xavier_uniform_(spectral_norm.weight_of(network.embedding), generator=random)
    spectral_norm.init_power_iteration(network, random)


FAMILY = family.Family(
    "resnet",
    Generator,
    Discriminator,
    initialise,
    _NORMS,
    arguments=Arguments,
    defaults={"width": 128, "discriminator_norm": "spectral", "z_dim": 128},
)
