"""Encoding: from a network's output to uint8, and from uint8 to grids and files."""

import io
import math
import struct
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from zlib_ng import zlib_ng

_PNG_LENGTH = struct.Struct(">I")
_PNG_HEADER = struct.Struct(">IIBBBBB")
_PNG_GREY, _PNG_RGB = 0, 2  # colour types
_SMALL_PNG = 2**12  # pixels

Images = NDArray[np.uint8]  # [n, height, width, channels], channels 1 (grey) or 3 (RGB)


def to_uint8_range(x: Any, low: float = -1.0, high: float = 1.0) -> Any:
    """[low, high] -> [0, 255], such that cutting off the fraction rounds half up: clamp(round(255 (x - low) / (high - low))).

    The only place where a network's output becomes grey levels. Takes and returns a NumPy array or a torch tensor of any shape;
    the caller casts to uint8, which truncates.
    """
    return ((x - low) * (255 / (high - low)) + 0.5).clip(0, 255)


def grid_shape(n: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns of a grid of n images, by default as close to a square as possible."""
    columns = columns or math.ceil(math.sqrt(n))
    return math.ceil(n / columns), columns


def grid(images: Images, columns: int | None = None) -> NDArray[np.uint8]:
    """Lay images side by side without a gap, row by row -> uint8 [rows * height, columns * width, channels].

    By default as close to a square as possible. Empty cells of the last row are black.
    """
    n, height, width, channels = images.shape
    rows, columns = grid_shape(n, columns)
    if rows * columns == 1:
        only: NDArray[np.uint8] = images[0]
        return only
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = images
    return sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def encode(
    image: NDArray[np.uint8],
    format: Literal["png", "webp", "jpeg"],
    quality: int = 90,  # 1 to 100, of JPEG and WebP; PNG is without loss
    origin: str | None = None,  # of the image, ASCII, at most 60,000 letters
    scale: int = 1,  # whole-number enlargement of every pixel's side
) -> bytes:
    """Encode uint8 [height, width, channels] as an image file, grey for one channel (WebP has none), RGB for three.

    The origin is a PNG's text under `gan-service`, and EXIF's UserComment in JPEG and WebP.
    """
    buffer = io.BytesIO()
    if format == "png":
        if image.shape[0] * image.shape[1] * scale**2 <= _SMALL_PNG:
            png = _small_png(_enlarged(image, scale))
        else:
            _image(image, scale).save(buffer, format)
            png = buffer.getvalue()
        return png if origin is None else _with_text(png, origin)
    _image(image, scale).save(buffer, format, quality=quality, **({} if origin is None else {"exif": _exif(origin)}))
    return buffer.getvalue()


def animate(
    images: Images,
    format: Literal["webp", "gif"],
    fps: float,
    quality: int = 90,  # 1 to 100, of WebP
    origin: str | None = None,
    scale: int = 1,  # as in `encode`
) -> bytes:
    """Encode an animation that repeats for ever and lasts len(images) / fps seconds.

    GIF counts time in hundredths of a second and WebP in thousandths; durations of frames differ so that
    the animation keeps its pace. Both encoders merge neighbouring frames that look alike into one that lasts as long. The origin is
    GIF's comment, and as in `encode` for WebP.
    """
    first, *others = (_image(image, scale) for image in images)
    buffer = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": others, "loop": 0}
    if format == "gif":
        ends = [round(100 * (place + 1) / fps) for place in range(len(images))]
        durations = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
        first.save(buffer, format, duration=durations, **options, **({} if origin is None else {"comment": origin.encode()}))
        return buffer.getvalue()
    exif = {} if origin is None else {"exif": _exif(origin)}
    first.save(buffer, format, duration=1000 / fps, quality=quality, **options, **exif)  # the encoder rounds start times
    return _surely_animated(buffer.getvalue(), images.shape[2] * scale, images.shape[1] * scale, round(1000 * len(images) / fps))


def _enlarged(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    return image if scale == 1 else image.repeat(scale, 0).repeat(scale, 1)


def _image(image: NDArray[np.uint8], scale: int) -> Image.Image:
    """Pillow's copy of the enlarged pixels, which are let go before it is encoded: large ones would be held twice."""
    image = _enlarged(image, scale)
    return Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)


def _small_png(image: NDArray[np.uint8]) -> bytes:
    """Encode a small PNG several times as fast as Pillow, which takes most time to begin and end; some tenths larger.

    Lines are not filtered (filter type 0), which gains little where there are few pixels. (PNG: https://www.w3.org/TR/png-3/)
    """
    height, width, channels = image.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)
    lines[:, 1:] = image.reshape(height, width * channels)
    return b"".join([_png_start(width, height, channels), _png_chunk(b"IDAT", zlib_ng.compress(lines.tobytes(), 1)), _PNG_END])


def _with_text(png: bytes, text: str) -> bytes:
    """Insert a text chunk after the header of a PNG, which has a fixed length. Pillow takes four times as long."""
    header = 33  # 8 bytes of signature, and 25 of IHDR
    return png[:header] + _png_chunk(b"tEXt", b"gan-service\0" + text.encode("ascii")) + png[header:]


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return b"".join([_PNG_LENGTH.pack(len(content)), kind, content, _PNG_LENGTH.pack(zlib_ng.crc32(content, zlib_ng.crc32(kind)))])


@cache
def _png_start(width: int, height: int, channels: int) -> bytes:
    """The signature and the header."""
    colours = _PNG_GREY if channels == 1 else _PNG_RGB
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", _PNG_HEADER.pack(width, height, 8, colours, 0, 0, 0))


_PNG_END = _png_chunk(b"IEND", b"")


def _exif(text: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + text.encode("ascii")
    return exif.tobytes()


def _surely_animated(webp: bytes, width: int, height: int, milliseconds: int) -> bytes:
    """Return an animation unchanged, and turn a still image into one of two frames.

    The encoder makes a still image of frames that all look alike, which has no duration; two equal frames of half the duration
    each last as long. (Container: https://developers.google.com/speed/webp/docs/riff_container)
    """
    chunks, at = [], 12
    while at < len(webp):
        size = int.from_bytes(webp[at + 4 : at + 8], "little")
        chunks.append((webp[at : at + 4], webp[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    kinds = [kind for kind, _ in chunks]
    if b"ANIM" in kinds:
        return webp
    image = b"".join(_riff(kind, content) for kind, content in chunks if kind in (b"ALPH", b"VP8 ", b"VP8L"))
    exif = b"".join(_riff(kind, content) for kind, content in chunks if kind == b"EXIF")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    halves = (milliseconds // 2, milliseconds - milliseconds // 2)
    frames = [_riff(b"ANMF", bytes(6) + sides + half.to_bytes(3, "little") + b"\0" + image) for half in halves]
    animated, has_exif = 0x02, 0x08
    flags = bytes([animated | (has_exif if exif else 0), 0, 0, 0])
    body = b"WEBP" + _riff(b"VP8X", flags + sides) + _riff(b"ANIM", bytes(6)) + b"".join(frames) + exif
    return _riff(b"RIFF", body)


def _riff(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)
