"""The folder of decoded images does not grow for ever: what was not used for longest goes, and what killed processes left."""

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

_WRITING = ".writing"  # held, shared, by all who write; who has it alone knows that hidden files are left over
_PART_OF_THE_DISK = 10  # one in so many bytes may be decoded images
_in_use: dict[Path, IO[bytes]] = {}  # by the file that marks an entry as in use; locked until this process ends

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """One set of decoded images."""

    folder: Path
    size: int  # bytes
    used: float  # when it was last read, in seconds since 1970


def limit_of(root: Path) -> int:
    """The bytes that decoded images may take: a tenth of the disk that they are on."""
    return shutil.disk_usage(root).total // _PART_OF_THE_DISK


def entries(root: Path, mark: str) -> list[Kept]:
    """All sets that are kept, least recently used first. `mark` is the file in each by which its use is known."""
    found = []
    for folder in root.glob("[!.]*"):
        with suppress(OSError):  # removed meanwhile, or not made by us
            used = (folder / mark).stat().st_mtime
            found.append(Kept(folder, sum(path.stat().st_size for path in folder.iterdir()), used))
    return sorted(found, key=lambda kept: (kept.used, kept.folder))


def hold(mark: Path) -> None:
    """Mark an entry as used now, and until this process ends. Raises OSError if there is none, or it is being removed."""
    file = mark.open("rb")
    try:
        with suppress(OSError):  # of a file system without locks, from which nothing is ever removed
            fcntl.flock(file, fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(file.fileno()), mark.stat()):
            raise FileNotFoundError(f"{mark} was replaced")
        with suppress(OSError):  # somebody else's, or a disk that is only read
            os.utime(mark)
    except OSError:
        file.close()
        raise
    if (before := _in_use.pop(mark, None)) is not None:
        before.close()
    _in_use[mark] = file


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Keep `tidy` of other processes from taking for left over what is being written."""
    with (root / _WRITING).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def tidy(root: Path, mark: str) -> None:
    """Remove what is left of killed processes, and of what nobody uses the least recently used, until the limit is kept.

    Nothing while somebody writes: what was just written is not in use yet, and there will be another time.
    """
    # Of errors nothing is said: somebody else tidies, or must, and it is not what this process was started for.
    with suppress(OSError), (root / _WRITING).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in root.glob(".*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _WRITING:
                path.unlink()
        kept = entries(root, mark)
        too_much = sum(one.size for one in kept) - limit_of(root)
        for one in kept:
            if too_much > 0 and _remove(one, mark):
                too_much -= one.size


def _remove(kept: Kept, mark: str) -> bool:
    """Whether nobody used it, and it is gone."""
    with (kept.folder / mark).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        hidden = Path(tempfile.mkdtemp(prefix=".removed.", dir=kept.folder.parent))
        kept.folder.rename(hidden / "entry")  # at once: nobody finds a part of it
        shutil.rmtree(hidden, ignore_errors=True)
    day = time.strftime("%Y-%m-%d", time.localtime(kept.used))
    _log.info(f"removed {kept.folder}, decoded images not used since {day} ({kept.size / 1e6:,.1f} MB)", extra={"stream": "stderr"})
    return True
