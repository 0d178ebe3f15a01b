"""Signals that ask a run to save and stop."""

import os
import signal
from time import monotonic
from types import FrameType
from typing import Any

_ALWAYS = (signal.SIGINT, signal.SIGTERM)
# A terminal that closes; the limit on processor time; what Slurm, Grid Engine and PBS send some time before the end, if told to.
_UNLESS_IGNORED = (signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2)
_ONE_AND_THE_SAME = 0.5  # seconds in which more signals say what the first said: shells, torchrun and timeout send several


class StopSignal:
    """Ctrl-C, SIGTERM and their like ask the run to save and stop; a later Ctrl-C or SIGTERM ends it at once.

    One that is ignored when the run starts, as SIGHUP is under nohup, stays ignored. SIGQUIT ends a run at once, as ever.
    """

    def __init__(self) -> None:
        """Listens from now on; to be made in the main thread."""
        self.number = 0
        self._came = 0.0
        listened_to = [one for one in _UNLESS_IGNORED if signal.getsignal(one) is not signal.SIG_IGN]
        self._before: dict[signal.Signals, Any] = {
            number: signal.signal(number, self._handle) for number in (*_ALWAYS, *listened_to)
        }

    def let_go(self) -> None:
        """From now on signals do again what they did before, and Ctrl-C and SIGTERM end the process."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def received(self) -> bool:
        """Whether the run is to stop; `number` is then the first signal's."""
        return self.number != 0

    def _handle(self, number: int, _: FrameType | None) -> None:
        if not self.number:
            self.number, self._came = number, monotonic()
        elif number in _ALWAYS and monotonic() - self._came > _ONE_AND_THE_SAME:
            os._exit(128 + number)
