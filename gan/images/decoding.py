"""Decoding: the bytes of an image file -> RGB pixels of the size that is trained on."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError

from gan.images.colours import WHOLE_DEPTH, is_grey, largest, to_8_bits, to_srgb, wide_bits
from gan.images.fitting import Changes, Colour, Fit, fit_image
from gan.images.formats import FORMATS, explain

MAX_PIXELS = 200_000_000  # about the most that cameras have: files with more are probably decompression bombs
_GREY_MODES = {"1", "L", "LA"}
_SIDEWAYS = {5, 6, 7, 8}  # values of EXIF's Orientation that exchange height and width

# What Pillow raises for files that are damaged, not images, of modes it cannot convert, or decompression bombs.
DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning),
)


@dataclass(frozen=True)
class Options:
    """The parameters of decoding."""

    size: tuple[int, int]  # height, width
    fit: Fit
    background: Colour
    max_pixels: int = MAX_PIXELS
    depth: int = WHOLE_DEPTH  # bits of the values in 16-bit grey files
    formats: tuple[str, ...] = FORMATS  # of files, by Pillow's names


@dataclass(frozen=True)
class Decoded:
    """An image at the size that is trained on."""

    pixels: NDArray[np.uint8]  # [3, height, width]
    grey: bool  # it shows no colour: its three channels are equal, or nearly so
    changes: Changes


@dataclass(frozen=True)
class Header:
    """The properties of an image that a file declares before it is decoded."""

    height: int  # of the upright image
    width: int
    grey: bool


def parse_colour(text: str) -> Colour:
    """Parse a colour: a CSS name or #rrggbb. Raises ValueError."""
    if text.lower() in ImageColor.colormap or re.fullmatch("#[0-9a-fA-F]{6}", text):
        red, green, blue, *_ = ImageColor.getrgb(text)
        return red, green, blue
    raise ValueError(f"{text}: no such colour; give a name, such as white, or #rrggbb")


@contextmanager
def bombs_are_errors(max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Make Pillow refuse images of more pixels, where it only warns up to twice that.

    Limit and warnings are global to the process: enter this once around all decoding threads, not in each.
    """
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def decode(content: bytes, options: Options) -> Decoded:
    """Decode the first frame: upright, in sRGB, on the background where it is transparent, at the size of the options.

    Raises one of DECODING_ERRORS for anything but a whole image, and ValueError for modes without a fixed white.
    """
    with open_image(content, options.formats) as image:
        bits = wide_bits(image)
        if image.mode in ("I", "F") and bits is None:
            raise ValueError("it has 32 bits for each pixel and no fixed white; save it with 8 or 16")
        upright = ImageOps.exif_transpose(image)
        if bits is not None:
            upright = to_8_bits(upright, bits, options.depth)
        upright, from_profile = to_srgb(upright)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, options.background), rgba)
    fitted, changes = fit_image(upright.convert("RGB"), options.size, options.fit, options.background)
    pixels = np.asarray(fitted).transpose(2, 0, 1)
    return Decoded(pixels, is_grey(pixels), replace(changes, to_srgb=int(from_profile)))


def largest_of_16_bits(content: bytes) -> int | None:
    """The largest value of a 16-bit grey image; None for any other. Raises as `decode` does."""
    with open_image(content) as image:
        bits = wide_bits(image)
        return None if bits is None else largest(image, bits)


def read_header(content: bytes) -> Header:
    """Read the size and kind of an image without decoding it. Raises as `decode` does."""
    with open_image(content) as image:
        # In a PNG the orientation may come after the pixels, and looking for it would decode them.
        orientation = None if image.format == "PNG" else image.getexif().get(ExifTags.Base.Orientation)
        width, height = reversed(image.size) if orientation in _SIDEWAYS else image.size
        return Header(height, width, _is_grey(image))


def pixels_of(content: bytes, formats: tuple[str, ...] = FORMATS) -> int:
    """The number of pixels that a file of one of the formats declares. Raises as `decode` does."""
    with open_image(content, formats) as image:
        return image.width * image.height


def open_image(content: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The image, of which only the head has been read. Raises as `decode` does."""
    try:
        return Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        raise ValueError(explain(content)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        size = re.search(r"\d+", str(error))  # the limit that Pillow names is twice the one that is set
        pixels = size.group() if size else "too many"
        raise ValueError(
            f"it has {pixels} pixels, over --max-pixels {Image.MAX_IMAGE_PIXELS}: raise that if it is your own"
        ) from error


def _is_grey(image: Image.Image) -> bool:
    # Pillow gives 16-bit grey with alpha as RGBA.
    grey_alpha = image.format == "PNG" and [tile.args for tile in getattr(image, "tile", [])] == ["LA;16B"]
    return image.mode in _GREY_MODES or wide_bits(image) is not None or grey_alpha
