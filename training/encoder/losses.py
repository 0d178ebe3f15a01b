"""Losses of one step of an encoder, from networks and a minibatch to the scalar that is minimised."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from gan.networks import attributes as attributed
from gan.networks.encoder import Encoder
from training.encoder.frozen import FrozenModel
from training.encoder.settings import EncoderConfig
from training.losses.attributes import attribute_error

_OF_VARIANCE = 1e-3  # of the features' mean square: of less, as of pictures that are all alike, nothing is to be divided by


@dataclass(frozen=True)
class Minibatch:
    """Rows of a step, on the encoder's device."""

    real: Tensor  # float32 [n, channels, height, width] in [-1, 1]
    label: Tensor | None  # int64 [n], of the real images; the generated ones are drawn with the same labels
    z: Tensor  # float32 [n, z_dim], of the generated ones


@dataclass(frozen=True)
class Scales:
    """What errors are measured in: variances over real images, numbers of the model and its data."""

    pixels: float
    features: float  # 1 without a discriminator


@dataclass(frozen=True)
class EncoderLoss:
    """Scalars, means over the minibatch."""

    total: Tensor
    pixels: Tensor  # mean squared error of real images drawn again, in units of their variance
    features: Tensor  # the same of the discriminator's features; 0 without
    latent: Tensor  # mean squared error of known latent vectors; 0 where it has no weight
    attributes: Tensor  # -log P(value | image) of generated images, whose values are known; 0 where a model has no attributes
    length: Tensor  # mean square of a component of real images' latent vectors: about 1 where the generator was trained


@torch.no_grad()
def scales_of(model: FrozenModel, real: Tensor, label: Tensor | None) -> Scales:
    """The scales, by some real images, float32 [n, channels, height, width] in [-1, 1]."""
    pixels = _variance(real)
    return Scales(pixels, 1.0 if model.discriminator is None else _variance(model.features(real, label)))


def _variance(values: Tensor) -> float:
    """Mean over components of their variance over rows."""
    square = values.square().mean()
    return float(torch.maximum((values - values.mean(0)).square().mean(), _OF_VARIANCE * square).clamp_min(1e-12))


def encoder_loss(encoder: Encoder, model: FrozenModel, config: EncoderConfig, scales: Scales, batch: Minibatch) -> EncoderLoss:
    """f-AnoGAN's izi_f on real images (Schlegl et al. 2019, section 3.2, equation 5), and its ziz on generated ones (equation 2).

    That is MSE(x, G(E(x))) + kappa MSE(f(x), f(G(E(x)))) and MSE(z, E(G(z))), the first two in units of `scales`, and the mean
    square of E(x), which keeps latent vectors where the generator was trained. Of a model with attributes, the cross-entropy of
    generated images' values too.
    """
    n, label = len(batch.real), batch.label
    latent = attributes = torch.zeros((), device=batch.z.device)
    if config.regression or model.attributes is not None:
        with torch.no_grad():
            generated = model.draw(batch.z, label).to(batch.real.dtype)
        both = None if label is None else torch.cat([label, label])
        found, logits = encoder.encode(torch.cat([batch.real, generated]), both)
        z, latent = found[:n].float(), mse_loss(found[n:].float(), batch.z)
        if model.attributes is not None:
            assert logits is not None, "an encoder of this model tells them"
            attributes = _attribute_error(model.attributes, logits[n:].float(), batch.z, label)
    else:
        z = encoder(batch.real, label).float()
    drawn = model.draw(z, label).float()
    pixels = mse_loss(drawn, batch.real) / scales.pixels
    features = torch.zeros_like(pixels)
    if model.discriminator is not None and config.kappa:
        with torch.no_grad():
            wanted = model.features(batch.real, label).float()
        features = mse_loss(model.features(drawn, label).float(), wanted) / scales.features
    length = z.square().mean()
    total = pixels + config.kappa * features + config.regression * latent + config.attributes * attributes + config.prior * length
    return EncoderLoss(total, pixels, features, latent, attributes, length)


def _attribute_error(generator: attributed.Generator, logits: Tensor, z: Tensor, label: Tensor | None) -> Tensor:
    label = torch.zeros(len(z), dtype=torch.int64, device=z.device) if label is None else label
    return attribute_error(
        logits, generator.firsts[label], generator.counts[label], generator.thresholds.shape[-1] + 1, generator.chosen(z, label)
    )
