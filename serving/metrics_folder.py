"""The folder in which the processes of one service keep their figures for Prometheus. No other service shares it.

BentoML has one folder for all services of a user, and empties it whenever one starts.
"""

import atexit
import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def own_folder(home: Path) -> Path:
    """The name of this service's folder, below that of BentoML's files. Nothing is made yet."""
    return home / "gan-service-metrics" / secrets.token_hex(8)


def keep(folder: Path) -> None:
    """Have the folder until this process ends, and remove those of services that are gone. Raises OSError.

    Whether a service is gone is told by a lock, which the system lifts however a process ends.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = _lock(folder.parent, wait=True)  # so that nobody removes a folder between its making and its locking
    try:
        for other in folder.parent.iterdir():
            if other != folder:
                _remove_if_left(other)
        folder.mkdir(exist_ok=True)
        _lock(folder)  # held until this process ends
    finally:
        os.close(making)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):  # locked, or another user's
        lock = _lock(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, wait: bool = False) -> int:
    """Lock a folder; returns the file descriptor that holds the lock while it is open. Raises OSError if somebody else has it."""
    holder = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(holder)
        raise
    return holder
