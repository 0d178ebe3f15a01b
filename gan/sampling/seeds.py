"""Which seeds, and with which labels."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

from gan.class_names import ClassIndex
from gan.errors import GanServiceError
from gan.latents import SEEDS
from gan.manifest import Manifest
from gan.model.given import UsageError

BALANCED = "balanced"


class SeedsError(GanServiceError):
    """A text that names no seeds."""


@dataclass(frozen=True)
class Seeds(Sequence[int]):
    """Different seeds in rising order, as ranges: ten million of them take no memory."""

    ranges: tuple[range, ...]

    @classmethod
    def parse(cls, text: str) -> "Seeds":
        """Parse a text such as 0-9999 or 1,5,10-20. Raises SeedsError."""
        ranges = sorted((_range(part.strip()) for part in text.split(",")), key=lambda one: one.start)
        for before, after in pairwise(ranges):
            if after.start < before.stop:
                raise SeedsError(f"{text}: {after.start} is given twice; an image is drawn once")
        return cls(tuple(ranges))

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> list[int]: ...

    def __getitem__(self, place: int | slice) -> int | list[int]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        left = place + len(self) if place < 0 else place
        for one in self.ranges:
            if 0 <= left < len(one):
                return one[left]
            left -= len(one)
        raise IndexError(place)

    def __iter__(self) -> Iterator[int]:
        for one in self.ranges:
            yield from one

    def __str__(self) -> str:
        return ",".join(str(one.start) if len(one) == 1 else f"{one.start}-{one.stop - 1}" for one in self.ranges)


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    try:
        start, stop = int(first), int(last if dash else first) + 1
    except ValueError:
        raise SeedsError(f"{text[:100]!r} is neither a seed nor a range of them: write 0-9999, or 1,5,10-20") from None
    if not 0 <= start < stop <= SEEDS:
        raise SeedsError(f"{text[:100]}: seeds go from 0 to {SEEDS - 1}, and a range from the smaller to the larger")
    return range(start, stop)


def labels_of(seeds: Sequence[int], label: str | None, manifest: Manifest) -> list[int] | int | None:
    """The labels that images of seeds are drawn with: each seed's own (None), one for all, or by turns (`balanced`).

    By turns is a seed's remainder by the number of classes, so that no label depends on what else is drawn. Raises UsageError.
    """
    if label is None:
        return None
    classes = manifest.classes
    if classes is None:
        raise UsageError(f"--label {label}: this model has no labels")
    if label == BALANCED and label not in classes:
        return [seed % len(classes) for seed in seeds]
    if (index := ClassIndex(classes).find(label)) is not None:
        return index
    if re.fullmatch("[0-9]{1,20}", label) and int(label) < len(classes):
        return int(label)
    raise UsageError(f"--label {label[:100]}: there is no such class; there is {BALANCED}, {', '.join(classes)[:1000]}")
