"""Which images are held out of a set without a test split, and which of those select or test: decided by content alone."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import nfc

_SMALLEST_SET = 200  # a smaller set needs all its images
_ONE_IN = 20
LEAST_HELD_OUT = 10  # fewer measure nothing
_MOST = 2000
_MOST_OF_A_TEST_SPLIT = 10_000
OF_A_CLASS = 4  # at most one in so many images of a class: one of three needs all its images
_FEWEST_TO_HALVE = 1000  # held-out images: half of fewer would measure little
_SMALLEST_HALF = 0.25  # share of them; only a set of many copies may have less
_HALVES = b"selection or test"  # hashed with each image, so that this choice is independent of the one above


def held_out_indices(digests: Sequence[bytes], labels: Sequence[str | None] | None = None) -> list[int]:
    """Indices, ascending, of the images to hold out, given the SHA-256 of each: about 1 in 20, at most 2,000, or none.

    Where there are `labels`, no class gives more than a quarter of its images. An image stays on its side when others are added or
    renamed (except for the limits), and so do all copies of it.
    """
    if len(digests) < _SMALLEST_SET:
        return []
    classes = ["" for _ in digests] if labels is None else list(labels)
    left = {label: count // OF_A_CLASS for label, count in Counter(classes).items()}
    copies: dict[bytes, list[int]] = {}
    for place, image_digest in enumerate(digests):
        if int.from_bytes(image_digest) % _ONE_IN == 0:
            copies.setdefault(image_digest, []).append(place)
    chosen: list[int] = []
    for _, places in sorted(copies.items()):
        wanted = Counter(classes[place] for place in places)
        if labels is None or all(count <= left[label] for label, count in wanted.items()):
            chosen += places
            for label, count in wanted.items():
                left[label] -= count
    chosen = chosen[:_MOST]
    return sorted(chosen) if len(chosen) >= LEAST_HELD_OUT else []


def split_indices(
    digests: Sequence[bytes],  # SHA-256 of each image
    labels: Sequence[str | None],  # None for no class
    declared: Sequence[bool | None],  # whether it is in a test split; None where the set is not split
) -> tuple[list[int], list[int]]:
    """Indices of the images to train on and of those to hold out, each ascending.

    Held out are those of the test split, at most 10,000 of them; if it has fewer than 10 it is left out, and as many are held out
    as of a set without one. Images in neither list are not used.
    """
    training = [place for place, is_test in enumerate(declared) if not is_test]
    test = [place for place, is_test in enumerate(declared) if is_test]
    if len(test) >= LEAST_HELD_OUT:
        return training, sorted(sorted(test, key=lambda place: (digests[place], place))[:_MOST_OF_A_TEST_SPLIT])
    classes = [labels[place] for place in training]
    names = None if None in classes else [nfc(str(label)) for label in classes]
    held_out = {training[place] for place in held_out_indices([digests[place] for place in training], names)}
    return [place for place in training if place not in held_out], sorted(held_out)


def halves(held_out: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Split held-out images [h, c, height, width]: ascending indices of the selection half, and of the test half.

    An image stays in its half when others are added, removed or reordered, and so do all copies of it. None where there are fewer
    than 1,000, or so many copies that one half would be small: one set then has to serve both.
    """
    if len(held_out) < _FEWEST_TO_HALVE:
        return None
    reports = np.array([digest(_HALVES + image.tobytes())[0] % 2 == 1 for image in held_out])
    if not _SMALLEST_HALF <= reports.mean() <= 1 - _SMALLEST_HALF:
        return None
    return np.flatnonzero(~reports), np.flatnonzero(reports)


def digest(content: bytes | memoryview) -> bytes:
    """SHA-256."""
    return hashlib.sha256(content).digest()
