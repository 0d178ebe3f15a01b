"""Mosaics of real images, which nobody takes for real: a measure of fidelity that takes them for real is not used."""

import numpy as np
from numpy.typing import NDArray

_BLOCKS = 4  # a side
_LEAST_DIFFERENCE = 0.25  # between the precision of real images and that of their mosaics
_BY_MOSAICS = ("precision", "density")  # measures that are left out where they do not tell mosaics apart


def mosaics(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As many images, uint8 [n, c, h, w], of 4x4 blocks, each from another image of the set, at the place it has there."""
    made = images.copy()
    height, width = images.shape[2:]
    rows, columns = (np.linspace(0, side, _BLOCKS + 1).astype(int) for side in (height, width))
    step = max(len(images) // _BLOCKS**2, 1)
    for block in range(_BLOCKS**2):
        row, column = divmod(block, _BLOCKS)
        place = (..., slice(rows[row], rows[row + 1]), slice(columns[column], columns[column + 1]))
        made[place] = np.roll(images, block * step, axis=0)[place]
    return made


def without_meaning(real: float, mosaic: float) -> tuple[tuple[str, ...], list[str]]:
    """Measures to leave out, and why, for people, by the precision of real images and that of mosaics of them.

    With few images, or features that see little, the balls around real images are so large that they hold anything.
    """
    if real - mosaic >= _LEAST_DIFFERENCE:
        return (), []
    why = (
        f"precision and density are left out: mosaics of real images have a precision of {mosaic:.2f} here, and real images "
        f"{real:.2f}, so that a good one would say nothing"
    )
    return _BY_MOSAICS, [why]
