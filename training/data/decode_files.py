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

_AT_ONCE = 1024  # files queued for the threads at a time
_COPIED_AT_ONCE = 64 << 20  # bytes
_HASHED_AT_ONCE = 1 << 20  # bytes
_BYTES_OF_A_PIXEL = 12  # during decoding: with alpha, and with the converted image

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """The result of decoding one file."""

    file: ImageFile
    error: str | None = None  # why it could not be decoded
    grey: bool = True
    changes: Changes = NO_CHANGES
    digest: bytes = b""  # of the pixels
    brightest: int = 0  # level


def in_threads(work: Callable[[int], _T], count: int, title: str) -> list[_T]:
    """Compute `work` of 0 … count - 1 in threads, with a progress bar; results are in order.

    Threads suffice: reading, hashing and Pillow's decoders release the interpreter's lock most of the time.
    """

    def results() -> Iterator[_T]:
        with ThreadPoolExecutor(usable_processors()) as pool:
            for start in range(0, count, _AT_ONCE):
                yield from pool.map(work, range(start, min(start + _AT_ONCE, count)))

    return list(tqdm(results(), title, total=count, unit="file", leave=False, disable=None))


def digest_of(file: ImageFile) -> bytes:
    """SHA-256 of the content, which is read in parts; b"" for a file that cannot be read: decoding will report why."""
    digest = hashlib.sha256()
    try:
        with file.file.reading() as content:
            while part := content.read(_HASHED_AT_ONCE):
                digest.update(part)
    except (OSError, ValueError):
        return b""
    return digest.digest()


def find_depth(files: Sequence[ImageFile]) -> int:
    """The bit depth of the 16-bit grey files among these, by their largest value; 16 where there are none."""
    budget = _DecodingBudget()

    def work(place: int) -> int | None:
        try:
            if not may_be_16_bits(files[place].file.head()):
                return None
            with budget.content(files[place]) as content:
                return largest_of_16_bits(content)
        except DECODING_ERRORS:
            return None

    return depth_of(max((level for level in in_threads(work, len(files), "measuring") if level is not None), default=65535))


def decode_into(path: Path, files: Sequence[ImageFile], options: Options) -> list[Outcome]:
    """Decode at least one file into the .npy file at `path`, uint8 [n, 3, height, width], with undefined rows for broken files.

    Raises OSError if the disk has no room.
    """
    images = open_memmap(path, "w+", np.uint8, (len(files), 3, *options.size))
    with path.open("rb+") as file:
        # Allocated now: a disk that runs full while mapped memory is written would kill the process without a message.
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    budget = _DecodingBudget()

    def work(place: int) -> Outcome:
        try:
            with budget.content(files[place]) as content:
                decoded = decode(content, options)
        except DECODING_ERRORS as error:
            return Outcome(files[place], str(error) or type(error).__name__)
        images[place] = decoded.pixels
        digest = hashlib.sha256(decoded.pixels.tobytes()).digest()
        return Outcome(files[place], None, decoded.grey, decoded.changes, digest, int(decoded.pixels.max()))

    return in_threads(work, len(files), "decoding")


class _DecodingBudget:
    """The memory budget of decoding threads: together about half of what an array may have."""

    def __init__(self) -> None:
        # Two, acquired in this order: a thread that holds pixels never waits for bytes, so there is no deadlock.
        self._bytes, self._pixels = Budget(memory_limit() // 4), Budget(memory_limit() // 4 // _BYTES_OF_A_PIXEL)

    @contextmanager
    def content(self, file: ImageFile) -> Iterator[bytes]:
        """Read a file once there is room for it and for its pixels. Raises one of DECODING_ERRORS."""
        if not is_known(head := file.file.head()):
            raise ValueError(explain(head))
        with self._bytes.hold(file.file.length):
            content = file.file.read()
            with self._pixels.hold(pixels_of(content)):
                yield content


def keep_rows(path: Path, rows: Sequence[int], channels: int) -> None:
    """Rewrite the .npy file at `path` with only these rows, at least one, and with `channels` channels."""
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
