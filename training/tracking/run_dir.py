"""The folders of runs: finding, creating and locking them, and which images a run is trained on."""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from gan.atomic import TEMPORARY, write_bytes_atomically
from gan.paths import expand
from training.config.files import CONFIG, PICTURES, read_config
from training.data.dataset import Attributes
from training.errors import UsageError

DATA, ATTRIBUTES, _LOCK = "data.json", "attributes.sha256", ".lock"
_ATTEMPTS = 4  # at the lock, within an eighth of a second


def find(out: Path, resume: str) -> Path | None:
    """Find the run's folder; None for 'latest' if there is no run. Raises UsageError for a folder that is not a run."""
    if resume == "latest":
        return max((path.parent for path in out.glob(f"*/{CONFIG}")), default=None, key=_number)
    try:
        resume = expand(resume)
    except ValueError as error:
        raise UsageError(f"--resume: {error}") from error
    for folder in (Path(resume), out / resume):
        if (folder / CONFIG).is_file():
            return folder
    raise UsageError(f"--resume {resume}: there is no run (a run's folder holds {CONFIG}); give one of {out}, or 'latest'")


def find_named(out: Path, name: str) -> Path | None:
    """Find the run's folder <number>-<name>, the latest if there are several; None if there is none."""
    folders = [path.parent for path in out.glob(f"*/{CONFIG}")]
    return max((one for one in folders if _number(one) and one.name.partition("-")[2] == name), default=None, key=_number)


def create(out: Path, title: str) -> Path:
    """Create the folder of a new run: <number>-<title>, with the next number."""
    out.mkdir(parents=True, exist_ok=True)
    number = max(map(_number, out.iterdir()), default=0)
    while True:
        number += 1
        folder = out / f"{number:03d}-{title}"
        try:
            folder.mkdir()
        except FileExistsError:  # another run was started at the same time
            continue
        return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the run against other processes that train; the lock ends with this process, however that ends. Raises UsageError."""
    with (folder / _LOCK).open("w") as file:
        if not any(_takes_lock(file, attempt) for attempt in range(_ATTEMPTS)):
            raise UsageError(f"--resume {folder}: this run is being trained by another process; stop that first")
        _remove_leftovers(folder)
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process is training the run now."""
    try:
        with (folder / _LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _takes_lock(file: TextIO, attempt: int) -> bool:
    """Try to lock a run's file. Not only once, since `is_locked` of another process holds the lock for an instant."""
    time.sleep(0.02 * attempt)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def fingerprint_of(folder: Path) -> str | None:
    """The fingerprint of the images that a run began with; None where data.json is missing or damaged."""
    try:
        return str(json.loads((folder / DATA).read_text())["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def check_data(folder: Path, data: str, fingerprint: str, images: int, may_change: bool) -> None:
    """Record which images a run is trained on, which are now at `data`.

    Raises UsageError if a resumed run finds other images than it began with; where they are does not matter.
    """
    path, now = folder / DATA, {"fingerprint": fingerprint, "pictures": images}
    before, place = _data_before(folder)
    if not may_change and before is not None and before != now:
        had, marks = before["pictures"], (before["fingerprint"][:12], fingerprint[:12])
        moved = "" if place in (None, data) else f", and those of {place} before"
        raise UsageError(
            f"--resume {folder}: --data has changed since the run began: it had {had:,} images and has {images:,}, not all the "
            f"same, or read in another way since (docs/training.md, The data; fingerprints {marks[0]} and {marks[1]}; those of "
            f"{data} now{moved}); restore the former images, start a new run, or, to go on with these, add "
            f"--change {PICTURES}"
        )
    if not may_change and before is None and place not in (None, data):
        raise UsageError(
            f"--resume {folder}: whether --data {data} holds the images that the run began with, of {place}, cannot be told, "
            f"since {path} is not there; to go on with these, add --change {PICTURES}"
        )
    write_bytes_atomically(path, json.dumps(now).encode())


def check_attributes(folder: Path, attributes: Attributes | None) -> None:
    """Record what the images of a run show. Raises UsageError if a resumed run's table has changed since it began."""
    path = folder / ATTRIBUTES
    if attributes is None:
        return
    if path.is_file() and path.read_text() != attributes.fingerprint:
        raise UsageError(
            f"--resume {folder}: the table of --attributes has changed since the run began: restore it, or start a new run"
        )
    write_bytes_atomically(path, attributes.fingerprint.encode())


def _data_before(folder: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The images that a resumed run was trained on until now, and where they were; None if unknown. Raises UsageError."""
    path = folder / DATA
    place = read_config(folder).data if (folder / CONFIG).is_file() else None
    if not path.is_file():
        return None, place
    try:
        before = json.loads(path.read_bytes())
        if (type(before["fingerprint"]), type(before["pictures"])) != (str, int):
            raise TypeError
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UsageError(f"--resume {folder}: {path} is damaged; remove it to go on with the images as they are now") from error
    return before, place


def check_writable(flag: str, folder: Path) -> None:
    """Check that a run can write there, before hours are spent; leaves no file. Raises UsageError."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise UsageError(f"{flag} {folder}: {existing} is not a folder; give another")
    try:
        # By trying: permission bits do not show read-only file systems, nor what root may do.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UsageError(f"{flag} {folder}: cannot write to {existing} ({error.strerror}); give another folder") from error


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written. Other hidden files and folders, such as .git, belong to people."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _number(run: Path) -> int:
    number = run.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0
