"""The memory limit for arrays."""

import os
from contextlib import suppress
from pathlib import Path


def memory_limit() -> int:
    """The bytes above which an array is mapped rather than read: a quarter of the memory that this machine or container has."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no such group, or the word max
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory // 4
