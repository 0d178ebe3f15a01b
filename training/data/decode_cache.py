"""The cache of decoded images on disk: a second start with the same files and options reads them back."""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from gan import atomic
from gan.images.decoding import Options, bombs_are_errors
from gan.images.fitting import Changes, total
from training.data import cache_limit
from training.data.classes import in_natural_order
from training.data.dataset import escape_undecodable, fingerprint, nfc
from training.data.decode_files import Outcome, decode_into, digest_of, find_depth, in_threads, keep_rows
from training.data.image_files import Files, ImageFile
from training.data.memory import memory_limit
from training.data.split import split_indices
from training.errors import DataError

_FORMAT = 3  # version of the folder and of decoding: raise it when either changes
_RECORD = "record.json"
_PICTURES, _HELD_OUT, _NAMES = "pictures.npy", "held_out.npy", "names.txt"

_log = logging.getLogger(__name__)


class Record(BaseModel):
    """The metadata of a set of decoded images."""

    format: Literal[3] = 3
    source: str  # where they came from, for people
    sizes: dict[str, int]  # of the other files in the folder, in bytes
    classes: list[str]  # of the images to train on, in natural order; empty if there are none
    former_classes: list[str]  # in the spelling and order of earlier versions
    labels: list[int]  # indices in `classes`; -1 for none
    held_out_labels: list[int]
    changes: Changes
    depth: int  # bits of the values in 16-bit grey files
    copies: int  # images with the same pixels as one before
    brightest: int  # level of all images
    skipped: list[str]  # 'name (reason)' of each file that could not be decoded
    fingerprint: str
    labelled_fingerprint: str  # with the labels, where there are any


@dataclass(frozen=True)
class Cached:
    """Decoded images in a folder of the cache."""

    folder: Path
    record: Record
    images: NDArray[np.uint8]  # [n, channels, height, width], in memory or mapped
    held_out: NDArray[np.uint8] | None  # [m, channels, height, width]

    @property
    def names_file(self) -> Path:
        """JSON lines, one for each of `images`: the name of its file, relative to the source and composed (`nfc`)."""
        return self.folder / _NAMES


def cache_root() -> Path:
    """The folder of downloads and decoded images: gan-service in $XDG_CACHE_HOME, or in ~/.cache."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "gan-service"


def decoded(files: Files, options: Options) -> Cached:
    """Read the images of these files from the cache, or decode them into it.

    The cache is keyed by the content and names of all files and by the options. A damaged entry is replaced. Of runs that
    start at once one decodes and the others wait. Raises DataError if no file can be decoded, or the cache
    cannot be written.
    """
    digests = in_threads(lambda place: digest_of(files.files[place]), len(files.files), "hashing")
    folder = cache_root() / "decoded" / _key(files, digests, options)
    found = _read(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if found is None:
            found = _decode(folder, files, digests, options)
    except OSError as error:
        raise DataError(
            f"cannot keep the decoded images in {folder} ({error}): make room there, or set XDG_CACHE_HOME to another folder"
        ) from error
    if found is None:
        raise DataError(f"{folder} was changed while it was written: start again")
    cache_limit.tidy(folder.parent, _RECORD)
    return found


def cache_size(root: Path) -> int:
    """The bytes of all sets in the cache."""
    return sum(entry.size for entry in cache_limit.entries(root, _RECORD))


def _decode(folder: Path, files: Files, digests: Sequence[bytes], options: Options) -> Cached | None:
    with cache_limit.writing(folder.parent), _lock(folder.with_name(f".{folder.name}.lock")):
        if (found := _read(folder)) is not None:
            return found
        fill = partial(_fill, files=files, digests=digests, options=options)
        atomic.write_atomically(folder, fill, replace=os.path.lexists(folder))
        return _read(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Lock a file, and wait for other processes that have it; the lock ends with the process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("waiting for another run, which decodes the same images", extra={"stream": "stderr"})
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(files: Files, digests: Sequence[bytes], options: Options) -> str:
    whole = hashlib.sha256(json.dumps([_FORMAT, asdict(options)], sort_keys=True).encode())
    for file, content in zip(files.files, digests, strict=True):
        known = json.dumps([file.label, file.held_out])
        for part in (file.name.encode("utf-8", "surrogateescape"), content, known.encode()):
            whole.update(len(part).to_bytes(8) + part)
    return whole.hexdigest()[:32]


def _read(folder: Path) -> Cached | None:
    """Read an entry; None if it is missing or damaged."""
    try:
        cache_limit.hold(folder / _RECORD)
        record = Record.model_validate_json((folder / _RECORD).read_bytes())
        if any((folder / name).stat().st_size != size for name, size in record.sizes.items()):
            return None
        held_out = _load(folder / _HELD_OUT) if _HELD_OUT in record.sizes else None
        return Cached(folder, record, _load(folder / _PICTURES), held_out)
    except (OSError, ValueError):
        return None


def _load(path: Path) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r" if path.stat().st_size > memory_limit() else None)
    return images


def _fill(folder: Path, files: Files, digests: Sequence[bytes], options: Options) -> None:
    """Decode all files into the folder. Raises DataError if there is nothing to train on, OSError if the disk is full."""
    training, held_out = split_indices(digests, [file.label for file in files.files], [file.held_out for file in files.files])
    sides = {name: [files.files[place] for place in side] for name, side in ((_PICTURES, training), (_HELD_OUT, held_out))}
    with bombs_are_errors(options.max_pixels):
        options = replace(options, depth=find_depth([file for side in sides.values() for file in side]))
        outcomes = {name: decode_into(folder / name, side, options) for name, side in sides.items() if side}
    skipped = sorted(_explain(outcome) for side in outcomes.values() for outcome in side if outcome.error is not None)
    good = {name: [row for row, outcome in enumerate(side) if outcome.error is None] for name, side in outcomes.items()}
    if not good[_PICTURES]:
        raise DataError(f"--data {files.source}: none of its {len(files.files)} files can be decoded: {'; '.join(skipped[:5])}")

    decoded_ones = [outcomes[name][row] for name, rows in good.items() for row in rows]
    channels = 1 if all(outcome.grey for outcome in decoded_ones) else 3
    for name, rows in good.items():
        if rows:
            keep_rows(folder / name, rows, channels)
        else:
            (folder / name).unlink()
    used = {name: [outcomes[name][row].file for row in rows] for name, rows in good.items()}
    names = (json.dumps(nfc(file.name), ensure_ascii=False) for file in used[_PICTURES])
    (folder / _NAMES).write_text("".join(f"{name}\n" for name in names))
    images = np.load(folder / _PICTURES, mmap_mode="r")
    classes, labels = _labels(used[_PICTURES])
    record = Record(
        source=escape_undecodable(files.source),
        sizes={path.name: path.stat().st_size for path in folder.iterdir()},
        classes=list(classes),
        former_classes=sorted({escape_undecodable(file.label) for file in used[_PICTURES] if file.label is not None}),
        labels=labels,
        held_out_labels=_class_indices(used.get(_HELD_OUT, []), classes),
        changes=total(outcome.changes for outcome in decoded_ones),
        depth=options.depth,
        copies=len(decoded_ones) - len({outcome.digest for outcome in decoded_ones}),
        brightest=max(outcome.brightest for outcome in decoded_ones),
        skipped=skipped,
        fingerprint=fingerprint(images),
        labelled_fingerprint=fingerprint(images, classes, np.array(labels, np.int64)),
    )
    (folder / _RECORD).write_text(record.model_dump_json())


def _labels(files: Sequence[ImageFile]) -> tuple[tuple[str, ...], list[int]]:
    """The classes of these files, and the label of each file."""
    classes = in_natural_order(file.label for file in files if file.label is not None)
    return classes, _class_indices(files, classes)


def _class_indices(files: Sequence[ImageFile], classes: Sequence[str]) -> list[int]:
    indices = {name: index for index, name in enumerate(classes)}
    return [-1 if file.label is None else indices.get(nfc(file.label), -1) for file in files]


def _explain(outcome: Outcome) -> str:
    return f"{outcome.file.title} ({outcome.error})"
