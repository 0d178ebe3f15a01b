"""An encoder: images to the latent vectors from which a generator draws them, the generator's inverse.

The trunk is that of DCGAN's discriminator (Radford et al. 2016, arXiv 1511.06434, section 3), which f-AnoGAN's encoder is too but
for its blocks (Schlegl et al. 2019, doi 10.1016/j.media.2019.01.010, section 3.2). It does not know the label, so that its features
are computed once for all labels; the head, which is cheap, is told it by a gain and a bias for each class (FiLM, Perez et al. 2018,
arXiv 1709.07871, section 3). The output is linear.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, init

from gan.attribute_table import AttributeTable
from gan.latents import Distribution
from gan.networks.attributes import of_columns
from gan.networks.layers.base_grid import Size, base_grid

_LARGEST_MULTIPLE = 8  # of the width, as in gan.networks.dcgan
_SLOPE = 0.2
_HIDDEN = 512  # units of the head
_SMALL = 0.1  # of the last layer: latent vectors begin near 0, whose image is a mean one


class Encoder(nn.Module):
    """Images, and labels if the generator takes these, to latent vectors.

    Of attributes that the generator shows (`gan.networks.attributes`) it tells the values, and gives components that choose them.
    No gradient by the image reaches these, since they only matter by the values that they choose.
    """

    firsts: Tensor
    counts: Tensor
    midpoints: Tensor

    def __init__(
        self,
        z_dim: int,  # components of a latent vector
        channels: int,  # of an image: 1 grey, 3 RGB
        size: Size,  # of an image in pixels, one that `base_grid` takes
        width: int = 64,  # channels of the outermost layer; doubles at each layer away from the image
        classes: int | None = None,  # how many labels; None: unconditional
        attributes: AttributeTable | Mapping[str, Any] | None = None,  # that latent vectors choose, as a table or as its JSON
        distribution: Distribution = "normal",  # of latent vectors
    ) -> None:
        """Raises ValueError for a size that `base_grid` does not take."""
        super().__init__()
        self.size, grid = size, base_grid(size)
        widths = [width * min(2**level, _LARGEST_MULTIPLE) for level in range(grid.doublings)]
        self.trunk = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(_SLOPE),
            )
            for before, after in pairwise([channels, *widths])
        )
        self.first = nn.Linear(widths[-1] * grid.rows * grid.columns, _HIDDEN)
        self.gain = None if classes is None else nn.Embedding(classes, _HIDDEN)
        self.bias = None if classes is None else nn.Embedding(classes, _HIDDEN)
        self.second = nn.Linear(_HIDDEN, _HIDDEN)
        self.last = nn.Linear(_HIDDEN, z_dim)
        self.attributes = None if attributes is None else AttributeTable.model_validate(attributes)
        if self.attributes is not None:
            self.values, self.most = nn.Linear(_HIDDEN, self.attributes.size), int(self.attributes.counts.max())
            for name, values in (
                ("firsts", self.attributes.firsts),
                ("counts", self.attributes.counts),
                ("midpoints", self.attributes.midpoints(distribution)),
            ):
                self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """float [n, channels, height, width] in [-1, 1] -> the trunk's maps, float [n, width, rows, columns], each halved."""
        found = []
        for layer in self.trunk:
            images = layer(images)
            found.append(images)
        return found

    def head(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        """The trunk's last map, and labels int64 [n] if there are classes -> latent vectors, float [n, z_dim]."""
        return self.head_and_attributes(features, label)[0]

    def head_and_attributes(self, features: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """As `head`, and the logits of all values of attributes, float [n, size of the table]; None without attributes."""
        hidden: Tensor = self.first(features.flatten(1))
        if self.gain is not None and self.bias is not None:
            assert label is not None, "a conditional encoder is told the label"
            hidden = hidden * (1 + self.gain(label)) + self.bias(label)
        hidden = functional.leaky_relu(hidden, _SLOPE)
        hidden = hidden + functional.leaky_relu(self.second(hidden), _SLOPE)
        z: Tensor = self.last(hidden)
        if self.attributes is None:
            return z, None
        logits = self.values(hidden)
        return torch.cat([self._choosing(logits, label).type_as(z), z[:, len(self.attributes.columns) :]], 1), logits

    def _choosing(self, logits: Tensor, label: Tensor | None) -> Tensor:
        """The components, float [n, columns], that choose the most likely value of each attribute among those of the class."""
        label = torch.zeros_like(logits[:, 0], dtype=torch.int64) if label is None else label
        first = self.firsts[label]
        return self.midpoints[first + of_columns(logits, first, self.counts[label], self.most).argmax(-1)]

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """float [n, channels, height, width] in [-1, 1], labels int64 [n] -> latent vectors, float [n, z_dim]."""
        return self.head(self.features(images)[-1], label)

    def encode(self, images: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """As `forward`, and the logits of attributes as `head_and_attributes` gives them."""
        return self.head_and_attributes(self.features(images)[-1], label)


@torch.no_grad()
def initialise(encoder: Encoder, random: torch.Generator) -> None:
    """Start weights by He et al. 2015 (arXiv 1502.01852); gains and biases of labels 0, of normalisations 1 and 0."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_normal_(module.weight, _SLOPE, generator=random)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.fill_(1.0)
            module.bias.zero_()
    encoder.last.weight.mul_(_SMALL)
