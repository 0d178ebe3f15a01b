"""Image files that people bring -> what a model sees of them."""

import numpy as np
from numpy.typing import NDArray

from gan.images.colours import WHOLE_DEPTH, luminance
from gan.images.decoding import MAX_PIXELS, Options, decode, parse_colour
from gan.images.fitting import Fit
from gan.images.formats import FORMATS
from gan.manifest import Manifest
from gan.manifest_parts import Trained

DEPTH = "depth"  # in the configuration of a model's training: bits of the values in 16-bit grey files, where they are fewer


def options_of(
    manifest: Manifest,
    fit: Fit | None,  # None: as in training
    background: str | None,  # a CSS colour name or #rrggbb; None: as in training
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int = MAX_PIXELS,
) -> Options:
    """How pictures are made to fit a model. Raises ValueError for a colour that there is not."""
    trained = manifest.origin.config if isinstance(manifest.origin, Trained) else {}
    colour = parse_colour(background or trained.get("background") or "white")
    found: Fit = fit or trained.get("fit") or "crop"
    depth: int = trained.get(DEPTH) or WHOLE_DEPTH
    return Options((manifest.height, manifest.width), found, colour, max_pixels, depth, formats)


def as_seen(content: bytes, options: Options, channels: int) -> NDArray[np.float32]:
    """A file's picture as a model of 1 or 3 channels sees it, float32 [channels, height, width] in [-1, 1].

    Raises as `gan.images.decoding.decode`.
    """
    levels = decode(content, options).pixels
    if channels == 1:
        levels = luminance(levels[None])[0]
    return levels.astype(np.float32) / np.float32(127.5) - np.float32(1)
