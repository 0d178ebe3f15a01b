"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): what the discriminator sees is changed, real and generated alike.

With few pictures a discriminator learns them by heart; it cannot where it never sees one twice the same. The changes are
differentiable, so the generator learns through them, and since both sides get them they do not leak into what is drawn.
"""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from training.config.schema import AugmentName

CHANCES = 7  # numbers that decide what is done to a picture
# What is done, as the paper calls it: all of it, or what the paper does to CIFAR-10, or the mildest.
POLICIES: dict[AugmentName, tuple[str, ...]] = {
    "none": (),
    "translation": ("translation",),
    "translation-cutout": ("translation", "cutout"),
    "diffaugment": ("colour", "translation", "cutout"),
}
_SHIFT = 1 / 8  # of the side, at most
_CUT_OUT = 1 / 2  # of the side


def augment(pictures: Tensor, chances: Tensor, policy: AugmentName = "diffaugment") -> Tensor:
    """Colour, translation and cutout of float [n, c, h, w] in [-1, 1], by `chances`, uniform in [0, 1), [n, CHANCES].

    What is moved in at the edges is 0, mid grey, as in the paper.
    """
    parts = POLICIES[policy]
    if "colour" in parts:
        brightness, saturation, contrast = chances[:, :3, None, None, None].unbind(1)
        pictures = _colour(pictures, brightness - 0.5, 2 * saturation, contrast + 0.5)
    if "translation" in parts:
        pictures = _translate(pictures, chances[:, 3:5])
    return _cut_out(pictures, chances[:, 5:7]) if "cutout" in parts else pictures


def _colour(pictures: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    pictures = pictures + brightness
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + saturation * (pictures - grey)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (pictures - mean)


def _translate(pictures: Tensor, chances: Tensor) -> Tensor:
    """By whole pixels: in between, the pictures would be blurred, and the generator would learn to draw blurred ones.

    Every shift up to the largest is as likely as every other, as in the paper's code.
    """
    sides = torch.tensor([pictures.shape[3], pictures.shape[2]], device=pictures.device, dtype=torch.float32)
    most = (_SHIFT * sides + 0.5).floor()
    # Rounding may bring a chance just under 1 to the number after the last.
    shifts = (chances * (2 * most + 1)).floor().minimum(2 * most) - most
    moves = 2 * shifts / sides  # in the coordinates of affine_grid, where a side is 2 long
    matrices = torch.eye(2, 3, device=pictures.device).repeat(len(pictures), 1, 1)
    matrices[:, :, 2] = moves
    with torch.autocast(pictures.device.type, enabled=False):  # whose half precision cannot tell the pixels of large pictures apart
        grid = affine_grid(matrices, list(pictures.shape), align_corners=False)
        return grid_sample(pictures.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _cut_out(pictures: Tensor, centres: Tensor) -> Tensor:
    """A rectangle of half the sides becomes grey; it may lie partly outside."""
    height, width = pictures.shape[2:]
    rows = torch.arange(height, device=pictures.device)[None, :, None] - (centres[:, 0] * height)[:, None, None]
    columns = torch.arange(width, device=pictures.device)[None, None, :] - (centres[:, 1] * width)[:, None, None]
    outside = (rows.abs() > _CUT_OUT * height / 2) | (columns.abs() > _CUT_OUT * width / 2)
    return pictures * outside[:, None]
