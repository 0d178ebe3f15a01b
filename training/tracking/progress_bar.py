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

    def __init__(self, total: int | None, seen: int, shown: bool, things: str = "images") -> None:
        """`shown` is False for all processes but the first; `things` is what is seen, in a word."""
        self._things = things
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
            # The time that is left follows with the statistics: that of a run which the clock ends is not tqdm's to guess.
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]",
        )

    def update(self, images: int) -> None:
        """Count more images."""
        if self._in_lines and self._seen == self._began_at:  # a sign of life: the first statistics may take a minute
            _log.info(f"the first {images:,} {self._things} took {perf_counter() - self._began:.1f} s", extra={"stream": "stderr"})
        self._seen += images
        self._bar.update(images)

    def set_statistics(self, total: int, numbers: Mapping[str, float], seconds_left: float | None = None) -> None:
        """Set the images that the run will have seen at its end, some statistics by name, and the time left if a clock ends it."""
        self._bar.total = total
        speed = max(self._seen - self._began_at, 1) / max(perf_counter() - self._began, 1e-9)
        by_images = max(total - self._seen, 0) / speed
        left = timedelta(seconds=round(by_images if seconds_left is None else min(max(seconds_left, 0), by_images)))
        self._bar.set_postfix({"left": str(left), **{name: f"{value:.3f}" for name, value in numbers.items()}})
        if self._in_lines:
            self._line = self._as_line(total, numbers, speed, left)
            if self._printed is None or perf_counter() - self._printed >= _BETWEEN_LINES:
                self._print()

    def close(self) -> None:
        """Close the bar and leave it visible; log the last line."""
        self._bar.close()
        if self._line:
            self._print()

    def _as_line(self, total: int, numbers: Mapping[str, float], speed: float, left: timedelta) -> str:
        facts = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        share = self._seen / max(total, self._seen)
        line = f"{self._seen:,} of {total:,} {self._things} ({share:.0%}), {speed:,.0f} {self._things}/s, {left} left"
        return f"{line}; {facts}" if facts else line

    def _print(self) -> None:
        _log.info(self._line, extra={"stream": "stderr"})
        self._line, self._printed = "", perf_counter()
