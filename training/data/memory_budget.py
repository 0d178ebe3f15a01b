"""A bound on the memory of several threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """Limits the total that threads hold, in any unit; a thread that needs more than all of it waits until none holds any."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._changed = Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Wait until there is room, and take it for the length of the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + amount <= self._total)
            self._held += amount
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()
