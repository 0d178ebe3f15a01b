"""A builtin set, by its name or its raw files -> arrays, at the size in which it was published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.catalog import CATALOG, RawSet, images_file, labels_file
from training.data.decode_cache import cache_root
from training.data.idx import find_idx, read_idx
from training.data.split import digest, held_out_indices
from training.errors import DataError

_DEBIAN_PACKAGE = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
_MOST_HELD_OUT = 10_000


@dataclass(frozen=True)
class Split:
    """A split of a set."""

    images: NDArray[np.uint8]  # [n, channels, height, width]
    labels: NDArray[np.int64] | None  # [n]


@dataclass(frozen=True)
class Arrays:
    """A set in memory, as it was published."""

    training: Split
    held_out: Split | None
    classes: tuple[str, ...]  # empty if loaded without labels


def read_builtin(name: str, labelled: bool) -> Arrays:
    """Read a builtin set from this machine, or download it. Raises DataError where neither is possible."""
    entry = CATALOG[name]
    if name == "digits":
        return _read_digits(labelled)
    if entry.marker:
        return _read_torchvision(RawSet(name, entry, cache_root()), labelled, download=True)
    raw = cache_root() / str(entry.torchvision) / "raw"
    places = [_DEBIAN_PACKAGE, raw] if name == "fashion-mnist" else [raw]
    folder = next((place for place in places if find_idx(place, images_file(entry))), None)
    if folder is None:
        _download_idx(name)
    return _read_idx_set(RawSet(name, entry, folder or raw), labelled)


def read_raw_set(raw: RawSet, labelled: bool) -> Arrays:
    """Read a set from a folder of its raw files. Raises DataError if one is missing or damaged."""
    if raw.entry is not None and raw.entry.marker:
        return _read_torchvision(raw, labelled, download=False)
    return _read_idx_set(raw, labelled)


def _read_idx_set(raw: RawSet, labelled: bool) -> Arrays:
    training = _read_split(raw, labelled, test=False)
    held_out = None
    if find_idx(raw.folder, images_file(raw.entry, test=True)):
        held_out = _read_split(raw, labelled, test=True, most=_MOST_HELD_OUT)
    if training.labels is None:
        return Arrays(training, held_out, ())
    if raw.entry is not None:
        return Arrays(training, held_out, raw.entry.classes)
    return Arrays(training, held_out, tuple(str(label) for label in range(int(training.labels.max()) + 1)))


def _read_split(raw: RawSet, labelled: bool, test: bool, most: int | None = None) -> Split:
    path = _require(raw.folder, images_file(raw.entry, test))
    images = read_idx(path, 3)
    if raw.name == "emnist":
        images = images.transpose(0, 2, 1)  # it was published transposed
    if not labelled:
        return Split(images[:most, np.newaxis], None)
    labels_path = _require(raw.folder, labels_file(raw.entry, test))
    labels = read_idx(labels_path, 1).astype(np.int64)
    if len(labels) != len(images) or (raw.entry is not None and labels.max() >= len(raw.entry.classes)):
        raise DataError(f"{labels_path} does not fit {path.name}: fetch both again")
    return Split(images[:most, np.newaxis], labels[:most])


def _require(folder: Path, name: str) -> Path:
    path = find_idx(folder, name)
    if path is None:
        raise DataError(f"{folder} holds no {name}.gz: fetch it, or give another --data")
    return path


def _download_idx(name: str) -> None:
    import torchvision.datasets

    entry = CATALOG[name]
    options = {"split": "balanced"} if name == "emnist" else {}
    try:
        getattr(torchvision.datasets, str(entry.torchvision))(str(cache_root()), download=True, **options)
    except (OSError, RuntimeError) as error:
        raise _not_downloaded(name, error, f"{images_file(entry)}.gz and its companions") from error


def _read_torchvision(raw: RawSet, labelled: bool, download: bool) -> Arrays:
    """Read CIFAR-10, SVHN or STL-10: torchvision checks digests before it reads the files, which matters for CIFAR-10's pickles."""
    import torchvision.datasets as sets

    def split(test: bool) -> Split:
        root = str(raw.folder)
        found: Any
        if raw.name == "cifar10":
            found = sets.CIFAR10(root, train=not test, download=download)
            return Split(found.data.transpose(0, 3, 1, 2), np.array(found.targets, np.int64) if labelled else None)
        if raw.name == "svhn":
            found = sets.SVHN(root, split="test" if test else "train", download=download)
        else:
            found = sets.STL10(root, split="test" if test else "train" if labelled else "train+unlabeled", download=download)
        return Split(found.data, found.labels.astype(np.int64) if labelled else None)

    assert raw.entry is not None
    try:
        training, test = split(test=False), split(test=True)
    except (OSError, RuntimeError, ImportError) as error:
        if download:
            raise _not_downloaded(raw.name, error, str(raw.entry.marker)) from error
        raise DataError(f"--data {raw.folder}: {raw.name} cannot be read there ({_one_line(error)}); fetch it again") from error
    held_out = Split(test.images[:_MOST_HELD_OUT], None if test.labels is None else test.labels[:_MOST_HELD_OUT])
    return Arrays(training, held_out, raw.entry.classes if labelled else ())


def _not_downloaded(name: str, error: Exception, files: str) -> DataError:
    package = "install Debian's package dataset-fashion-mnist, or " if name == "fashion-mnist" else ""
    return DataError(
        f"--data {name}: it is not on this machine and could not be downloaded ({_one_line(error)}); "
        f"{package}give a folder that holds {files}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_digits(labelled: bool) -> Arrays:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"--data digits: it comes with scikit-learn, which is missing ({error}); pip install scikit-learn"
        ) from error
    found = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)[:, np.newaxis]  # published as 0 to 16
    labels = found.target.astype(np.int64)
    chosen = held_out_indices([digest(image.tobytes()) for image in images], [str(label) for label in found.target])
    apart = np.isin(np.arange(len(images)), chosen)
    training, held_out = (Split(images[side], labels[side] if labelled else None) for side in (~apart, apart))
    return Arrays(training, held_out, CATALOG["digits"].classes if labelled else ())
