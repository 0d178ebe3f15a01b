"""The folder in which the processes of one service share their metrics. No other service uses it.

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
    """The path of this service's folder, below BentoML's home. Creates nothing."""
    return home / "gan-service-metrics" / secrets.token_hex(8)


def keep(folder: Path) -> None:
    """Keep the folder until this process ends, and remove those of services that have ended. Raises OSError.

    A lock shows whether a service runs; the system releases it however a process ends.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    creation = _lock(folder.parent, wait=True)  # so that no process removes a folder between its creation and its locking
    try:
        for other in folder.parent.iterdir():
            if other != folder:
                _remove_if_unlocked(other)
        folder.mkdir(exist_ok=True)
        _lock(folder)  # held until this process ends
    finally:
        os.close(creation)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _remove_if_unlocked(folder: Path) -> None:
    with suppress(OSError):  # locked, or another user's
        lock = _lock(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, wait: bool = False) -> int:
    """Lock a folder until the returned file descriptor is closed. Raises OSError if another process holds the lock."""
    holder = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(holder)
        raise
    return holder
