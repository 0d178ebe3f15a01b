"""Attributes of images that directions are found for: what they are called, and how they are measured on the images themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.images.encoding import Images

Values = NDArray[np.float64]  # [n, attributes], of n images

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. ITU-R BT.601-7, section 2.5.1
_STANDS_OUT = 1.5 / 255  # difference from the background below which nothing stands out: one grey level


@dataclass(frozen=True)
class Attribute:
    """One attribute, and the direction's name."""

    name: str
    about: str  # what a move by a positive amount does, for people
    yes_or_no: bool = False  # its values are scores: yes where they are over 0
    classes: frozenset[int] | None = None  # labels whose images have it; None: all


@dataclass(frozen=True)
class Measure:
    """Attributes that are measured together."""

    attributes: Sequence[Attribute]
    of: Callable[[Images], Values]  # uint8 [n, height, width, channels] -> their values


def measured_on_images(channels: int) -> Measure:
    """What can be measured on any images without knowing what they show. Colours where there are 3 channels.

    Size and place are those of what stands out of the background: each pixel counts by its largest difference, over channels, from
    the median of the image's border. Hue is an angle, which no straight line in the latent space follows; the two colour
    differences that it is the angle of are attributes of their own.
    """
    attributes = [
        Attribute("brightness", "darker to brighter: mean luminance"),
        Attribute("contrast", "flat to contrasting: standard deviation of luminance over the image"),
        Attribute("width", "narrower to wider: standard deviation, over columns, of what stands out of the background"),
        Attribute("height", "lower to taller: standard deviation, over rows, of what stands out of the background"),
        Attribute("centre-x", "further left to further right: centre of what stands out of the background"),
        Attribute("centre-y", "higher up to further down: centre of what stands out of the background"),
    ]
    if channels == 3:
        attributes += [
            Attribute("saturation", "grey to colourful: mean difference of the largest and the smallest channel"),
            Attribute("redness", "greener to redder: mean of red minus green"),
            Attribute("yellowness", "bluer to yellower: mean of red and green, minus blue"),
        ]
    return Measure(attributes, _measure)


def _measure(images: Images) -> Values:
    values: NDArray[np.float32] = images.astype(np.float32) / np.float32(255)
    colour = values.shape[3] == 3
    luminance = (values @ _LUMA if colour else values[..., 0]).astype(np.float64)
    weight = _standing_out(values)
    columns, rows = (_moments(weight.sum(axis)) for axis in (1, 2))
    found = [luminance.mean((1, 2)), luminance.std((1, 2)), columns[1], rows[1], columns[0], rows[0]]
    if colour:
        red, green, blue = (values[..., channel].mean((1, 2), dtype=np.float64) for channel in range(3))
        found += [(values.max(3) - values.min(3)).mean((1, 2), dtype=np.float64), red - green, (red + green) / 2 - blue]
    return np.stack(found, 1)


def _standing_out(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """[n, height, width, channels] -> the weight of each pixel, [n, height, width]."""
    border = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], 1)
    difference = np.abs(values - np.median(border, 1)[:, None, None]).max(3)
    return np.where(difference > _STANDS_OUT, difference, 0).astype(np.float64)


def _moments(profile: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights along a side, [n, length] -> centre and spread of each, in shares of the side; the middle and 0 of an empty image."""
    total = profile.sum(1, keepdims=True)
    share = np.where(total > 0, profile / np.maximum(total, 1e-12), 1 / profile.shape[1])
    places = (np.arange(profile.shape[1]) + 0.5) / profile.shape[1]
    centre = share @ places
    spread = np.sqrt(np.maximum(share @ np.square(places) - np.square(centre), 0))
    return centre, np.where(total[:, 0] > 0, spread, 0)
