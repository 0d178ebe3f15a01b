"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): real and generated images are augmented before the discriminator.

With few images a discriminator memorises them; it cannot if no image ever comes twice in one form. The augmentations are
differentiable, so the generator learns through them, and since both sides get them they do not leak into generated images.
"""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from training.config.settings import AugmentName

AUGMENT_PARAMS = 7  # random numbers for each image: brightness, saturation, contrast, shift x and y, centre of the cutout x and y
# Augmentations by the paper's names: all of them, those that the paper applies to CIFAR-10, or the mildest.
POLICIES: dict[AugmentName, tuple[str, ...]] = {
    "none": (),
    "translation": ("translation",),
    "translation-cutout": ("translation", "cutout"),
    "diffaugment": ("colour", "translation", "cutout"),
}
_SHIFT = 1 / 8  # of the side, at most
_CUT_OUT = 1 / 2  # of the side


def augment(images: Tensor, augment_params: Tensor, policy: AugmentName = "diffaugment") -> Tensor:
    """Colour, translation and cutout of float [n, c, h, w] in [-1, 1], by `augment_params`, uniform in [0, 1), [n, AUGMENT_PARAMS].

    A translation pads with 0, mid grey, as in the paper.
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
    """Translate by whole pixels: interpolation would blur the images, and the generator would learn to generate blurred ones.

    All shifts up to the largest are equally likely, as in the paper's code.
    """
    sides = torch.tensor([images.shape[3], images.shape[2]], device=images.device, dtype=torch.float32)
    most = (_SHIFT * sides + 0.5).floor()
    # Rounding may take a number just under 1 to one more than the largest shift.
    shifts = (augment_params * (2 * most + 1)).floor().minimum(2 * most) - most
    moves = 2 * shifts / sides  # in the coordinates of affine_grid, where a side has the length 2
    matrices = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
    matrices[:, :, 2] = moves
    with torch.autocast(images.device.type, enabled=False):  # half precision cannot resolve the pixels of large images
        grid = affine_grid(matrices, list(images.shape), align_corners=False)
        return grid_sample(images.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _cut_out(images: Tensor, centres: Tensor) -> Tensor:
    """Set a rectangle of half the sides to grey; it may lie partly outside."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)[None, :, None] - (centres[:, 0] * height)[:, None, None]
    columns = torch.arange(width, device=images.device)[None, None, :] - (centres[:, 1] * width)[:, None, None]
    outside = (rows.abs() > _CUT_OUT * height / 2) | (columns.abs() > _CUT_OUT * width / 2)
    return images * outside[:, None]
