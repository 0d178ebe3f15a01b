"""What each player minimises: pure functions of logits that return one value per picture. The loop takes the mean."""

from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), float [n]: binary cross-entropy on both batches (Goodfellow et al. 2014, equation 1).

    `real` and `fake` are logits [n]; D is their sigmoid, and -log sigmoid(l) = softplus(-l) neither over- nor underflows.
    """
    return softplus(-real) + softplus(fake)


def generator_loss(fake: Tensor) -> Tensor:
    """-log D(G(z)), float [n]: the non-saturating loss (Goodfellow et al. 2014, section 3). `fake` are logits [n]."""
    return softplus(-fake)
