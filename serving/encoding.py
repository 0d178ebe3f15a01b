"""Images -> the body of an answer, one function for each format. Equal images give equal bytes."""

import base64
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import PIL
from numpy.typing import NDArray

from gan.images import encoding
from gan.images.encoding import Images
from serving.origins import Origins

Format = Literal["png", "webp", "jpeg", "zip", "npz", "json"]
AnimationFormat = Literal["webp", "gif", "png", "zip", "npz"]

MEDIA_TYPES: dict[Format, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "zip": "application/zip",
    "npz": "application/x-npz",
    "json": "application/json",
}
ANIMATION_MEDIA_TYPES: dict[AnimationFormat, str] = {
    "webp": "image/webp",
    "gif": "image/gif",
    "png": "image/png",
    "zip": "application/zip",
    "npz": "application/x-npz",
}
IMAGE_FORMATS: tuple[Format, ...] = ("png", "webp", "jpeg")

# Part of every ETag: another version may write other bytes for the same pixels. Increase the number when this module does.
ENCODER = f"2-pillow-{PIL.__version__}-numpy-{np.__version__}-zlib-ng-{version('zlib-ng')}"


@dataclass(frozen=True)
class GridOptions:
    """Layout and enlargement of images that are shown as one."""

    columns: int | None = None  # of the grid; None: as close to a square as possible
    scale: int = 1  # whole-number enlargement
    quality: int = 90  # 1 ... 100, JPEG and WebP only


def encode(format: Format, images: Images, origins: Origins, grid_options: GridOptions) -> bytes:
    """The body of an answer; images are uint8 [n, height, width, channels]."""
    if format == "zip":
        return _zip(images, _names(origins.seeds, len(images)), grid_options.scale, origins.origin_of_image)
    if format == "npz":
        return _npz(images, origins.seeds, origins.rows.get("label"))
    if format == "json":
        return _json(images, origins, grid_options.scale)
    whole = encoding.enlarge(encoding.grid(images, grid_options.columns), grid_options.scale)
    return encoding.encode(whole, format, grid_options.quality, origins.origin_of_sheet())


def _png(image: NDArray[np.uint8], scale: int, origin: str | None) -> bytes:
    return encoding.encode(encoding.enlarge(image, scale), "png", origin=origin)


def encode_animation(
    format: AnimationFormat, frames: Images, fps: float, scale: int, quality: int, origins: Origins, loop: bool
) -> bytes:
    """The body of an interpolation's answer; png is a strip of all frames."""
    n = len(frames)
    if format == "npz":
        return _npz(frames, None, None)
    if format == "zip":
        return _zip(frames, _unique("frame", range(n)), scale, partial(origins.origin_of_interpolation, n, loop))
    origin = origins.origin_of_interpolation(n, loop)
    if format == "png":
        return _png(encoding.grid(frames, n), scale, origin)
    return encoding.animate(np.stack([encoding.enlarge(frame, scale) for frame in frames]), format, fps, quality, origin)


def _names(seeds: Sequence[int] | None, n: int) -> list[str]:
    return _unique("noise", range(n)) if seeds is None else _unique("seed", seeds)


def _unique(stem: str, numbers: Sequence[int]) -> list[str]:
    """Names such as seed0000000042; where a number appears again, its name ends in -2, and so on."""
    counts: Counter[int] = Counter()
    names = []
    for number in numbers:
        counts[number] += 1
        names.append(f"{stem}{number:010d}" + (f"-{counts[number]}" if counts[number] > 1 else ""))
    return names


def _member(name: str) -> zipfile.ZipInfo:
    """An archive's entry with a fixed date, where writestr would use the time of day, and readable by all once unpacked."""
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o100644 << 16  # a regular file in Unix, rw-r--r--
    return member


def _zip(images: Images, names: list[str], scale: int, origin: Callable[[int], str | None]) -> bytes:
    """One PNG for each image."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored: PNG is compressed already
        for place, (name, image) in enumerate(zip(names, images, strict=True)):
            archive.writestr(_member(f"{name}.png"), _png(image, scale, origin(place)))
    return buffer.getvalue()


def _npz(images: Images, seeds: Sequence[int] | None, labels: NDArray[np.int64] | None) -> bytes:
    arrays: dict[str, NDArray[Any]] = {"images": images}
    if seeds is not None:
        arrays["seeds"] = np.array(seeds, np.uint32)
    if labels is not None:
        arrays["labels"] = labels
    buffer = io.BytesIO()
    # As np.savez writes it, but without its 64-bit sizes, which versions of Python write differently.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.lib.format.write_array(file, array, allow_pickle=False)
            archive.writestr(_member(f"{name}.npy"), file.getvalue())
    return buffer.getvalue()


def _json(images: Images, origins: Origins, scale: int) -> bytes:
    answers = [
        {
            "seed": None if origins.seeds is None else origins.seeds[place],
            "label": origins.label(place),
            "format": "png",
            "data": base64.b64encode(_png(image, scale, origins.origin_of_image(place))).decode(),
        }
        for place, image in enumerate(images)
    ]
    return json.dumps({"model": origins.model, "images": answers}).encode()
