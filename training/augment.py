"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): what the discriminator sees is changed, real and generated alike.

With few pictures a discriminator learns them by heart; it cannot where it never sees one twice the same. The changes are
differentiable, so the generator learns through them, and since both sides get them they do not leak into what is drawn.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

_SHIFT = 1 / 8  # of the side, at most
_CUT_OUT = 1 / 2  # of the side


def augment(pictures: Tensor, random: np.random.Generator) -> Tensor:
    """Colour, translation and cutout with their own strengths for each picture of float [n, c, h, w] in [-1, 1].

    What is moved in at the edges is 0, mid grey, as in the paper.
    """
    n = len(pictures)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(random.uniform(low, high, (n, *shape)).astype(np.float32)).to(pictures.device)

    pictures = _colour(pictures, draw(-0.5, 0.5, 1, 1, 1), draw(0, 2, 1, 1, 1), draw(0.5, 1.5, 1, 1, 1))
    pictures = _translate(pictures, draw(-_SHIFT, _SHIFT, 2))
    return _cut_out(pictures, draw(0, 1, 2))


def _colour(pictures: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    pictures = pictures + brightness
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + saturation * (pictures - grey)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (pictures - mean)


def _translate(pictures: Tensor, shares: Tensor) -> Tensor:
    """By whole pixels: in between, the pictures would be blurred, and the generator would learn to draw blurred ones."""
    sides = pictures.new_tensor([pictures.shape[3], pictures.shape[2]])
    moves = 2 * (shares * sides).round() / sides  # in the coordinates of affine_grid, where a side is 2 long
    matrices = torch.eye(2, 3, device=pictures.device).repeat(len(pictures), 1, 1)
    matrices[:, :, 2] = moves
    grid = affine_grid(matrices, list(pictures.shape), align_corners=False)
    return grid_sample(pictures.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _cut_out(pictures: Tensor, centres: Tensor) -> Tensor:
    """A rectangle of half the sides becomes grey; it may lie partly outside."""
    height, width = pictures.shape[2:]
    rows = torch.arange(height, device=pictures.device)[None, :, None] - (centres[:, 0] * height)[:, None, None]
    columns = torch.arange(width, device=pictures.device)[None, None, :] - (centres[:, 1] * width)[:, None, None]
    outside = (rows.abs() > _CUT_OUT * height / 2) | (columns.abs() > _CUT_OUT * width / 2)
    return pictures * outside[:, None]
