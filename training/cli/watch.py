"""The command that shows runs in a browser: `python -m training.watch`."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from gan.paths import UserPath
from training.cli.flags import Flags, parse, run_command
from training.config.files import CONFIG
from training.errors import UsageError

_EXAMPLES = """examples:
  python -m training.watch                          the runs in runs/, at http://127.0.0.1:3001
  python -m training.watch /data/runs --port 8000   other ones
  ssh -N -L 3001:127.0.0.1:3001 USER@MACHINE        on your own machine: what training.watch on MACHINE shows, at the same address
"""


_RUNS = Path("runs")


class _CommandLine(Flags):
    """Serve a folder of runs as a page that renews itself: how far each is, its last figures and samples, and its report."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    usage = "[RUNS] [--flag value …]        (--help lists the flags)"
    leading = "runs"

    runs: UserPath = _RUNS
    """the folder of runs, training.run's --out; the default one may come later"""
    port: int = Field(3001, ge=0, le=65535)
    """the port; 0 takes a free one"""
    host: str = "127.0.0.1"
    """the address to listen at: by default this machine alone can look, and others through an SSH tunnel; there are no keys, so
    give another only where everybody may see the runs"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command until it is stopped; returns the exit status, 2 for a command that cannot be carried out as given."""
    given = parse(_CommandLine, "training.watch", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    return run_command("training.watch", lambda: _watch(_CommandLine.model_validate(given)))


def _watch(command: _CommandLine) -> None:
    from training.tracking.watch_server import WatchServer

    # The default folder comes with the first run; another name that is not there is more likely a mistake.
    if not command.runs.is_dir() and (command.runs != _RUNS or os.path.lexists(command.runs)):
        raise UsageError(f"{command.runs}: there is no such folder; give the folder of runs, training.run's --out")
    if (command.runs / CONFIG).is_file():
        raise UsageError(f"{command.runs} is one run; give the folder that it is in: {command.runs.absolute().parent}")
    try:
        server = WatchServer(command.runs, command.host, command.port)
    except OSError as error:
        raise UsageError(f"--host {command.host} --port {command.port}: {error.strerror or error}; give another --port") from error

    def stop(*_: Any) -> None:
        Thread(target=server.shutdown).start()  # which waits for the loop that this interrupts

    with server:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        print(f"{command.runs}: {server.address} (from another machine: see --help; Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
