"""What a set of pictures is once it is decoded: arrays, labels, and the order in which training sees them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

_HASHED_AT_ONCE = 64 << 20  # bytes


class DataError(Exception):
    """Data that cannot be trained on; the message names the flag or file and the remedy."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Pictures of a set that are never trained on, to measure what was learned against."""

    pictures: NDArray[np.uint8]  # [m, channels, height, width]
    labels: NDArray[np.int64] | None = None  # [m], places in the set's `classes`


@dataclass(frozen=True, eq=False)
class Dataset:
    """All pictures of a set, decoded and of one size. The arrays may be memory maps; nobody writes to them."""

    name: str
    pictures: NDArray[np.uint8]  # [n, channels, height, width], without those held out
    licence: str  # of the pictures
    classes: tuple[str, ...] = ()  # names of the labels; empty if there are none
    labels: NDArray[np.int64] | None = None  # [n], of each picture: its place in `classes`
    held_out: HeldOut | None = None
    notes: tuple[str, ...] = ()  # what was done to them, for people
    skipped: tuple[str, ...] = ()  # every file that could not be decoded, with the reason
    recorded_fingerprint: str | None = None  # where it is known already

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: the same pictures in the same order have the same one on any machine."""
        return self.recorded_fingerprint or fingerprint(self.pictures, self.classes, self.labels)

    def without_labels(self) -> "Dataset":
        """The same pictures, for a game that is not to know their classes."""
        if self.labels is None:
            return self
        held_out = None if self.held_out is None else HeldOut(self.held_out.pictures)
        return replace(self, classes=(), labels=None, held_out=held_out, recorded_fingerprint=None)

    def batch(self, seed: int, seen: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """The `size` pictures that follow the `seen` ones before them, and their labels: a pure function of its arguments.

        Each round through the set has an order of its own, drawn from (seed, round). Returns copies: uint8 [size, channels,
        height, width] and int64 [size], or None without labels.
        """
        n = len(self.pictures)
        laps, places = np.divmod(np.arange(seen, seen + size), n)
        order = np.concatenate([_permutation(seed, lap, n)[places[laps == lap]] for lap in np.unique(laps).tolist()])
        return self.pictures[order], None if self.labels is None else self.labels[order]


# Two, since a batch may lie across the border of two rounds.
@lru_cache(maxsize=2)
def _permutation(seed: int, lap: int, n: int) -> NDArray[np.int64]:
    order = np.random.default_rng([seed, lap]).permutation(n)
    order.flags.writeable = False
    return order


def fingerprint(
    pictures: NDArray[np.uint8],  # [n, channels, height, width]
    classes: Sequence[str] = (),
    labels: NDArray[np.int64] | None = None,  # [n]
) -> str:
    """SHA-256, in hex, over shape, pixels, and class names and labels where there are; a part at a time, for large sets."""
    digest = hashlib.sha256(repr(pictures.shape).encode())
    step = max(1, _HASHED_AT_ONCE // max(1, pictures[:1].nbytes))
    for start in range(0, len(pictures), step):
        digest.update(np.ascontiguousarray(pictures[start : start + step]).data)
    if labels is not None:
        digest.update(repr(tuple(classes)).encode() + labels.tobytes())
    return digest.hexdigest()


def slug(text: str) -> str:
    """A name for runs and models: lower-case ASCII letters, digits and hyphens; 'data' where nothing is left of the text."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text.lower()).strip("-") or "data"
