"""DCGAN (Radford et al. 2016, arXiv 1511.06434): the reference networks.

With the default arguments the generator has 3,444,480 parameters and the discriminator 2,633,216.
The sigmoid of the discriminator lives in the loss, so both networks are convolutions from end to end.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gan.latents import InputSpec
from gan.networks import family
from gan.networks.layers import conditioning, spectral_norm
from gan.networks.layers.base_grid import Size, base_grid
from gan.networks.layers.norms import Norm, check_norm

_NORMS: tuple[Norm, ...] = ("batch", "none", "spectral")

REFERENCE_INPUT_SPEC = InputSpec(z_dim=100)

# The paper's 64x64 network stops doubling its channels at eight times the outermost width; larger images keep to that,
# else a 256x256 network would start with 4,096 channels.
_LARGEST_MULTIPLE = 8


def _widths(doublings: int, width: int) -> list[int]:
    """Channels of the hidden layers from the image inwards: width, 2 width, 4 width ... one for each halving."""
    return [width * min(2**level, _LARGEST_MULTIPLE) for level in range(doublings)]


class Generator(family.Generator):
    """Latent vectors to images: transposed convolutions with batch normalisation (paper, section 3, figure 1).

    A 1x1 input grows to the base grid, 4x4 for a 32x32 image, and then doubles until it has the size asked for.
    """

    def __init__(
        self,
        input_spec: InputSpec = REFERENCE_INPUT_SPEC,  # latent vectors, and the label and the codes if there are any
        channels: int = 1,  # of an image: 1 grey, 3 RGB
        size: Size = (32, 32),  # of an image in pixels, one that `base_grid` takes
        width: int = 128,  # channels of the outermost hidden layer; doubles at each layer towards the latent
    ) -> None:
        """Raises ValueError for a size that `base_grid` does not take."""
        super().__init__()
        grid = base_grid(size)
        self.input_spec = input_spec
        outer, *_ = hidden = _widths(grid.doublings, width)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(
                input_spec.z_dim + conditioning.condition_size(input_spec),
                hidden[-1],
                kernel_size=(grid.rows, grid.columns),
                stride=1,
                padding=0,
                bias=False,
            ),
            nn.BatchNorm2d(hidden[-1]),
            nn.ReLU(inplace=True),
        ]
        for inner, next_outer in pairwise(reversed(hidden)):
            layers += [
                nn.ConvTranspose2d(inner, next_outer, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(next_outer),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(outer, channels, kernel_size=4, stride=2, padding=1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, *label_and_codes: Tensor) -> Tensor:
        """float [n, z_dim], and the rest of `input_spec.names`, each [n] -> float [n, channels, height, width] in [-1, 1].

        Label and codes stand beside the latent vector (Mirza and Osindero 2014, arXiv 1411.1784, section 4.1).
        """
        if label_and_codes:
            z = torch.cat([z, conditioning.condition_vector(self.input_spec, label_and_codes, like=z)], 1)
        images: Tensor = self.layers(z[:, :, None, None])
        return images


class Discriminator(family.Discriminator):
    """Images to logits: strided convolutions, batch normalisation on all but the first and the last (paper, section 3)."""

    def __init__(
        self,
        channels: int = 1,  # of an image: 1 grey, 3 RGB
        size: Size = (32, 32),  # of an image in pixels, one that `base_grid` takes
        width: int = 128,  # channels of the outermost hidden layer; doubles at each layer away from the image
        classes: int | None = None,  # how many labels, by projection; None: unconditional
        norm: Norm = "batch",  # gradient penalties, which are on each image by itself, go without
    ) -> None:
        """Raises ValueError for a size that `base_grid` does not take."""
        super().__init__()
        check_norm("dcgan", norm, _NORMS)
        grid = base_grid(size)
        hidden = _widths(grid.doublings, width)
        self.feature_count = hidden[-1] * grid.rows * grid.columns
        layers: list[nn.Module] = [
            spectral_norm.normalised(nn.Conv2d(channels, hidden[0], kernel_size=4, stride=2, padding=1, bias=False), norm),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for outer, inner in pairwise(hidden):
            layers += [
                spectral_norm.normalised(nn.Conv2d(outer, inner, kernel_size=4, stride=2, padding=1, bias=False), norm),
                *([nn.BatchNorm2d(inner)] if norm == "batch" else []),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        last = nn.Conv2d(hidden[-1], 1, kernel_size=(grid.rows, grid.columns), stride=1, padding=0, bias=False)
        layers.append(spectral_norm.normalised(last, norm))
        self.layers = nn.Sequential(*layers)
        self.embedding = None if classes is None else spectral_norm.normalised(nn.Embedding(classes, self.feature_count), norm)

    def forward_features(self, images: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `family.Discriminator`.

        A logit scores that an image is real and, with labels, shows what its label says: then the projection of its
        features on the label's embedding is added (Miyato and Koyama 2018, arXiv 1802.05637, figure 1d). The features do not
        know the label, so that it can be read off them.
        """
        *trunk, last = self.layers
        seen = images
        for layer in trunk:
            seen = layer(seen)
        logits, features = last(seen).flatten(), seen.flatten(1)
        if self.embedding is not None:
            assert label is not None
            logits = logits + (self.embedding(label) * features).sum(1)
        return logits, features


@torch.no_grad()
def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Start weights of the paper (section 4): N(0, 0.02); the scales of batch normalisation N(1, 0.02) with shifts 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            spectral_norm.weight_of(module).normal_(0.0, 0.02, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.normal_(1.0, 0.02, generator=random)
            module.bias.zero_()
    spectral_norm.init_power_iteration(network, random)


FAMILY = family.Family("dcgan", Generator, Discriminator, initialise, _NORMS)
