"""R3GAN (Huang et al. 2024, arXiv 2501.05441, section 3, Config E), scaled by its width and its blocks per stage.

Residual blocks of grouped convolutions with the start weights of Fix-up (Zhang et al. 2019, arXiv 1901.09321), and nothing that
normalises. The paper's network for CIFAR-10 has a width of 768, two blocks per stage and z of 64 components: with ten labels its
generator has 20,781,952 parameters and its discriminator 21,280,512.
"""

from itertools import pairwise
from math import sqrt

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from gan.latents import InputSpec
from gan.networks import family
from gan.networks.layers import conditioning
from gan.networks.layers.base_grid import Size, base_grid
from gan.networks.layers.norms import Norm, check_norm
from gan.networks.layers.resampling import Border, Downsample, Upsample

# Residual blocks start as the identity, which either kind of normalisation would undo.
_NORMS: tuple[Norm, ...] = ("none",)

EXPANSION = 2
_GROUP = 16  # channels of a group of the grouped convolutions
_FULL_WIDTH_UP_TO = 32  # pixels of a side; larger stages have fewer channels
_CONDITION = 64  # components of the embedded label and codes beside the latent vector
_SLOPE = 0.2


def _widths(size: Size, width: int) -> list[int]:
    """Channels of the stages from the base grid to the image, one more than there are doublings.

    Raises ValueError for a width that does not make whole groups.
    """
    if width < _GROUP or width % _GROUP:
        raise ValueError(f"r3gan has groups of {_GROUP} channels: take a width that is a multiple of {_GROUP}, not {width}")
    grid = base_grid(size)
    longer = max(grid.rows, grid.columns)
    sides = [longer * 2**doubling for doubling in range(grid.doublings + 1)]
    large = [sum(_FULL_WIDTH_UP_TO < other <= side for other in sides) for side in sides]
    return [max((width >> halvings) // _GROUP, 1) * _GROUP for halvings in large]


class Arguments(family.WidthArguments):
    """Adds residual blocks for each size of image, of which the paper has 2, and more."""

    blocks: int = Field(1, gt=0)
    # What networks of the paper's own program have otherwise
    group: int = Field(_GROUP, gt=0)  # channels of a group of the grouped convolutions
    border: Border = "edge"  # what stands beyond the border where images are doubled: the outermost values, or zeros
    widths: list[int] | None = (
        None  # channels from the base grid to the image, one more than there are doublings; None: by the width
    )


class ResidualBlock(nn.Module):
    """Pointwise to twice the channels, grouped 3x3, and pointwise back, added to what came in."""

    def __init__(self, channels: int, group: int = _GROUP) -> None:
        super().__init__()
        inner = EXPANSION * channels
        self.expand = nn.Conv2d(channels, inner, kernel_size=1)
        self.grouped = nn.Conv2d(inner, inner, kernel_size=3, padding=1, groups=inner // group)
        self.project = nn.Conv2d(inner, channels, kernel_size=1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """float [n, channels, rows, columns] -> float of the same shape."""
        inner = functional.leaky_relu(self.expand(input), _SLOPE)
        inner = functional.leaky_relu(self.grouped(inner), _SLOPE)
        return input + self.project(inner)  # type: ignore[no-any-return]


class Generator(family.Generator):
    """Latent vectors to images: learned values on the base grid, scaled channel by channel, then residual stages that double.

    Nothing bends its output into a range. So images are cut off at -1 and 1, but only in eval mode: in training an image out of
    range must keep its gradient, which leads back.
    """

    def __init__(
        self,
        input_spec: InputSpec,  # latent vectors, and the label and the codes if there are any; the paper's have 64 components
        channels: int,  # of an image: 1 grey, 3 RGB
        size: Size,  # of an image in pixels, one that `base_grid` takes
        width: int,  # channels of stages of up to 32 pixels, a multiple of 16; each beyond has half, but not below 16
        blocks: int = 1,  # residual blocks of each stage; the paper has 2
        group: int = _GROUP,
        border: Border = "edge",
        widths: list[int] | None = None,
    ) -> None:
        """Raises ValueError for a size that `base_grid` does not take, and for a width that is not a multiple of 16."""
        super().__init__()
        self.input_spec = input_spec
        grid = base_grid(size)
        if widths is None:
            widths = _widths(size, width)
        elif len(widths) != grid.doublings + 1 or any(EXPANSION * one % group for one in widths):
            raise ValueError(f"an image of {size[1]}x{size[0]} takes {grid.doublings + 1} widths of whole groups, not {widths}")
        conditional = conditioning.condition_size(input_spec) > 0
        self.embedding = nn.Linear(conditioning.condition_size(input_spec), _CONDITION, bias=False) if conditional else None
        self.scale = nn.Linear(input_spec.z_dim + (_CONDITION if conditional else 0), widths[0], bias=False)
        self.basis = nn.Parameter(torch.randn(widths[0], grid.rows, grid.columns))
        layers: list[nn.Module] = _residual(widths[0], blocks, group)
        for before, after in pairwise(widths):
            layers += [Upsample(before, after, border), *_residual(after, blocks, group)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, kernel_size=1, bias=False))

    def forward(self, z: Tensor, *label_and_codes: Tensor) -> Tensor:
        """float [n, z_dim], and the rest of `input_spec.names`, each [n] -> float [n, channels, height, width].

        Values are in [-1, 1] in eval mode. Label and codes, embedded together, are appended to the latent vector.
        """
        if self.embedding is not None:
            condition = conditioning.condition_vector(self.input_spec, label_and_codes, like=z)
            z = torch.cat([z, self.embedding(condition).type_as(z)], 1)
        images: Tensor = self.layers(self.basis * self.scale(z)[:, :, None, None])
        return images if self.training else images.clamp(-1, 1)


class Discriminator(family.Discriminator):
    """Images to logits: the generator's mirror image, residual stages that halve, then a weight for each point of the grid."""

    def __init__(
        self,
        channels: int,  # of an image: 1 grey, 3 RGB
        size: Size,  # of an image in pixels, one that `base_grid` takes
        width: int,  # channels of stages of up to 32 pixels, a multiple of 16; each beyond has half, but not below 16
        classes: int | None = None,  # how many labels, by projection; None: unconditional
        norm: Norm = "none",  # nothing else: the start weights do what normalisation would
        blocks: int = 1,  # residual blocks of each stage; the paper has 2
    ) -> None:
        """Raises ValueError for a size that `base_grid` does not take, a width not a multiple of 16, and any normalisation."""
        super().__init__()
        check_norm("r3gan", norm, _NORMS)
        widths = _widths(size, width)
        grid = base_grid(size)
        self.classes = classes
        self.feature_count = width
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[-1], kernel_size=1, bias=False)]
        for before, after in pairwise(reversed(widths)):
            layers += [*_residual(before, blocks), Downsample(before, after)]
        layers += _residual(width, blocks)
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(width, width, kernel_size=(grid.rows, grid.columns), groups=width, bias=False)
        )
        self.last = nn.Linear(width, 1 if classes is None else width, bias=False)
        self.embedding = None if classes is None else nn.Linear(classes, width, bias=False)

    def forward_features(self, images: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `family.Discriminator`.

        With labels a logit is the product of the label's embedding with as many linear views of the features.
        """
        features = self.layers(images).flatten(1)
        views: Tensor = self.last(features)
        if self.embedding is None:
            return views.flatten(), features
        assert label is not None
        assert self.classes is not None
        embedded = self.embedding(functional.one_hot(label, self.classes).to(features.dtype))
        return (views * embedded).sum(1), features


@torch.no_grad()
def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Start weights of the paper's code. Residual blocks begin as the identity, since their last layer begins at 0.

    Their other layers are N(0, g^2 / inputs) with g^2 = 2 / (1 + 0.2^2) / sqrt(L), L being the residual blocks of this network
    (Fix-up, section 3, for three layers); every other layer N(0, 1 / inputs), the discriminator's embedding divided by the square
    root of its length once more; the generator's basis N(0, 1); biases 0.
    """
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    inner_gain = sqrt(2 / (1 + _SLOPE**2)) * len(blocks) ** -0.25
    gains: dict[nn.Module, float] = {}
    for block in blocks:
        gains |= {block.expand: inner_gain, block.grouped: inner_gain, block.project: 0.0}
    if isinstance(network, Discriminator) and network.embedding is not None:
        gains[network.embedding] = network.embedding.out_features**-0.5
    if isinstance(network, Generator):
        network.basis.normal_(generator=random)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            inputs = module.weight[0].numel()
            module.weight.normal_(0.0, gains.get(module, 1.0) / sqrt(inputs), generator=random)
            if module.bias is not None:
                module.bias.zero_()


def _residual(channels: int, blocks: int, group: int = _GROUP) -> list[nn.Module]:
    return [ResidualBlock(channels, group) for _ in range(blocks)]


FAMILY = family.Family(
    "r3gan",
    Generator,
    Discriminator,
    initialise,
    _NORMS,
    arguments=Arguments,
    defaults={"width": 64, "discriminator_norm": "none", "z_dim": 64},
)
