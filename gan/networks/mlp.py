"""The first GAN (Goodfellow et al. 2014, arXiv 1406.2661): layers that see all of an image at once.

The layers, their sizes and their start weights are those of the paper's MNIST experiment, which its code spells out (mnist.yaml in
goodfeli/adversarial). With a width of 1200 and 28x28 grey images the generator has 2,503,984 parameters and the discriminator
1,231,441. Any size of image will do.
"""

from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from gan.latents import InputSpec
from gan.networks import family
from gan.networks.layers import conditioning, spectral_norm
from gan.networks.layers.base_grid import Size
from gan.networks.layers.norms import Norm, check_norm

# Maxout layers have no place for batch normalisation that a paper describes.
_NORMS: tuple[Norm, ...] = ("none", "spectral")

_PIECES = 5
_POINT: Size = (1, 1)  # the size of a point in the plane, whose channels are x and y
_GENERATOR_RANGE, _DISCRIMINATOR_RANGE = 0.05, 0.005


class Generator(family.Generator):
    """Latent vectors to images: two layers of rectified linear units and one of pixels.

    The paper ends in a sigmoid, for pixels in [0, 1]; here images lie in [-1, 1], so it is the hyperbolic tangent.
    """

    def __init__(
        self,
        input_spec: InputSpec,  # latent vectors, and the label and the codes if there are any
        channels: int,  # of an image: 1 grey, 3 RGB
        size: Size,  # of an image in pixels, any
        width: int,  # units of each hidden layer; the paper has 1200
    ) -> None:
        super().__init__()
        self.input_spec = input_spec
        self.shape = (channels, *size)
        self.of_points = size == _POINT
        units = [input_spec.z_dim + conditioning.condition_size(input_spec), width, width, prod(self.shape)]
        layers: list[nn.Module] = []
        for before, after in pairwise(units):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Tanh())

    def forward(self, z: Tensor, *label_and_codes: Tensor) -> Tensor:
        """float [n, z_dim], and the rest of `input_spec.names`, each [n] -> float [n, channels, height, width] in [-1, 1].

        Label and codes stand beside the latent vector (Mirza and Osindero 2014, arXiv 1411.1784, section 4.1).
        """
        if label_and_codes:
            z = torch.cat([z, conditioning.condition_vector(self.input_spec, label_and_codes, like=z)], 1)
        pixels: Tensor = self.layers(z)
        return pixels.view(-1, *self.shape)


class Maxout(nn.Module):
    """Each unit is the largest of five linear pieces (Goodfellow et al. 2013, arXiv 1302.4389, section 2)."""

    def __init__(self, before: int, units: int, norm: Norm) -> None:
        super().__init__()
        self.units = units
        self.linear = spectral_norm.normalised(nn.Linear(before, units * _PIECES), norm)

    def forward(self, input: Tensor) -> Tensor:
        """float [n, before] -> float [n, units]."""
        pieces: Tensor = self.linear(input)
        return pieces.view(-1, self.units, _PIECES).amax(2)


class Discriminator(family.Discriminator):
    """Images to logits: two maxout layers.

    The paper trains them with dropout. It is left out: its masks would be random state of the network's own, which a run that is
    resumed exactly would have to store or draw again.
    """

    def __init__(
        self,
        channels: int,  # of an image: 1 grey, 3 RGB
        size: Size,  # of an image in pixels, any
        width: int,  # five times the units of each layer, so 1200 gives the paper's 240
        classes: int | None = None,  # how many labels, one-hot beside the pixels; None: unconditional
        norm: Norm = "none",  # or "spectral"
    ) -> None:
        """Raises ValueError for a width below 5 and for batch normalisation."""
        super().__init__()
        check_norm("mlp", norm, _NORMS)
        if width < _PIECES:
            raise ValueError(
                f"the mlp discriminator has a fifth of the width as units: take a width of {_PIECES} or more, not {width}"
            )
        self.classes = classes
        self.of_points = size == _POINT
        self.feature_count = width // _PIECES
        self.trunk = nn.Sequential(
            Maxout(channels * prod(size) + (classes or 0), self.feature_count, norm),
            Maxout(self.feature_count, self.feature_count, norm),
        )
        self.last = spectral_norm.normalised(nn.Linear(self.feature_count, 1), norm)

    def forward_features(self, images: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `family.Discriminator`."""
        seen = images.flatten(1)
        if self.classes is not None:
            assert label is not None
            seen = torch.cat([seen, functional.one_hot(label, self.classes).to(seen.dtype)], 1)
        features: Tensor = self.trunk(seen)
        return self.last(features).flatten(), features


@torch.no_grad()
def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Start weights of the paper's code: U(-0.05, 0.05) in a generator, U(-0.005, 0.005) in a discriminator, biases 0.

    Those ranges are for the hundreds of inputs that images give each unit. For points in the plane, of two inputs, next to nothing
    would pass such layers; there the variance is 1 / inputs (LeCun et al. 1998, Efficient BackProp, section 4.6).
    """
    paper = _GENERATOR_RANGE if isinstance(network, Generator) else _DISCRIMINATOR_RANGE
    for module in network.modules():
        if isinstance(module, nn.Linear):
            reach = (3 / module.in_features) ** 0.5 if network.of_points else paper
            spectral_norm.weight_of(module).uniform_(-reach, reach, generator=random)
            module.bias.zero_()
    spectral_norm.init_power_iteration(network, random)


FAMILY = family.Family(
    "mlp",
    Generator,
    Discriminator,
    initialise,
    _NORMS,
    defaults={"width": 1200, "discriminator_norm": "none", "latent": "uniform"},
    discriminator_takes_label=True,
)
