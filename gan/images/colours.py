"""Colour conversion: the pixel values in an image file -> 8 bits of sRGB or grey."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

GREY_16_BIT = "I;16"  # in either byte order
_BITS_PER_SAMPLE = 258  # a tag of TIFF
_DEPTHS = (8, 10, 12, 14, 16)  # bits of measuring instruments, stored in 16
WHOLE_DEPTH = _DEPTHS[-1]  # bits
_UNCHANGED = 2  # levels by which rounding in the transform of an sRGB profile changes colours
_GREY = 1  # level between channels: lossy formats leave that in a grey image saved in colour, by rounding


def depth_of(highest: int) -> int:
    """The bit depth of a set of 16-bit images: the smallest of 8, 10, 12, 14, 16 that holds the largest value."""
    return next(depth for depth in _DEPTHS if highest < 1 << depth)


def to_8_bits(image: Image.Image, bits: int, depth: int) -> Image.Image:
    """Convert 16-bit grey by the upper byte of its `depth` bits, as Pillow does for colours; for grey it would clip at 255."""
    levels = _levels(image, bits)
    grey = Image.fromarray(np.minimum(levels >> (depth - 8), 255).astype(np.uint8))
    if "transparency" in image.info:  # one level of the 65,536, which the upper byte would confuse with 255 others
        grey.putalpha(Image.fromarray(np.where(levels == image.info["transparency"], 0, 255).astype(np.uint8)))
    if "icc_profile" in image.info:
        grey.info["icc_profile"] = image.info["icc_profile"]
    return grey


def wide_bits(image: Image.Image) -> int | None:
    """The declared bit depth of an opened 16-bit grey file: 16, or 12 in some TIFF; None for any other image."""
    if image.mode == "I" and image.format == "PPM":
        return 16
    if not image.mode.startswith(GREY_16_BIT):
        return None
    bits: int = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    return bits


def largest(image: Image.Image, bits: int) -> int:
    """The largest value of a 16-bit grey image."""
    return int(_levels(image, bits).max())


def _levels(image: Image.Image, bits: int) -> NDArray[np.uint16]:
    levels: NDArray[np.uint16] = np.asarray(image).astype(np.uint16) << np.uint16(16 - bits)
    return levels


def to_srgb(image: Image.Image) -> tuple[Image.Image, bool]:
    """Convert an image to sRGB by its embedded profile; returns whether that changed it.

    Images are unchanged without a profile, with that of sRGB, or with one that is damaged or for another kind of image.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return image, False
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in ("RGB", "L") and image.has_transparency_data:
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    bare = {"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode)
    transform = _transform(profile, bare)
    if transform is None:
        return image, False
    shown = transform.apply(image.convert(bare) if bare != image.mode else image)
    if bare != image.mode:
        shown.putalpha(image.getchannel("A"))
    return shown, True


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB; None where it is the identity, or the profile is unusable."""
    if mode not in ("L", "RGB", "CMYK"):
        return None
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode == "CMYK":
        return transform
    probe = Image.fromarray(_PROBE[..., 0] if mode == "L" else _PROBE)
    moved = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return transform if np.abs(moved).max() > _UNCHANGED else None


_LEVELS = np.arange(0, 256, 17).astype(np.uint8)
_PROBE = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS), -1).reshape(-1, 64, 3)


def is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Whether an image [3, height, width] shows no colour: its channels are equal, or nearly so."""
    low, high = pixels.min(0), pixels.max(0)
    return bool((high - low).max() <= _GREY)


def luminance(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[n, 3, height, width] -> [n, 1, height, width]: Pillow's weights, exact where the channels are equal."""
    red, green, blue = (images[:, channel : channel + 1].astype(np.uint32) for channel in range(3))
    grey: NDArray[np.uint8] = ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)
    return grey
