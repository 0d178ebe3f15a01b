"""Adversarial and auxiliary losses: pure functions of logits that return one value per image. The caller takes the mean.

`real` and `fake` are the discriminator's logits [n] for real and for generated images. Where a logit is the log-odds that an
image is real, D is its sigmoid, and -log sigmoid(l) = softplus(-l) neither over- nor underflows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu, softplus

from training.config.settings import ObjectiveName


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))): binary cross-entropy on both batches (Goodfellow et al. 2014, equation 1)."""
    return softplus(-real) + softplus(fake)


def minimax_generator(fake: Tensor, _: Tensor) -> Tensor:
    """log(1 - D(G(z))): the minimax form, whose gradient vanishes while the discriminator is right (section 3 there)."""
    return -softplus(fake)


def nonsaturating_generator(fake: Tensor, _: Tensor) -> Tensor:
    """-log D(G(z)): the equilibrium of minimax, with a gradient from the start (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake)


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares with targets 1 for real and 0 for generated images (Mao et al. 2017, arXiv 1611.04076, equation 9)."""
    return ((real - 1).square() + fake.square()) / 2


def lsgan_generator(fake: Tensor, _: Tensor) -> Tensor:
    """Least squares with target 1 for generated images (equation 9 there)."""
    return (fake - 1).square() / 2


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Lim and Ye 2017, arXiv 1705.02894; Miyato et al. 2018, equation 16)."""
    return relu(1 - real) + relu(1 + fake)


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """D(G(z)) - D(x): minus the estimated distance, if D is 1-Lipschitz (Arjovsky et al. 2017, arXiv 1701.07875, equation 2)."""
    return fake - real


def wasserstein_generator(fake: Tensor, _: Tensor) -> Tensor:
    """-D(G(z)): for the Wasserstein and the hinge objective."""
    return -fake


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """softplus(-(D(x) - D(G(z)))): a real image is to be more real than a generated one (Huang et al. 2024, R3GAN, section 2)."""
    return softplus(fake - real)


def relativistic_generator(fake: Tensor, real: Tensor) -> Tensor:
    """softplus(-(D(G(z)) - D(x))): the discriminator's loss with the two exchanged (section 2 there)."""
    return softplus(real - fake)


def code_error(outputs: Sequence[Tensor], codes: Sequence[Tensor]) -> Tensor:
    """-log Q(c | x) of each image, [n], up to a constant (Chen et al. 2016, arXiv 1606.03657, equation 5).

    A categorical code is int64 [n], its output logits [n, k]. A continuous code is float32 [n], its output the mean [n] of a
    normal distribution with deviation 1, as in the paper's code.
    """
    errors = [
        cross_entropy(output, code, reduction="none") if output.dim() == 2 else (code - output).square() / 2
        for output, code in zip(outputs, codes, strict=True)
    ]
    return torch.stack(errors).sum(0)


@dataclass(frozen=True)
class Objective:
    """Adversarial losses of both networks."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real, fake) -> [n]
    generator: Callable[[Tensor, Tensor], Tensor]  # (fake, real) -> [n]
    generator_uses_real_logits: bool = False  # whether the generator's loss uses the real logits too
    is_log_odds: bool = False  # whether a logit is the log-odds that an image is real, so that V(D, G) is defined
    boundary: float | None = None  # logit above which an image is classified as real; None where the loss has no such threshold


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "minimax": Objective(logistic_discriminator, minimax_generator, is_log_odds=True, boundary=0.0),
    "nonsaturating": Objective(logistic_discriminator, nonsaturating_generator, is_log_odds=True, boundary=0.0),
    "lsgan": Objective(lsgan_discriminator, lsgan_generator, boundary=0.5),
    "hinge": Objective(hinge_discriminator, wasserstein_generator, boundary=0.0),
    "wgan": Objective(wasserstein_discriminator, wasserstein_generator),
    "wgan-gp": Objective(wasserstein_discriminator, wasserstein_generator),
    "relativistic": Objective(relativistic_discriminator, relativistic_generator, generator_uses_real_logits=True),
}
