"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): what the discriminator sees is changed, real and generated alike.

With few images a discriminator learns them by heart; it cannot where it never sees one twice the same. The changes are
differentiable, so the generator learns through them, and since both sides get them they do not leak into what is drawn.
"""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from training.config.settings import AugmentName

AUGMENT_PARAMS = 7  # numbers that decide what is done to a image
# What is done, as the paper calls it: all of it, or what the paper does to CIFAR-10, or the mildest.
POLICIES: dict[AugmentName, tuple[str, ...]] = {
    "none": (),
    "translation": ("translation",),
    "translation-cutout": ("translation", "cutout"),
    "diffaugment": ("colour", "translation", "cutout"),
}
_SHIFT = 1 / 8  # of the side, at most
_CUT_OUT = 1 / 2  # of the side


def augment(images: Tensor, augment_params: Tensor, policy: AugmentName = "diffaugment") -> Tensor:
    """Colour, translation and cutout of float [n, c, h, w] in [-1, 1], by `chances`, uniform in [0, 1), [n, CHANCES].

    What is moved in at the edges is 0, mid grey, as in the paper.
    """
    parts = POLICIES[policy]
    if "colour" in parts:
        brightness, saturation, contrast = augment_params[:, :3, None, None, None].unbind(1)
        images = _colour(images, brightness - 0.5, 2 * saturation, contrast + 0.5)
    if "translation" in parts:
        images = _translate(images, augment_params[:, 3:5])
    return _cut_out(images, augment_params[:, 5:7]) if "cutout" in parts else images


def _colour(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = grey + saturation * (images - grey)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (images - mean)


def _translate(images: Tensor, augment_params: Tensor) -> Tensor:
    """By whole pixels: in between, the images would be blurred, and the generator would learn to draw blurred ones.

    Every shift up to the largest is as likely as every other, as in the paper's code.
    """
    sides = torch.tensor([images.shape[3], images.shape[2]], device=images.device, dtype=torch.float32)
    most = (_SHIFT * sides + 0.5).floor()
    # Rounding may bring a chance just under 1 to the number after the last.
    shifts = (augment_params * (2 * most + 1)).floor().minimum(2 * most) - most
    moves = 2 * shifts / sides  # in the coordinates of affine_grid, where a side is 2 long
    matrices = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
    matrices[:, :, 2] = moves
    with torch.autocast(images.device.type, enabled=False):  # whose half precision cannot tell the pixels of large images apart
        grid = affine_grid(matrices, list(images.shape), align_corners=False)
        return grid_sample(images.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _cut_out(images: Tensor, centres: Tensor) -> Tensor:
    """A rectangle of half the sides becomes grey; it may lie partly outside."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)[None, :, None] - (centres[:, 0] * height)[:, None, None]
    columns = torch.arange(width, device=images.device)[None, None, :] - (centres[:, 1] * width)[:, None, None]
    outside = (rows.abs() > _CUT_OUT * height / 2) | (columns.abs() > _CUT_OUT * width / 2)
    return images * outside[:, None]
