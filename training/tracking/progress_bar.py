"""The progress of a run, for people: a bar on a terminal, elsewhere a plain line now and then."""

import logging
import sys
from collections.abc import Mapping
from datetime import timedelta
from time import perf_counter

from tqdm import tqdm

_BETWEEN_LINES = 60.0  # seconds

_log = logging.getLogger(__name__)


class Progress:
    """Images seen, of a total that may be unknown at first."""

    def __init__(self, total: int | None, seen: int, shown: bool) -> None:
        """`shown` is False for all processes but the first."""
        self._seen = self._began_at = seen
        self._began = perf_counter()
        terminal = sys.stderr.isatty()
        self._in_lines = shown and not terminal
        self._line = ""  # not logged yet
        self._printed: float | None = None
        self._bar = tqdm(
            total=total,
            initial=seen,
            unit="pic",
            unit_scale=True,
            smoothing=0.05,
            dynamic_ncols=True,
            disable=not (shown and terminal),
        )

    def update(self, images: int) -> None:
        """Count more images."""
        self._seen += images
        self._bar.update(images)

    def set_statistics(self, total: int, numbers: Mapping[str, float]) -> None:
        """Set the images that the run will have seen at its end, and some statistics by name."""
        self._bar.total = total
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in numbers.items()})
        if self._in_lines:
            self._line = self._as_line(total, numbers)
            if self._printed is None or perf_counter() - self._printed >= _BETWEEN_LINES:
                self._print()

    def close(self) -> None:
        """Close the bar and leave it visible; log the last line."""
        self._bar.close()
        if self._line:
            self._print()

    def _as_line(self, total: int, numbers: Mapping[str, float]) -> str:
        speed = max(self._seen - self._began_at, 1) / max(perf_counter() - self._began, 1e-9)
        left = timedelta(seconds=round(max(total - self._seen, 0) / speed))
        facts = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        share = self._seen / max(total, self._seen)
        line = f"{self._seen:,} of {total:,} images ({share:.0%}), {speed:,.0f} images/s, {left} left"
        return f"{line}; {facts}" if facts else line

    def _print(self) -> None:
        _log.info(self._line, extra={"stream": "stderr"})
        self._line, self._printed = "", perf_counter()
