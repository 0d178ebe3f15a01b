"""A bound on what several threads hold at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """So much may be held at a time, in any unit; who wants more than all of it waits until nobody holds anything."""

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
