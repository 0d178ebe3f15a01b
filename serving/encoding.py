"""Pictures -> the body of an answer, one function for each format. All give the same bytes for the same pictures."""

import base64
import io
import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import PIL
from numpy.typing import NDArray

from gan import imaging
from gan.imaging import Pictures

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

# Part of every ETag: another version may write other bytes for the same pixels. Count up when this module does.
ENCODER = f"1-pillow-{PIL.__version__}-numpy-{np.__version__}"


@dataclass(frozen=True)
class Sheet:
    """How pictures become one image."""

    columns: int | None = None  # of the grid; None: as close to a square as possible
    scale: int = 1  # whole-number enlargement
    quality: int = 90  # 1 ... 100, JPEG and WebP only


def encode(
    format: Format,
    pictures: Pictures,  # uint8 [n, height, width, channels]
    seeds: Sequence[int] | None,  # None for pictures from noise
    labels: NDArray[np.int64] | None,  # [n], None for an unconditional model
    classes: Sequence[str] | None,  # names of the labels
    model: str,  # name@version
    sheet: Sheet,
) -> bytes:
    """The body of an answer."""
    if format == "zip":
        return _zip(pictures, _unique("noise", range(len(pictures))) if seeds is None else _unique("seed", seeds), sheet.scale)
    if format == "npz":
        return _npz(pictures, seeds, labels)
    if format == "json":
        names = None if labels is None or classes is None else [classes[label] for label in labels]
        return _json(pictures, seeds, names, model, sheet)
    return imaging.encode(imaging.enlarge(imaging.grid(pictures, sheet.columns), sheet.scale), format, sheet.quality)


def _png(picture: NDArray[np.uint8], scale: int) -> bytes:
    return imaging.encode(imaging.enlarge(picture, scale), "png")


def encode_animation(format: AnimationFormat, frames: Pictures, fps: float, scale: int, quality: int) -> bytes:
    """The body of an answer that shows a way through the latent space; png is a strip of all frames."""
    if format == "zip":
        return _zip(frames, _unique("frame", range(len(frames))), scale)
    if format == "npz":
        return _npz(frames, None, None)
    if format == "png":
        return imaging.encode(imaging.enlarge(imaging.grid(frames, len(frames)), scale), "png")
    return imaging.animate(np.stack([imaging.enlarge(frame, scale) for frame in frames]), format, fps, quality)


def _unique(stem: str, numbers: Sequence[int]) -> list[str]:
    """Names such as seed0000000042; a number's second appearance ends in -2, and so on."""
    counts: Counter[int] = Counter()
    names = []
    for number in numbers:
        counts[number] += 1
        names.append(f"{stem}{number:010d}" + (f"-{counts[number]}" if counts[number] > 1 else ""))
    return names


def _zip(pictures: Pictures, names: list[str], scale: int) -> bytes:
    """One PNG for each picture."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored: PNG is compressed already
        for name, picture in zip(names, pictures, strict=True):
            # A ZipInfo of its own carries a fixed date; by name, writestr would put in the time of day.
            archive.writestr(zipfile.ZipInfo(f"{name}.png"), _png(picture, scale))
    return buffer.getvalue()


def _npz(pictures: Pictures, seeds: Sequence[int] | None, labels: NDArray[np.int64] | None) -> bytes:
    arrays: dict[str, NDArray[Any]] = {"images": pictures}
    if seeds is not None:
        arrays["seeds"] = np.array(seeds, np.uint32)
    if labels is not None:
        arrays["labels"] = labels
    buffer = io.BytesIO()
    # As np.savez does, but for its sizes of 64 bits, which releases of Python write in different ways.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.lib.format.write_array(file, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), file.getvalue())
    return buffer.getvalue()


def _json(pictures: Pictures, seeds: Sequence[int] | None, labels: Sequence[str] | None, model: str, sheet: Sheet) -> bytes:
    images = [
        {
            "seed": None if seeds is None else seeds[place],
            "label": None if labels is None else labels[place],
            "format": "png",
            "data": base64.b64encode(_png(picture, sheet.scale)).decode(),
        }
        for place, picture in enumerate(pictures)
    ]
    return json.dumps({"model": model, "images": images}).encode()
