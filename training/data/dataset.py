"""A decoded set of images: arrays, labels, and the order in which training sees them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.attribute_table import AttributeTable
from gan.class_names import composed
from gan.images.colours import WHOLE_DEPTH
from gan.latents import Distribution

_HASHED_AT_ONCE = 64 << 20  # bytes


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Images of a set that are never trained on, for evaluation."""

    images: NDArray[Any]  # uint8 [m, channels, height, width]; points in the plane float32 [m, 2, 1, 1]
    labels: NDArray[np.int64] | None = None  # [m], indices in the set's `classes`


@dataclass(frozen=True, eq=False)
class Attributes:
    """What the images of a set show, by a table of attributes."""

    table: AttributeTable
    places: NDArray[np.int16]  # [n, columns], of each value among those of its class and column

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Those of the table."""
        return self.table.counts

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """Those of the table."""
        return self.table.firsts

    @cached_property
    def thresholds(self) -> dict[Distribution, NDArray[np.float32]]:
        """Those of the table, for each distribution of latent vectors."""
        return {"normal": self.table.thresholds("normal"), "uniform": self.table.thresholds("uniform")}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the table and what each image shows."""
        return hashlib.sha256(self.table.model_dump_json().encode() + self.places.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """All images of a set, decoded and of one size. The arrays may be memory maps and are never written to."""

    name: str
    images: NDArray[Any]  # uint8 [n, channels, height, width], without the held-out ones; points in the plane float32 [n, 2, 1, 1]
    licence: str  # of the images
    classes: tuple[str, ...] = ()  # names of the labels; empty if there are none
    labels: NDArray[np.int64] | None = None  # [n], indices in `classes`
    held_out: HeldOut | None = None
    notes: tuple[str, ...] = ()  # how the images were found and decoded, for people
    skipped: tuple[str, ...] = ()  # each file that could not be decoded, with the reason
    recorded_fingerprint: str | None = None  # if computed before
    depth: int = WHOLE_DEPTH  # bits of the values in the 16-bit grey files that it was decoded from
    former_classes: tuple[str, ...] = ()  # as earlier versions spelled and sorted them (by code points); empty if equal
    names_file: Path | None = None  # JSON lines: the name of each image's file, composed; None for a set that has no files
    attributes: Attributes | None = None  # what the images show, if the run is to learn it

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: equal on any machine for the same images in the same order."""
        return self.recorded_fingerprint or fingerprint(self.images, self.classes, self.labels)

    def without_labels(self) -> "Dataset":
        """The images without their labels, for unconditional training."""
        if self.labels is None:
            return self
        held_out = None if self.held_out is None else HeldOut(self.held_out.images)
        return replace(self, classes=(), labels=None, held_out=held_out, recorded_fingerprint=None)

    def in_order(self, classes: Sequence[str]) -> "Dataset":
        """The set with its classes spelled and sorted as in a model or run; the set itself if these are other classes."""
        own = {nfc(name): index for index, name in enumerate(self.classes)}
        indices = [own.get(nfc(name), -1) for name in classes]
        if self.labels is None or tuple(classes) == self.classes or sorted(own.values()) != sorted(indices):
            return self
        moved = np.argsort(np.array(indices, np.int64))
        held_out = self.held_out
        if held_out is not None and held_out.labels is not None:
            held_out = HeldOut(held_out.images, moved[held_out.labels])
        return replace(self, classes=tuple(classes), labels=moved[self.labels], held_out=held_out, recorded_fingerprint=None)

    def in_colour(self) -> "Dataset":
        """The images with three channels, as earlier versions read grey images that were saved in colour."""
        if self.images.shape[1] != 1:
            return self
        held_out = None if self.held_out is None else replace(self.held_out, images=_in_colour(self.held_out.images))
        return replace(self, images=_in_colour(self.images), held_out=held_out, recorded_fingerprint=None)

    def as_fingerprinted(self, wanted: str | None, *, labelled: bool) -> "Dataset":
        """The set as an earlier version read it, if that has the fingerprint `wanted`, with labels or without; else this set."""
        former = self.in_order(self.former_classes)
        for coloured in (False, True):
            for order in (self, former) if former is not self else (self,):
                other = order.in_colour() if coloured else order
                if (other if labelled else other.without_labels()).fingerprint == wanted:
                    return other
        return self

    @property
    def is_one_image(self) -> bool:
        """Whether all images are the same, pixel for pixel."""
        step = max(1, _HASHED_AT_ONCE // max(1, self.images[:1].nbytes))
        starts = range(0, len(self.images), step)
        return all(bool((self.images[start : start + step] == self.images[:1]).all()) for start in starts)

    def examples(self, count: int, labels: Sequence[int] | None = None) -> NDArray[Any]:
        """Images from all over the set, uint8 [count, channels, height, width]; with `count` labels, one of each of these.

        Without labels those of a labelled set show its classes in turn. Where a class has no image any other stands for it.
        """
        n = len(self.images)
        if self.labels is None:
            return np.array(self.images[np.arange(count) * n // count])
        wanted = [place % len(self.classes) for place in range(count)] if labels is None else labels
        places, taken = [], Counter[int]()
        for place, label in enumerate(wanted):
            of_label = np.flatnonzero(self.labels == label)
            turns = sum(other == label for other in wanted)
            places.append(of_label[taken[label] * len(of_label) // turns] if len(of_label) else place % n)
            taken[label] += 1
        return np.array(self.images[places])

    def batch(self, seed: int, seen: int, size: int) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """The `size` images that follow the `seen` ones before them, and their labels: a pure function of its arguments.

        Each epoch has its own order, drawn from (seed, epoch). Returns copies: uint8 [size, channels,
        height, width] and int64 [size], or None without labels.
        """
        order = self.indices(seed, seen, size)
        return self.images[order], None if self.labels is None else self.labels[order]

    def indices(self, seed: int, seen: int, size: int) -> NDArray[np.int64]:
        """Indices of the images in `batch`, int64 [size]."""
        n = len(self.images)
        epochs, positions = np.divmod(np.arange(seen, seen + size), n)
        return np.concatenate([_permutation(seed, epoch, n)[positions[epochs == epoch]] for epoch in np.unique(epochs).tolist()])


def nfc(name: str) -> str:
    """A name in Unicode's composed form (NFC), as people type it; a Mac's file system separates letters and their accents."""
    return composed(escape_undecodable(name))


def escape_undecodable(name: str) -> str:
    """A name for people and text files: bytes in it that are not UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _in_colour(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.broadcast_to(images, (len(images), 3, *images.shape[2:]))


# Two, since a batch may be from two epochs.
@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    order = np.random.default_rng([seed, epoch]).permutation(n)
    order.flags.writeable = False
    return order


def fingerprint(
    images: NDArray[Any],  # [n, channels, height, width]
    classes: Sequence[str] = (),
    labels: NDArray[np.int64] | None = None,  # [n]
) -> str:
    """SHA-256, in hex, over shape, pixels, class names and labels; read in parts, for large sets."""
    digest = hashlib.sha256(repr(images.shape).encode())
    step = max(1, _HASHED_AT_ONCE // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        digest.update(np.ascontiguousarray(images[start : start + step]).data)
    if labels is not None:
        digest.update(repr(tuple(classes)).encode() + labels.tobytes())
    return digest.hexdigest()


def slug(text: str) -> str:
    """Make a name for runs and models: lower-case ASCII letters, digits and hyphens; 'data' if the text has none of these."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text.lower()).strip("-") or "data"
