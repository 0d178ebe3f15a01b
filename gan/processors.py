"""Which processors there are, and how many of them this process may use."""

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

# x86 and ARM; not what changes with load or with microcode
_PROCESSOR_KINDS = {
    *("vendor_id", "cpu family", "model", "model name", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),
}


def usable_processors() -> int:
    """How many processors this process may use: its affinity and its control groups' limit; at least one."""
    # On Linux: fewer than the machine has where the process is bound to some.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cgroup_limit()
    # Of 1.5 processors one: a second thread would be stopped half of the time, and the first would wait for it.
    return processors if limit is None else max(1, min(processors, int(limit)))


def cgroup_limit(root: Path = Path("/")) -> float | None:
    """The seconds of processor time a second that the control groups of this process leave it; None without a limit.

    Containers are limited by that, which neither the number of processors nor the affinity shows. Versions 1 and 2.
    """
    return min((limit for folder in control_groups("cpu", root) if (limit := _limit(folder))), default=None)


@cache
def hardware(root: Path = Path("/")) -> str:
    """The kind of processor and its instructions, and the cards: what the last bit of a sum may depend on.

    Two machines of one kind under one system have the same.
    """
    told = {platform.machine(), platform.processor()}
    with suppress(OSError):
        first, _, _ = (root / "proc/cpuinfo").read_text(errors="replace").partition("\n\n")
        told |= {line for line in first.splitlines() if line.partition(":")[0].strip() in _PROCESSOR_KINDS}
    for card in (root / "proc/driver/nvidia/gpus").glob("*/information"):
        with suppress(OSError):
            told |= {line for line in card.read_text(errors="replace").splitlines() if line.startswith("Model:")}
    return "\n".join(sorted(told))


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """The folders of this process's groups that limit cpu or memory, each followed by those above it. Not all need be there."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            hierarchy = root / "sys/fs/cgroup" / controllers
            # Within a container the line may name the group as the host sees it, while the hierarchy begins at the container's
            # own group: then only the last of these folders is there.
            folder = hierarchy / group.lstrip("/")
            yield folder
            yield from (above for above in folder.parents if above.is_relative_to(hierarchy))


def _limit(group: Path) -> float | None:
    with suppress(OSError):  # version 2; the root has none
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError):
        quota, period = ((group / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
        return None if int(quota) < 0 else int(quota) / int(period)
    return None
