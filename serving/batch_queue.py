"""The rows that wait for the device, and how a batch is made up of them. Knows neither threads nor HTTP."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gan.latents import Inputs, count, select
from gan.runtimes.base import BatchRunner


@dataclass(frozen=True)
class Generated:
    """The images of one request, and the time they took."""

    images: NDArray[Any]  # uint8 [n, height, width, channels], or of `Runtime.values` float32 [n, channels, height, width]
    queue_seconds: float  # until its first row went into a batch
    infer_seconds: float  # from then to its last image
    started: float  # that time, as time.perf_counter() has it


@dataclass(eq=False)
class Job:
    """The rows of one request on their way through the device."""

    runtime: BatchRunner
    rows: Inputs
    n: int
    future: "asyncio.Future[Generated]"
    submitted: float  # time.perf_counter()
    started: float = 0.0
    taken: int = 0  # rows that went into a batch
    images: list[NDArray[Any]] = field(default_factory=list)  # in the order of the rows, since batches run one after another

    @classmethod
    def create(cls, runtime: BatchRunner, rows: Inputs, submitted: float) -> Self:
        """A job whose caller waits in the running event loop."""
        return cls(runtime, rows, count(rows), asyncio.get_running_loop().create_future(), submitted)

    @cached_property
    def batch_key(self) -> tuple[int, frozenset[tuple[str, tuple[int, ...]]]]:
        """Equal for jobs that can share a batch: those of one runtime whose inputs have the same names and shapes of a row."""
        return id(self.runtime), frozenset((name, values.shape[1:]) for name, values in self.rows.items())

    def generated(self, now: float) -> Generated:
        """All images together. Raises ValueError if those of one batch have another size than those of another."""
        return Generated(np.concatenate(self.images), self.started - self.submitted, now - self.started, self.started)


@dataclass(frozen=True)
class RowRange:
    """Rows of one job that are in one batch."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> Inputs:
        """The inputs of these rows alone."""
        return select(self.job.rows, slice(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start


class BatchQueue:
    """Jobs of which some rows still wait, in the order of their turns. Its caller keeps other threads out."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self.waiting = 0  # rows that no batch has taken yet

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def append(self, job: Job) -> None:
        """Let a job wait for its first turn."""
        self._jobs.append(job)
        self.waiting += job.n

    def remove(self, job: Job) -> None:
        """Forget those rows of a job that still wait; nothing if there are none."""
        if job in self._jobs:
            self._jobs.remove(job)
            self.waiting -= job.n - job.taken

    def clear(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()
        self.waiting = 0

    def take_batch(self) -> list[RowRange]:
        """Make up a batch: a fair share for each job that can share one with the first, then as much more as fits."""
        key, room = self._jobs[0].batch_key, self._jobs[0].runtime.batch_size
        share = max(1, room // len(self._jobs))
        others: list[Job] = []
        parts: list[RowRange] = []
        while room and self._jobs:
            job = self._jobs.popleft()
            if job.batch_key != key:
                others.append(job)
                continue
            parts.append(_take(job, min(share, room)))
            room -= len(parts[-1])
        for place, part in enumerate(parts):
            more = _take(part.job, room)
            parts[place] = RowRange(part.job, part.start, more.stop)
            room -= len(more)
        # Jobs that could not share this batch go first next time, those that had their share last.
        self._jobs.extendleft(reversed(others))
        self._jobs.extend(part.job for part in parts if part.job.taken < part.job.n)
        self.waiting -= sum(map(len, parts))
        return parts


def _take(job: Job, most: int) -> RowRange:
    """The next rows of a job, at most so many; none if none are left."""
    start = job.taken
    job.taken = min(start + most, job.n)
    return RowRange(job, start, job.taken)
