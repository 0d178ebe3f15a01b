"""Images -> the body of an answer, one function for each format. Equal images give equal bytes."""

import base64
import json
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import PIL
from numpy.typing import NDArray

from gan.images import encoding
from gan.images.encoding import Images
from gan.model import archives
from gan.model.origins import Origins

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


def encode(format: Format, images: Images, origins: Origins, grid_options: GridOptions, latents: bool = False) -> bytes:
    """The body of an answer; images are uint8 [n, height, width, channels]. With `latents` json has the latent vectors too."""
    if format == "zip":
        return archives.as_zip(images, archives.names(origins.seeds, len(images)), grid_options.scale, origins.origin_of_image)
    if format == "npz":
        return archives.as_npz(images, origins.seeds, origins.rows.get("label"))
    if format == "json":
        return _json(images, origins, grid_options.scale, latents)
    sheet = encoding.grid(images, grid_options.columns)
    return encoding.encode(sheet, format, grid_options.quality, origins.origin_of_sheet(), grid_options.scale)


def encode_animation(
    format: AnimationFormat, frames: Images, fps: float, scale: int, quality: int, origins: Origins, loop: bool
) -> bytes:
    """The body of an interpolation's answer; png is a strip of all frames."""
    n = len(frames)
    if format == "npz":
        return archives.as_npz(frames, None, None)
    if format == "zip":
        return archives.as_zip(frames, archives.unique("frame", range(n)), scale, partial(origins.origin_of_interpolation, n, loop))
    origin = origins.origin_of_interpolation(n, loop)
    if format == "png":
        return encoding.encode(encoding.grid(frames, n), "png", origin=origin, scale=scale)
    return encoding.animate(frames, format, fps, quality, origin, scale)


def _json(images: Images, origins: Origins, scale: int, latents: bool) -> bytes:
    def answer(place: int, image: NDArray[np.uint8]) -> dict[str, Any]:
        data = encoding.encode(image, "png", origin=origins.origin_of_image(place), scale=scale)
        found = {
            "seed": None if origins.seeds is None else origins.seeds[place],
            "label": origins.label(place),
            "format": "png",
            "data": base64.b64encode(data).decode(),
        }
        return found | ({"noise": origins.latent(place)} if latents else {})

    answers = [answer(place, image) for place, image in enumerate(images)]
    return json.dumps({"model": origins.model, "images": answers}).encode()
