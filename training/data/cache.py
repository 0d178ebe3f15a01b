"""Decoded pictures on disk: a second start with the same files and options reads them back."""

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from tqdm import tqdm

from gan import artifact
from training.data.dataset import DataError, fingerprint
from training.data.decoding import Options, bombs_are_errors
from training.data.files import Files, PictureFile
from training.data.fitting import Changes, total
from training.data.splitting import digest, held_out_places
from training.data.storing import Outcome, decode_into, in_threads, keep

_FORMAT = 1  # of the folder and of what decoding does: to be raised when either changes
_RECORD = "record.json"
_PICTURES, _HELD_OUT = "pictures.npy", "held_out.npy"


class Record(BaseModel):
    """What is known of the decoded pictures beside their pixels."""

    format: Literal[1] = 1
    source: str  # where they came from, for people
    sizes: dict[str, int]  # of the files beside this one, in bytes
    folders: list[str]  # at the top of the source, that pictures came from; '' for none
    places: list[int]  # of each picture: its place in `folders`
    held_out_places: list[int]
    changes: Changes
    skipped: list[str]  # 'name (reason)' of each file that could not be decoded
    fingerprint: str
    labelled_fingerprint: str  # with the folders as labels


@dataclass(frozen=True)
class Cached:
    """Decoded pictures that lie in a folder of the cache."""

    folder: Path
    record: Record
    pictures: NDArray[np.uint8]  # [n, channels, height, width], in memory or mapped
    held_out: NDArray[np.uint8] | None  # [m, channels, height, width]


def cache_root() -> Path:
    """Where downloads and decoded pictures are kept: gan-service in $XDG_CACHE_HOME, or in ~/.cache."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "gan-service"


def memory_limit() -> int:
    """The bytes above which an array is mapped rather than read: a quarter of the memory that this machine or container has."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no such group, or the word max
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory // 4


def decoded(files: Files, options: Options) -> Cached:
    """The pictures of these files, from the cache, or decoded into it.

    The cache is keyed by the content and names of all files and by the options. A damaged entry is made anew. Of runs that
    start at once one decodes and the others wait for it. Raises DataError if no file can be decoded, or the cache
    cannot be written.
    """

    def digest_of(place: int) -> bytes:
        try:
            return digest(files.files[place].read())
        except (OSError, ValueError):
            return b""  # decoding will say why

    digests = in_threads(digest_of, len(files.files), "hashing")
    folder = cache_root() / "decoded" / _key(files, digests, options)
    if (found := _read(folder)) is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_name(f".{folder.name}.lock")):
            if (found := _read(folder)) is None:
                fill = partial(_fill, files=files, digests=digests, options=options)
                artifact.write_atomically(folder, fill, replace=os.path.lexists(folder))
                found = _read(folder)
    except OSError as error:
        raise DataError(
            f"cannot keep the decoded pictures in {folder} ({error}): make room there, or set XDG_CACHE_HOME to another folder"
        ) from error
    if found is None:
        raise DataError(f"{folder} was changed while it was written: start again")
    return found


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait until no other run is in here with the same path; a run that dies leaves it."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tqdm.write("waiting for another run, which decodes the same pictures", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(files: Files, digests: Sequence[bytes], options: Options) -> str:
    whole = hashlib.sha256(json.dumps([_FORMAT, asdict(options)], sort_keys=True).encode())
    for file, content in zip(files.files, digests, strict=True):
        for part in (file.name.encode("utf-8", "surrogateescape"), content):
            whole.update(len(part).to_bytes(8) + part)
    return whole.hexdigest()[:32]


def _read(folder: Path) -> Cached | None:
    """None if there is nothing, or anything but what was written."""
    try:
        record = Record.model_validate_json((folder / _RECORD).read_bytes())
        if any((folder / name).stat().st_size != size for name, size in record.sizes.items()):
            return None
        held_out = _load(folder / _HELD_OUT) if _HELD_OUT in record.sizes else None
        return Cached(folder, record, _load(folder / _PICTURES), held_out)
    except (OSError, ValueError):
        return None


def _load(path: Path) -> NDArray[np.uint8]:
    pictures: NDArray[np.uint8] = np.load(path, mmap_mode="r" if path.stat().st_size > memory_limit() else None)
    return pictures


def _fill(folder: Path, files: Files, digests: Sequence[bytes], options: Options) -> None:
    """Decode everything into the folder. Raises DataError if nothing is left to train on, OSError if the disk is full."""
    chosen = set(held_out_places(digests))
    sides: dict[str, list[PictureFile]] = {_PICTURES: [], _HELD_OUT: []}
    for place, file in enumerate(files.files):
        sides[_HELD_OUT if place in chosen else _PICTURES].append(file)
    with bombs_are_errors():
        outcomes = {name: decode_into(folder / name, side, options) for name, side in sides.items() if side}
    good = {name: [row for row, outcome in enumerate(side) if outcome.error is None] for name, side in outcomes.items()}
    decoded_ones = [outcomes[name][row] for name, rows in good.items() for row in rows]
    skipped = sorted(_explain(outcome) for side in outcomes.values() for outcome in side if outcome.error is not None)
    if not good[_PICTURES]:
        raise DataError(f"--data {files.source}: none of its {len(files.files)} files can be decoded: {'; '.join(skipped[:5])}")

    channels = 1 if all(outcome.grey for outcome in decoded_ones) else 3
    for name, rows in good.items():
        if rows:
            keep(folder / name, rows, channels)
        else:
            (folder / name).unlink()
    folders = sorted({outcome.file.top for outcome in decoded_ones})
    places = {name: [folders.index(outcomes[name][row].file.top) for row in rows] for name, rows in good.items()}
    pictures = np.load(folder / _PICTURES, mmap_mode="r")
    record = Record(
        source=files.source,
        sizes={path.name: path.stat().st_size for path in folder.iterdir()},
        folders=folders,
        places=places[_PICTURES],
        held_out_places=places.get(_HELD_OUT, []),
        changes=total(outcome.changes for outcome in decoded_ones),
        skipped=skipped,
        fingerprint=fingerprint(pictures),
        labelled_fingerprint=fingerprint(pictures, folders, np.array(places[_PICTURES], np.int64)),
    )
    (folder / _RECORD).write_text(record.model_dump_json())


def _explain(outcome: Outcome) -> str:
    return f"{outcome.file.title} ({outcome.error})"
