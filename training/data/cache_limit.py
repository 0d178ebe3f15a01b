"""The limit of the cache of decoded images: the least recently used sets are removed, and what killed processes left."""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_WRITING = ".writing"  # locked, shared, by all writers; a process with the exclusive lock knows that hidden files are left over
_DISK_DIVISOR = 10  # the cache may have one in so many bytes of the disk
_in_use: dict[Path, IO[bytes]] = {}  # by the file that marks an entry as used; locked until this process ends

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A set of decoded images in the cache."""

    folder: Path
    size: int  # bytes
    used: float  # when it was last read, in seconds since 1970


def limit_of(root: Path) -> int:
    """The bytes that the cache may have: a tenth of its disk."""
    return shutil.disk_usage(root).total // _DISK_DIVISOR


def entries(root: Path, mark: str) -> list[Entry]:
    """All sets in the cache, least recently used first; `mark` is the file in each whose time is that of its last use."""
    found = []
    for folder in root.glob("[!.]*"):
        with suppress(OSError):  # removed meanwhile, or not from this program
            used = (folder / mark).stat().st_mtime
            found.append(Entry(folder, sum(path.stat().st_size for path in folder.iterdir()), used))
    return sorted(found, key=lambda entry: (entry.used, entry.folder))


def hold(mark: Path) -> None:
    """Mark an entry as in use until this process ends. Raises OSError if there is none, or it is being removed."""
    file = mark.open("rb")
    try:
        with suppress(OSError):  # a file system without locks, on which nothing is ever removed
            fcntl.flock(file, fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(file.fileno()), mark.stat()):
            raise FileNotFoundError(f"{mark} was replaced")
        with suppress(OSError):  # another user's file, or a read-only disk
            os.utime(mark)
    except OSError:
        file.close()
        raise
    if (before := _in_use.pop(mark, None)) is not None:
        before.close()
    _in_use[mark] = file


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Keep `tidy` in other processes from removing what is being written."""
    with (root / _WRITING).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def tidy(root: Path, mark: str) -> None:
    """Remove what killed processes left, and unused sets, the least recently used first, until the cache is within its limit.

    Removes nothing while any process writes: what was just written is not marked as used yet.
    """
    # Errors are ignored: another process is at it, or will be, and the images are loaded without it.
    with suppress(OSError), (root / _WRITING).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in root.glob(".*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _WRITING:
                path.unlink()
        found = entries(root, mark)
        excess = sum(entry.size for entry in found) - limit_of(root)
        for entry in found:
            if excess > 0 and _remove(entry, mark):
                excess -= entry.size


def _remove(entry: Entry, mark: str) -> bool:
    """Remove an entry unless it is in use; returns whether it was removed."""
    with (entry.folder / mark).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        hidden = Path(tempfile.mkdtemp(prefix=".removed.", dir=entry.folder.parent))
        entry.folder.rename(hidden / "entry")  # atomically: no process finds a part of it
        shutil.rmtree(hidden, ignore_errors=True)
    day, megabytes = time.strftime("%Y-%m-%d", time.localtime(entry.used)), entry.size / 1e6
    _log.info(f"removed {entry.folder}, decoded images not used since {day} ({megabytes:,.1f} MB)", extra={"stream": "stderr"})
    return True
