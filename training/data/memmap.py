"""Many image files -> one .npy file of decoded images, which may be larger than memory."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib.format import open_memmap
from tqdm import tqdm

from gan.images.colours import depth_of, luminance
from gan.images.decoding import DECODING_ERRORS, Options, decode, largest_of_16_bits, pixels_of
from gan.images.fitting import NO_CHANGES, Changes
from gan.images.formats import explain, is_known, may_be_16_bits
from gan.processors import usable_processors
from training.data.image_files import ImageFile
from training.data.memory import memory_limit
from training.data.memory_budget import Budget

_AT_ONCE = 1024  # files given to the threads before their results are taken
_COPIED_AT_ONCE = 64 << 20  # bytes
_HASHED_AT_ONCE = 1 << 20  # bytes
_BYTES_OF_A_PIXEL = 12  # while it is decoded: with alpha, and beside it what it is converted to

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    file: ImageFile
    error: str | None = None  # why it could not be decoded
    grey: bool = True
    changes: Changes = NO_CHANGES
    digest: bytes = b""  # of the pixels
    brightest: int = 0  # level


def in_threads(work: Callable[[int], _T], count: int, title: str) -> list[_T]:
    """`work` of 0 … count - 1, in order, with a progress bar.

    Threads do: reading, hashing and Pillow's decoders let go of the interpreter for most of their time.
    """

    def results() -> Iterator[_T]:
        with ThreadPoolExecutor(usable_processors()) as pool:
            for start in range(0, count, _AT_ONCE):
                yield from pool.map(work, range(start, min(start + _AT_ONCE, count)))

    return list(tqdm(results(), title, total=count, unit="file", leave=False, disable=None))


def digest_of(file: ImageFile) -> bytes:
    """SHA-256 of the content, which is read a part at a time; b"" for what cannot be read: decoding will say why."""
    digest = hashlib.sha256()
    try:
        with file.file.reading() as content:
            while part := content.read(_HASHED_AT_ONCE):
                digest.update(part)
    except (OSError, ValueError):
        return b""
    return digest.digest()


def find_depth(files: Sequence[ImageFile]) -> int:
    """The bits of the values in the 16-bit grey files among these, by the largest of all; 16 where there are none."""
    held = _Held()

    def work(place: int) -> int | None:
        try:
            if not may_be_16_bits(files[place].file.head()):
                return None
            with held.content(files[place]) as content:
                return largest_of_16_bits(content)
        except DECODING_ERRORS:
            return None

    return depth_of(max((level for level in in_threads(work, len(files), "measuring") if level is not None), default=65535))


def decode_into(path: Path, files: Sequence[ImageFile], options: Options) -> list[Outcome]:
    """Decode at least one file into the .npy file at `path`, uint8 [n, 3, height, width], rows of broken files being undefined.

    Raises OSError if the disk has no room.
    """
    images = open_memmap(path, "w+", np.uint8, (len(files), 3, *options.size))
    with path.open("rb+") as file:
        # Claimed now: a disk that is found full while mapped memory is written ends the process without a word.
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    held = _Held()

    def work(place: int) -> Outcome:
        try:
            with held.content(files[place]) as content:
                decoded = decode(content, options)
        except DECODING_ERRORS as error:
            return Outcome(files[place], str(error) or type(error).__name__)
        images[place] = decoded.pixels
        digest = hashlib.sha256(decoded.pixels.tobytes()).digest()
        return Outcome(files[place], None, decoded.grey, decoded.changes, digest, int(decoded.pixels.max()))

    return in_threads(work, len(files), "decoding")


class _Held:
    """What threads that decode hold in memory at once: together about half of what an array may take."""

    def __init__(self) -> None:
        # Two, taken in this order: who holds pixels never waits for bytes, so somebody can always go on.
        self._bytes, self._pixels = Budget(memory_limit() // 4), Budget(memory_limit() // 4 // _BYTES_OF_A_PIXEL)

    @contextmanager
    def content(self, file: ImageFile) -> Iterator[bytes]:
        """The content of a file, when there is room for it and for its pixels. Raises one of DECODING_ERRORS."""
        if not is_known(head := file.file.head()):
            raise ValueError(explain(head))
        with self._bytes.hold(file.file.length):
            content = file.file.read()
            with self._pixels.hold(pixels_of(content)):
                yield content


def keep(path: Path, rows: Sequence[int], channels: int) -> None:
    """Cut the .npy file at `path` down to some of its images, at least one, and to one channel if they are all grey."""
    images = np.load(path, mmap_mode="r")
    n, stored, height, width = images.shape
    if (len(rows), channels) == (n, stored):
        return
    smaller = path.with_suffix(".smaller.npy")
    kept = open_memmap(smaller, "w+", np.uint8, (len(rows), channels, height, width))
    with smaller.open("rb+") as file:
        os.posix_fallocate(file.fileno(), 0, smaller.stat().st_size)
    step = max(1, _COPIED_AT_ONCE // images[:1].nbytes)
    for start in range(0, len(rows), step):
        part = images[rows[start : start + step]]
        kept[start : start + step] = luminance(part) if channels < stored else part
    smaller.replace(path)
