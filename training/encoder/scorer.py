"""How unusual a picture is, as one network: by an encoder's error, or by distances from real pictures in features."""

import torch
from torch import Tensor, nn

from gan.networks.encoder import Encoder
from gan.networks.family import Discriminator, Generator
from training.encoder.neighbours import Neighbours, pooled

_AT_ONCE = 64  # pictures


class Scorer(nn.Module):
    """Pictures to scores, the generator's nearest pictures, and labels.

    f-AnoGAN's score is the error of the picture drawn again (Schlegl et al. 2019, section 3.3, equation 6). Beside it stand the
    distances to the nearest of real pictures (Ramaswamy et al. 2000, doi 10.1145/342009.335437), in the encoder's layers and, where
    there is a discriminator, in its features. Each of these parts is brought to the mean 0 and the standard deviation 1 over
    held-out real pictures, and the score is the largest: what is unusual in one way is unusual.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, encoder: Encoder, generator: Generator, discriminator: Discriminator | None) -> None:
        """All in eval mode. `fit` completes it."""
        super().__init__()
        self.encoder, self.generator, self.discriminator = encoder, generator, discriminator
        self.classes = generator.input_spec.classes
        self.neighbours = nn.ModuleList()
        parts = 1 + len(encoder.trunk) + (discriminator is not None)
        self.register_buffer("mean", torch.zeros(parts))
        self.register_buffer("deviation", torch.ones(parts))

    def layers(self, pictures: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """The features in which neighbours are looked for: of each layer float [n, features]."""
        found = [pooled(one) for one in maps]
        if self.discriminator is not None:
            label = None if self.classes is None else torch.zeros_like(pictures[:, 0, 0, 0], dtype=torch.int64)
            found.append(self.discriminator.forward_features(pictures, label)[1])
        return found

    def drawn(self, pictures: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The pictures drawn again, their mean squared errors [n], and the labels int64 [n] under which these are least."""
        if self.classes is None:
            images: Tensor = self.generator(self.encoder.head(features))
            return images, (images - pictures).square().flatten(1).mean(1), None
        n, classes = pictures.shape[0], self.classes
        labels = torch.arange(classes, device=pictures.device).repeat(n)
        z = self.encoder.head(features.repeat_interleave(classes, 0), labels)
        images = self.generator(z, labels).unflatten(0, (n, classes))
        errors = (images - pictures[:, None]).square().flatten(2).mean(2)
        error, label = errors.min(1)
        chosen = label[:, None, None, None, None].expand(-1, 1, *images.shape[2:])
        return images.gather(1, chosen)[:, 0], error, label

    def parts(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The parts of the score, float [n, parts], the pictures drawn again, and their labels."""
        maps = self.encoder.features(pictures)
        images, error, label = self.drawn(pictures, maps[-1])
        layers = self.layers(pictures, maps)
        distances = [find(layer) for find, layer in zip(self.neighbours, layers, strict=True)]
        return torch.stack([error, *distances], 1), images, label

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """float [n, channels, height, width] in [-1, 1] -> scores float [n], images like the pictures, and labels int64 [n]."""
        parts, images, label = self.parts(pictures)
        score = ((parts - self.mean) / self.deviation).amax(1)
        return (score, images) if label is None else (score, images, label)

    @torch.no_grad()
    def fit(self, stored: Tensor, held_out: Tensor) -> None:
        """Store the features of real pictures, and take the parts' scales from held-out ones; both as `forward` takes them."""
        found = [self.layers(some, self.encoder.features(some)) for some in torch.split(stored, _AT_ONCE)]
        # One layer after another is taken out: all of them twice would be gigabytes.
        self.neighbours = nn.ModuleList(Neighbours(torch.cat([layers.pop(0) for layers in found])) for _ in range(len(found[0])))
        parts = torch.cat([self.parts(some)[0] for some in torch.split(held_out, _AT_ONCE)])
        self.mean.copy_(parts.mean(0))
        self.deviation.copy_(parts.std(0).clamp_min(1e-6))
