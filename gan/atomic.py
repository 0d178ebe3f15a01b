"""Files and folders that are written whole or not at all."""

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".gan-tmp-"  # how the names of what is still being written begin; a killed process leaves it behind

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h


def write_atomically(target: Path, fill: Callable[[Path], None], replace: bool = False) -> None:
    """Let `fill` write into a temporary folder beside `target`, make it durable, and put it at `target`.

    Whoever looks sees a whole folder, the old one or the new, whenever this is interrupted. (A file system that cannot exchange two
    folders, such as NFS, has none for a moment; an interruption puts one back.) A link at `target` is replaced, not what is behind.

    Raises FileExistsError, before anything is written, if something is at `target` that is not to be replaced, and
    NotADirectoryError if a file is, which never is replaced.
    """
    _check_free(target, replace)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    aside = temporary.with_name(f"{temporary.name}.old")
    try:
        fill(temporary)
        _make_durable(temporary)
        _check_free(target, replace)  # somebody else may have put something there meanwhile
        if not os.path.lexists(target):
            temporary.rename(target)
        elif not _exchange(temporary, target):
            target.rename(aside)
            temporary.rename(target)
    except BaseException:
        if os.path.lexists(aside) and not os.path.lexists(target):
            aside.rename(target)
        raise
    finally:
        _remove(temporary)  # by now the old folder, or what was not finished
        _remove(aside)
    _sync(target.parent)


def write_bytes_atomically(target: Path, content: bytes, durable: bool = True) -> None:
    """Write a file such that whoever looks sees the old content or the new, never a part: after a power cut too, if durable."""
    descriptor, temporary = tempfile.mkstemp(prefix=_prefix(target), dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).rename(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        _sync(target.parent)


def _prefix(target: Path) -> str:
    return f"{TEMPORARY}{target.name[:50]}."


def _check_free(target: Path, replace: bool) -> None:
    if os.path.lexists(target) and not replace:
        raise FileExistsError(errno.EEXIST, "it stands already", str(target))
    if target.is_file() and not target.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "a file is in the way of a folder", str(target))


def _make_durable(folder: Path) -> None:
    """Make all files and folders in it readable to all users, and sync them to the disk."""
    for parent, _, files in os.walk(folder):
        for path in [Path(parent, name) for name in files] + [Path(parent)]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
                _sync(path)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0


def _remove(path: Path) -> None:
    """Remove the file, link or folder at this path, if there is one."""
    if path.is_dir() and not path.is_symlink():
        with suppress(OSError):
            for parent, _, _ in os.walk(path):
                Path(parent).chmod(0o700)  # what it replaces may be read-only
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
