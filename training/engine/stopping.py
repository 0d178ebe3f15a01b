"""Signals that ask a run to save and stop."""

import os
import signal
from time import monotonic
from types import FrameType
from typing import Any

_ALWAYS = (signal.SIGINT, signal.SIGTERM)
# A closed terminal; the limit on CPU time; what Slurm, Grid Engine and PBS can be set to send some time before the end.
_UNLESS_IGNORED = (signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2)
_SAME_REQUEST = 0.5  # seconds in which further signals belong to the first: shells, torchrun and timeout send several


class StopSignal:
    """Handler of Ctrl-C, SIGTERM and similar signals, which ask a run to save and stop; a later Ctrl-C or SIGTERM ends it at once.

    A signal that is ignored when the run starts, as SIGHUP is under nohup, stays ignored. SIGQUIT ends a run at once, by default.
    Where all that is to be saved is saved, `interrupt` makes of a signal a KeyboardInterrupt, which cleans up behind itself.
    """

    def __init__(self) -> None:
        """Install the handlers. Must be called in the main thread."""
        self.number, self._interrupts = 0, False
        self._received_at = 0.0
        handled = [one for one in _UNLESS_IGNORED if signal.getsignal(one) is not signal.SIG_IGN]
        self._before: dict[signal.Signals, Any] = {number: signal.signal(number, self._handle) for number in (*_ALWAYS, *handled)}

    def let_go(self) -> None:
        """Restore the previous handlers; Ctrl-C and SIGTERM then end the process."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def interrupt(self) -> None:
        """From now on a signal raises KeyboardInterrupt wherever the program is; at once, if one has come already."""
        self._interrupts = True
        if self.number:
            raise KeyboardInterrupt

    def received(self) -> bool:
        """Whether the run is to stop; `number` is then that of the first signal."""
        return self.number != 0

    def _handle(self, number: int, _: FrameType | None) -> None:
        if not self.number:
            self.number, self._received_at = number, monotonic()
            if self._interrupts:
                raise KeyboardInterrupt
        elif number in _ALWAYS and monotonic() - self._received_at > _SAME_REQUEST:
            os._exit(128 + number)
