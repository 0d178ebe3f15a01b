"""Which pictures are held out of a set without a test split, and which of those choose or report: decided by content alone."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SMALLEST_SET = 200  # a smaller one needs all its pictures
_ONE_IN = 20
_LEAST, _MOST = 10, 2000
_FEWEST_TO_HALVE = 1000  # held-out pictures: half of fewer would measure little
_SMALLEST_HALF = 0.25  # of them, which only a set of many copies comes near to
_HALVES = b"selection or test"  # hashed with each picture, so that this choice has nothing to do with the one above


def held_out_places(digests: Sequence[bytes]) -> list[int]:
    """The places, ascending, of those to hold out, given the SHA-256 of each: about 1 in 20, at most 2,000, or none.

    A picture stays on its side when others come or are renamed (but for the limit), and so do all copies of it.
    """
    if len(digests) < _SMALLEST_SET:
        return []
    chosen = [place for place, digest in enumerate(digests) if int.from_bytes(digest) % _ONE_IN == 0]
    chosen = sorted(chosen, key=lambda place: (digests[place], place))[:_MOST]
    return sorted(chosen) if len(chosen) >= _LEAST else []


def halves(held_out: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The places, ascending, of held-out pictures [h, c, height, width] to choose models by, and of those to report by.

    A picture stays on its side when others come, go or change places, and so do all copies of it. None where there are fewer than
    1,000, or so many copies that one half would be small: one set then has to serve both.
    """
    if len(held_out) < _FEWEST_TO_HALVE:
        return None
    reports = np.array([digest(_HALVES + picture.tobytes())[0] % 2 == 1 for picture in held_out])
    if not _SMALLEST_HALF <= reports.mean() <= 1 - _SMALLEST_HALF:
        return None
    return np.flatnonzero(~reports), np.flatnonzero(reports)


def digest(content: bytes | memoryview) -> bytes:
    """SHA-256."""
    return hashlib.sha256(content).digest()
