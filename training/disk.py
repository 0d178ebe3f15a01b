"""Messages for files of a run that cannot be written: which disk, which folder, and what to do about it."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gan.atomic import TEMPORARY
from training.errors import DiskError

_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or have your quota raised",
    errno.EROFS: "mount it writable, or take a folder on another disk",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.EISDIR: "move that folder away",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EIO: "the disk does not work as it should: copy the folder to another one",
}


@contextmanager
def writing_to(folder: Path, then: str) -> Iterator[None]:
    """Raises DiskError for any OSError within; `then` says how to go on once it is repaired."""
    try:
        yield
    except OSError as error:
        raise DiskError(explain(error, folder, then)) from error


def explain(error: OSError, folder: Path, then: str) -> str:
    """Explain in one sentence; `folder` is what was written to if the error does not name a file."""
    place = _existing(Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else folder)
    mount = next(path for path in (place, *place.parents) if os.path.ismount(path))
    remedy = _REMEDIES.get(error.errno or 0, "see that the folder exists and can be written to")
    try:
        room = f", which has {shutil.disk_usage(place).free / 2**20:,.0f} MiB left"
    except OSError:
        room = ""
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and isinstance(error.filename, (str, bytes)):
        return f"cannot write to {_missing(Path(os.fsdecode(error.filename)), error)}, then {then}"
    written = place if error.filename else folder
    if error.errno == errno.EISDIR:  # a folder where a file is to be written
        named = error.filename2 or error.filename
        written = Path(os.fsdecode(named)) if isinstance(named, (str, bytes)) else folder
    return f"cannot write to {written} ({error.strerror or error}), on the disk at {mount}{room}: {remedy}, then {then}"


def _missing(path: Path, error: OSError) -> str:
    """The path, the reason and the remedy, where a folder that should hold the file, or a link's target, is missing or a file."""
    whole = Path(os.path.realpath(path))
    missing = next((one for one in (*reversed(whole.parents), whole) if not one.exists()), whole)
    if path.name.startswith(TEMPORARY) and error.errno == errno.ENOENT:  # people know the folder, not this file
        path = path.parent
    if error.errno == errno.ENOTDIR:
        return f"{path} ({error.strerror}): move that file away"
    return f"{path} ({missing} is missing): put it back, or, if it was moved, give the place where it is now"


def _existing(path: Path) -> Path:
    """The nearest existing folder: the path itself or one above it."""
    whole = Path(os.path.realpath(path))
    return next(one for one in (whole, *whole.parents) if one.is_dir())
