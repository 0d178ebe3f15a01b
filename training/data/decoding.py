"""The bytes of a picture file -> RGB pixels of the size that is trained on."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError

from training.data.dataset import DataError
from training.data.fitting import Changes, Colour, Fit, fit_picture

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
# Of Pillow's decoders these alone: some of the others start programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_GREY_MODES = {"1", "L", "LA"}
_GREY_16_BIT = "I;16"  # in either byte order
_SIDEWAYS = {5, 6, 7, 8}  # values of EXIF's Orientation that exchange height and width

# What Pillow raises for files that are damaged, not pictures, of modes it cannot convert, or so large that they must be a trap.
DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning),
)


@dataclass(frozen=True)
class Options:
    """All that decoding depends on beside the file."""

    size: tuple[int, int]  # height, width
    fit: Fit
    background: Colour


@dataclass(frozen=True)
class Decoded:
    """A picture at the size that is trained on."""

    pixels: NDArray[np.uint8]  # [3, height, width]
    grey: bool  # its three channels are equal because it has no colour, not by chance
    changes: Changes


@dataclass(frozen=True)
class Header:
    """What a file says of its picture before it is decoded."""

    height: int  # of the upright picture
    width: int
    grey: bool


def parse_colour(text: str) -> Colour:
    """A colour by its CSS name or as #rrggbb. Raises DataError, which names --background."""
    if text.lower() in ImageColor.colormap or re.fullmatch("#[0-9a-fA-F]{6}", text):
        red, green, blue, *_ = ImageColor.getrgb(text)
        return red, green, blue
    raise DataError(f"--background {text}: no such colour; give a name, such as white, or #rrggbb")


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Let Pillow refuse pictures over its limit (89 million pixels), where it would only warn up to twice that.

    Warnings are filtered for the whole process: enter this once around all threads that decode, not in each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(content: bytes, options: Options) -> Decoded:
    """The first frame, upright, on the background where it is transparent, at the size asked for.

    Raises one of DECODING_ERRORS for what is no whole picture, and ValueError for modes that do not say which value is white.
    """
    with _open(content) as image:
        if image.mode in ("I", "F"):
            raise ValueError("it has 32 bits for each pixel and no fixed white; save it with 8 or 16")
        grey = _is_grey(image)
        upright = _to_8_bits(ImageOps.exif_transpose(image))
    transparent = upright.has_transparency_data
    if transparent:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, options.background), rgba)
    fitted, changes = fit_picture(upright.convert("RGB"), options.size, options.fit, options.background)
    colourful = len(set(options.background)) > 1 and (transparent or bool(changes.padded))
    return Decoded(np.asarray(fitted).transpose(2, 0, 1), grey and not colourful, changes)


def read_header(content: bytes) -> Header:
    """Size and kind of a picture without decoding it. Raises as `decode` does."""
    with _open(content) as image:
        # In a PNG the orientation may come after the pixels, and looking for it would decode them.
        orientation = None if image.format == "PNG" else image.getexif().get(ExifTags.Base.Orientation)
        width, height = reversed(image.size) if orientation in _SIDEWAYS else image.size
        return Header(height, width, _is_grey(image))


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"it is no {', '.join(_FORMATS)}" if content else "it is empty") from error


def _is_grey(image: Image.Image) -> bool:
    # Pillow gives 16-bit grey with alpha as RGBA.
    grey_alpha = image.format == "PNG" and [tile.args for tile in getattr(image, "tile", [])] == ["LA;16B"]
    return image.mode in _GREY_MODES or image.mode.startswith(_GREY_16_BIT) or grey_alpha


def _to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit grey by the upper byte, as Pillow does for colours: its own conversion of grey would clip at 255."""
    if not image.mode.startswith(_GREY_16_BIT):
        return image
    levels = np.asarray(image)
    grey = Image.fromarray((levels >> 8).astype(np.uint8))
    if "transparency" in image.info:  # one level of the 65,536, which the upper byte would confuse with 255 others
        grey.putalpha(Image.fromarray(np.where(levels == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey
