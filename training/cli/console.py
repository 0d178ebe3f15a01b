"""Standard output and error: commands that survive their loss, and the log written to them as lines."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its status, whatever happens to its standard streams.

    The reader of a pipe may leave (`… | head -3`), a terminal may be closed, a log's disk may be full: further output to that
    stream is dropped, and the command goes on. Each line is flushed at once, for those who follow a log.
    """
    for descriptor in range(3):
        _open_if_closed(descriptor)
    sys.stdout, sys.stderr = _Lasting(sys.stdout, 1), _Lasting(sys.stderr, 2)
    sys.exit(main())


@contextmanager
def log_lines() -> Iterator[None]:
    """For the length of a command, write what training logs to standard output and error; may be nested."""
    logger = logging.getLogger("training")
    if _LINES in logger.handlers:
        yield
        return
    level, propagate = logger.level, logger.propagate
    logger.addHandler(_LINES)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(_LINES)
        logger.setLevel(level)
        logger.propagate = propagate


class _Lines(logging.Handler):
    """Writes records below WARNING to standard output and others to standard error, unless their `stream` names another."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        try:
            name = getattr(record, "stream", "stdout" if record.levelno < logging.WARNING else "stderr")
            mark = {"stdout": "warning, ", "stderr": "warning: "}[name] if record.levelno == logging.WARNING else ""
            stream = getattr(sys, name)  # looked up now: commands and notebooks replace it
            tqdm.write(mark + self.format(record), file=stream)  # above a progress bar, if there is one
            stream.flush()
        except Exception:  # as logging's own handlers do
            self.handleError(record)


_LINES = _Lines()


def _open_if_closed(descriptor: int) -> None:
    """Open the null device in place of a closed descriptor: the next file would get its number, and output meant for it."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


class _Lasting:
    """A text stream that drops its output once it cannot be written any more."""

    def __init__(self, stream: TextIO | None, descriptor: int) -> None:
        # Python has none for a descriptor that was closed when it started.
        self._stream = open(os.devnull, "w") if stream is None else stream  # noqa: PTH123, SIM115, open as long as the process
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError:
            # What is still in the stream's buffer goes there too, when it is tried again at the exit.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._descriptor)
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
