"""The memory that the service holds, and how much it may hold, read at each scrape of /metrics."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gan.processors import control_groups

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

_NO_LIMIT = 2**60  # bytes; version 1 of control groups has the largest number there is
# Files of version 2 and of version 1: the limit, what is held, and of that, in memory.stat, what the kernel takes back at need
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class MemoryHeld:
    """gan_memory_bytes and, where there is a limit, gan_memory_limit_bytes.

    With a limit it is what counts against it; without, what the processes hold.
    """

    def __init__(self) -> None:
        self.processes: Iterable[int] = (os.getpid(),)

    def describe(self) -> "list[GaugeMetricFamily]":
        """The metrics without their values, for the registry of prometheus_client."""
        from prometheus_client.core import GaugeMetricFamily

        return [
            GaugeMetricFamily("gan_memory_bytes", "Memory of the container, or of the worker processes where nothing limits it"),
            GaugeMetricFamily("gan_memory_limit_bytes", "What the container may take; absent without a limit"),
        ]

    def collect(self) -> "list[GaugeMetricFamily]":
        """The metrics with their values."""
        held, limit = self.describe()
        found = limited()
        held.add_metric((), sum(map(_resident, self.processes)) if found is None else found[0])
        if found is None:
            return [held]
        limit.add_metric((), found[1])
        return [held, limit]


def limited(root: Path = Path("/")) -> tuple[int, int] | None:
    """Bytes held and allowed in the control group with the tightest limit; None without a limit.

    Files that the kernel keeps in memory and would take back do not count as held.
    """
    found = [one for folder in control_groups("memory", root) if (one := _of_group(folder)) is not None]
    return min(found, key=lambda one: one[1], default=None)


def _of_group(folder: Path) -> tuple[int, int] | None:
    for limit_file, held_file, cached in _FILES:
        with suppress(OSError, ValueError):  # the other version's; "max" is no number
            limit = int((folder / limit_file).read_text())
            if limit >= _NO_LIMIT:
                return None
            held = int((folder / held_file).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return max(0, held - int(statistics.get(cached, 0))), limit
    return None


def _resident(pid: int) -> int:
    """Bytes of a process in memory; 0 if it is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
