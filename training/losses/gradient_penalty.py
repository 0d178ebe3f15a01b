"""Gradient penalties on the discriminator, one value per image. They combine with any objective.

All need second derivatives, so they are computed in float32, outside autocast, from logits that were computed there too.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_SQRT_EPS = 1e-4  # a bare norm has no gradient at 0


def squared_gradient_norm(logits: Tensor, images: Tensor) -> Tensor:
    """Squared norm of each logit's gradient with respect to its image, [n] (Mescheder et al. 2018, arXiv 1801.04406, equation 9).

    Multiplied by gamma / 2 it is R1 on real images and R2 on generated ones.
    `images` [n, ...] must require gradients, and `logits` [n] be computed from them, each from its own image only.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def wasserstein_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, interp_alpha: Tensor) -> Tensor:
    """(|gradient| - 1)^2 at points between real and generated images, [n] (Gulrajani et al. 2017, arXiv 1704.00028, equation 3).

    `interp_alpha` [n] in [0, 1] places each point: 0 is the real image, 1 the generated one.
    """
    interp_alpha = interp_alpha.view(-1, *[1] * (real.dim() - 1))
    between = real.lerp(fake, interp_alpha).requires_grad_()
    return ((squared_gradient_norm(discriminator(between), between) + _SQRT_EPS).sqrt() - 1).square()
