"""Many picture files -> one .npy file of decoded pictures, which may be larger than memory."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib.format import open_memmap
from tqdm import tqdm

from training.data.decoding import DECODING_ERRORS, Options, decode
from training.data.files import PictureFile
from training.data.fitting import NO_CHANGES, Changes

_AT_ONCE = 1024  # files given to the threads before their results are taken
_COPIED_AT_ONCE = 64 << 20  # bytes

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    file: PictureFile
    error: str | None = None  # why it could not be decoded
    grey: bool = True
    changes: Changes = NO_CHANGES


def in_threads(work: Callable[[int], _T], count: int, title: str) -> list[_T]:
    """`work` of 0 … count - 1, in order, with a progress bar.

    Threads do: reading, hashing and Pillow's decoders let go of the interpreter for most of their time.
    """

    def results() -> Iterator[_T]:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for start in range(0, count, _AT_ONCE):
                yield from pool.map(work, range(start, min(start + _AT_ONCE, count)))

    return list(tqdm(results(), title, total=count, unit="file", leave=False, disable=None))


def decode_into(path: Path, files: Sequence[PictureFile], options: Options) -> list[Outcome]:
    """Decode at least one file into the .npy file at `path`, uint8 [n, 3, height, width], rows of broken files being undefined.

    Raises OSError if the disk has no room.
    """
    pictures = open_memmap(path, "w+", np.uint8, (len(files), 3, *options.size))
    with path.open("rb+") as file:
        # Claimed now: a disk that is found full while mapped memory is written ends the process without a word.
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)

    def work(place: int) -> Outcome:
        try:
            decoded = decode(files[place].read(), options)
        except DECODING_ERRORS as error:
            return Outcome(files[place], str(error) or type(error).__name__)
        pictures[place] = decoded.pixels
        return Outcome(files[place], None, decoded.grey, decoded.changes)

    return in_threads(work, len(files), "decoding")


def keep(path: Path, rows: Sequence[int], channels: int) -> None:
    """Cut the .npy file at `path` down to some of its pictures, at least one, and to their first `channels` channels."""
    pictures = np.load(path, mmap_mode="r")
    n, stored, height, width = pictures.shape
    if (len(rows), channels) == (n, stored):
        return
    smaller = path.with_suffix(".smaller.npy")
    kept = open_memmap(smaller, "w+", np.uint8, (len(rows), channels, height, width))
    with smaller.open("rb+") as file:
        os.posix_fallocate(file.fileno(), 0, smaller.stat().st_size)
    step = max(1, _COPIED_AT_ONCE // pictures[:1].nbytes)
    for start in range(0, len(rows), step):
        kept[start : start + step] = pictures[rows[start : start + step], :channels]
    smaller.replace(path)
