"""Classes and test splits of images by the names of their folders."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from training.data.dataset import nfc

PathParts = tuple[str, ...]  # the folders of an image, and its own name

_TRAINING = "train|training|trainval|trn"
_TEST = "test|testing|tst|val|valid|validation|dev|eval|evaluation|hold[-_ ]?out|held[-_ ]?out|pred"
_SPLIT = re.compile(
    rf"(?P<prefix>(?:.*[-_ .])?)(?:(?P<training>{_TRAINING})|{_TEST})(?:[-_ ]?(?:sets?|split|data|images|imgs|images))?[-_ ]?\d*",
    re.IGNORECASE,
)
_DOMAIN = re.compile(rf"(?i:(?P<split>{_TRAINING}|{_TEST}))[-_]?(?P<domain>[A-D])")  # trainA, trainB, testA …, of CycleGAN's sets


@dataclass(frozen=True)
class Place:
    """Class and split of an image by its folders."""

    label: str | None  # the name of the folder that is its class; None if it has none
    held_out: bool | None  # whether it is in a test split; None where the set is not split
    beside: bool = False  # whether it is beside folders for training and testing, and in neither


def natural(name: str) -> tuple[Any, ...]:
    """Sort key of natural order: 2 before 10; names without digits sort by their code points."""
    parts = re.split("([0-9]+)", name)
    return tuple((len(part.lstrip("0")), part.lstrip("0")) if place % 2 else part for place, part in enumerate(parts)), name


def in_natural_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The names of the classes in natural order, each once."""
    return tuple(sorted({nfc(label) for label in labels}, key=natural))


def arrange(paths: Sequence[PathParts]) -> list[Place]:
    """Infer the class and split of each image. Folders that contain all others are ignored.

    Folders called train and test, or by other words for these, are no classes: images in the latter are held out, and the
    classes are the folders in the former, or around both. Classes are two folders or more with no images beside them.
    """
    inside = _domains_inside(_unwrapped(paths))
    if beside := _beside_splits(inside):
        within = iter(arrange([path for path in inside if path[0] not in beside]))
        return [Place(None, None, beside=True) if path[0] in beside else next(within) for path in inside]
    if (sides := _sides([path[0] if len(path) > 1 else "" for path in inside])) is not None:
        tops: dict[str, list[int]] = {}
        for place, path in enumerate(inside):
            tops.setdefault(path[0], []).append(place)
        rests = {top: [inside[place][1:] for place in places] for top, places in tops.items()}
        # What is a class on one side is one on the other, even if it holds everything there.
        classes = {path[0] for paths in map(_unwrapped, rests.values()) for path in paths if len(path) > 1}
        for top, places in tops.items():
            for place, path in zip(places, _unwrapped(rests[top], classes), strict=True):
                inside[place] = path
    elif (sides := _sides([path[1] if len(path) > 2 else "" for path in inside])) is None:  # cat/train, cat/test, dog/train …
        sides = [None] * len(inside)
    labels = _labels(inside, sides)
    return [Place(label, side) for label, side in zip(labels, sides, strict=True)]


def _beside_splits(paths: Sequence[PathParts]) -> set[str]:
    """The folders beside those for training and testing that have inner folders of the same names: masks, copies, samples."""
    matches = {top: _SPLIT.fullmatch(top) for top in {path[0] for path in paths if len(path) > 2}}
    splits = {top: match["training"] is None for top, match in matches.items() if match is not None}
    if set(splits.values()) != {True, False} or not _sides(list(splits)):
        return set()
    inner = {side: {path[1] for path in paths if len(path) > 2 and splits.get(path[0]) == side} for side in (True, False)}
    return {path[0] for path in paths} - set(splits) if inner[True] & inner[False] else set()


def _unwrapped(paths: Sequence[PathParts], kept: Collection[str] = ()) -> list[PathParts]:
    """Remove the folders that contain everything, down to the first that is to be kept."""
    found = list(paths)
    while found and found[0][0] not in kept and all(len(path) > 1 and path[0] == found[0][0] for path in found):
        found = [path[1:] for path in found]
    return found


def _domains_inside(paths: list[PathParts]) -> list[PathParts]:
    """Replace trainA by train/A, if all folders have such names."""
    matches = [_DOMAIN.fullmatch(path[0]) if len(path) > 1 else None for path in paths]
    if not _sides(["" if match is None else match["split"] for match in matches]):
        return paths
    return [(match["split"], match["domain"], *path[1:]) for path, match in zip(paths, matches, strict=True) if match is not None]


def _sides(folders: Sequence[str]) -> list[bool | None] | None:
    """Whether each folder is a test split; None unless all are splits, of both kinds, with names that differ only in the word."""
    found = {folder: _SPLIT.fullmatch(folder) for folder in set(folders)}
    matches = [match for match in found.values() if match is not None]
    if len(matches) < len(found) or len({match["prefix"].lower() for match in matches}) > 1:
        return None
    is_test: dict[str, bool | None] = {match[0]: match["training"] is None for match in matches}
    return [is_test[folder] for folder in folders] if set(is_test.values()) == {True, False} else None


def _labels(paths: Sequence[PathParts], sides: Sequence[bool | None]) -> list[str | None]:
    tops = [path[0] if len(path) > 1 else None for path in paths]
    learned = {top for top, side in zip(tops, sides, strict=True) if not side}
    classes = in_natural_order(top for top in learned if top is not None)
    if None in learned or len(classes) < 2:
        return [None] * len(paths)
    return [top if top is not None and nfc(top) in classes else None for top in tops]
