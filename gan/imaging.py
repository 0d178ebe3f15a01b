"""Pictures: from a network's numbers to uint8, and from uint8 to grids and files."""

import io
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]  # [n, height, width, channels], channels 1 (grey) or 3 (RGB)


def grey_levels(x: Any) -> Any:
    """[-1, 1] -> [0, 255], such that cutting off the fraction is rounding half up: clamp(round_half_up((x + 1) * 127.5), 0, 255).

    The one place where a network's output becomes grey levels. Takes and returns a NumPy array or a torch tensor of any shape;
    the caller casts to uint8, which cuts off the fraction.
    """
    return ((x + 1.0) * 127.5 + 0.5).clip(0, 255)


def grid(pictures: Pictures, columns: int | None = None) -> NDArray[np.uint8]:
    """Pictures side by side without a gap, row by row -> uint8 [rows * height, columns * width, channels].

    By default as close to a square as possible. Places left over in the last row are black.
    """
    n, height, width, channels = pictures.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = pictures
    return sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def enlarge(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Every pixel of uint8 [height, width, channels] becomes a square of scale x scale."""
    return picture.repeat(scale, 0).repeat(scale, 1)


def encode(picture: NDArray[np.uint8], format: Literal["png", "webp", "jpeg"], quality: int = 90) -> bytes:
    """uint8 [height, width, channels] -> the bytes of an image file, grey for one channel (WebP has none), RGB for three.

    `quality`, 1 to 100, is for JPEG and WebP; PNG is without loss.
    """
    buffer = io.BytesIO()
    options = {} if format == "png" else {"quality": quality}
    Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(buffer, format, **options)
    return buffer.getvalue()


def animate(pictures: Pictures, format: Literal["webp", "gif"], fps: float, quality: int = 90) -> bytes:
    """An animation that repeats for ever; `quality`, 1 to 100, is for WebP. GIF counts time in hundredths of a second.

    Both encoders merge neighbouring frames that look alike into one that lasts as long.
    """
    first, *others = (Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture) for picture in pictures)
    buffer = io.BytesIO()
    options = {} if format == "gif" else {"quality": quality}
    first.save(buffer, format, save_all=True, append_images=others, duration=round(1000 / fps), loop=0, **options)
    return buffer.getvalue()
