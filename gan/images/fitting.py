"""Resizing images to the size that is trained on, with a count of the changes."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Fit = Literal["crop", "pad"]
Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
_MUCH = 2.0  # enlargement beyond which an image mostly shows its pixels


@dataclass(frozen=True)
class Changes:
    """Numbers of changed images, by kind of change."""

    images: int = 0
    cut: int = 0  # margins cut for the aspect ratio
    padded: int = 0  # margins added for the aspect ratio
    scaled_down: int = 0
    scaled_up: int = 0
    scaled_up_much: int = 0  # of these, more than twofold
    to_srgb: int = 0  # had a colour profile other than sRGB

    def describe(self, size: tuple[int, int]) -> str:
        """Describe them in a sentence, such as '300 images at 64x64 (height x width): 12 cut, 4 scaled down'."""
        height, width = size
        kinds = [("cut", self.cut), ("padded", self.padded), ("scaled down", self.scaled_down), ("scaled up", self.scaled_up)]
        kinds.append(("brought to sRGB from other colour profiles", self.to_srgb))
        done = ", ".join(f"{count} {kind}" for kind, count in kinds if count) or "none changed"
        much = f" ({self.scaled_up_much} by more than {_MUCH:g}x: a smaller size would lose nothing)" if self.scaled_up_much else ""
        return f"{self.images} pictures at {height}x{width} (height x width): {done}{much}"


NO_CHANGES = Changes()


def total(changes: Iterable[Changes]) -> Changes:
    """Sum field by field."""
    rows = list(changes)
    return Changes(**{field.name: sum(getattr(row, field.name) for row in rows) for field in fields(Changes)})


def fit_image(image: Image.Image, size: tuple[int, int], fit: Fit, background: Colour | int) -> tuple[Image.Image, Changes]:
    """Resize an image to `size` (height, width), in its own mode, L or RGB.

    `crop` takes the largest centred part of the right aspect ratio; `pad` keeps all and adds margins of `background`.
    Either is scaled by Lanczos's filter. An image of that size is returned unchanged.
    """
    height, width = size
    factors = (width / image.width, height / image.height)
    factor = max(factors) if fit == "crop" else min(factors)
    reshaped = image.width * height != image.height * width
    changes = Changes(
        images=1,
        cut=int(reshaped and fit == "crop"),
        padded=int(reshaped and fit == "pad"),
        scaled_down=int(factor < 1),
        scaled_up=int(factor > 1),
        scaled_up_much=int(factor > _MUCH),
    )
    if fit == "crop":
        return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS), changes
    inner = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    scaled = image.resize(inner, Image.Resampling.LANCZOS)
    if not reshaped:
        return scaled, changes
    padded = Image.new(image.mode, (width, height), background)
    padded.paste(scaled, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded, changes


def fit_array(
    images: NDArray[np.uint8],  # [n, channels, height, width]
    size: tuple[int, int],  # height, width
    fit: Fit,
    background: Colour | int,
) -> tuple[NDArray[np.uint8], Changes]:
    """Resize images in memory as `fit_image` does: uint8 [n, channels, *size]."""
    fitted = np.empty((len(images), images.shape[1], *size), np.uint8)
    all_changes = []
    for place, image in enumerate(images):
        image = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
        image, changes = fit_image(image, size, fit, background)
        levels = np.asarray(image)
        fitted[place] = levels if levels.ndim == 2 else levels.transpose(2, 0, 1)
        all_changes.append(changes)
    return fitted, total(all_changes)
