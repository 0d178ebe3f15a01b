"""Several worker processes: their share of the processor, and the end of all in a container when one has died.

Each worker leaves a mark in the service's own folder while it serves. A mark without its process is that of a worker that died;
one that stops takes its mark away. Outside a container BentoML starts another worker in the place of a dead one.
"""

import atexit
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from gan.processors import usable_processors
from serving.settings import Settings

_log = logging.getLogger("bentoml.gan")
_SECONDS = 0.5  # between two looks
_MARK = "worker-{}.serving"


def threads_of_worker(settings: Settings) -> int | None:
    """Processor threads of each worker; None for a single one, for which the runtime chooses."""
    if settings.threads is not None or settings.workers == 1:
        return settings.threads
    return max(1, usable_processors() // settings.workers)


def mark(folder: Path) -> None:
    """Say that this process serves. Does nothing where the folder cannot be written to."""
    with suppress(OSError):
        _path(folder, os.getpid()).touch()


def unmark(folder: Path) -> None:
    """Say that this process has stopped as it should."""
    with suppress(OSError):
        _path(folder, os.getpid()).unlink(missing_ok=True)


def forget_dead(folder: Path) -> None:
    """Remove what dead workers have left: their marks, and their part of figures that are sums over living ones."""
    from prometheus_client.multiprocess import mark_process_dead

    for pid in dead(folder):
        mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        with suppress(OSError):
            _path(folder, pid).unlink(missing_ok=True)


def dead(folder: Path) -> list[int]:
    """Process ids of workers that have left a mark and are no more."""
    return [pid for pid in serving(folder) if not _lives(pid)]


def serving(folder: Path) -> list[int]:
    """Process ids of workers that have left a mark."""
    return sorted(int(path.name.split("-")[1].partition(".")[0]) for path in folder.glob(_MARK.format("*")))


def end_with_the_first(folder: Path) -> None:
    """Called in the process that starts the workers: once one has died, stop the others as SIGTERM does, and exit with status 1."""
    threading.Thread(target=_watch, args=(folder,), name="workers", daemon=True).start()


def _watch(folder: Path) -> None:
    wait = threading.Event().wait
    while not dead(folder):
        wait(_SECONDS)
    _log.critical("a worker has died: the service ends, so that the container is started again")
    atexit.register(_fail)  # called before what was registered earlier
    os.kill(os.getpid(), signal.SIGTERM)


def _fail() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _path(folder: Path, pid: int) -> Path:
    return folder / _MARK.format(pid)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"  # a dead process stays in the table until its parent has asked for its status
