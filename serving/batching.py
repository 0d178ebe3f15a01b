"""Continuous batching: the rows of many requests share one device. Knows no HTTP.

While the device is idle a request runs at once; while it is busy, rows gather, and the next batch is made up of them the moment
the device is free. Nothing waits for a timer.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gan.imaging import Pictures
from gan.runtime import Runtime

_SMOOTHING = 0.1  # weight of the newest batch in the measured rate


@dataclass(frozen=True)
class Drawn:
    """The pictures of one request, and what they cost it."""

    pictures: Pictures  # uint8 [n, height, width, channels]
    queue_seconds: float  # until its first row was taken
    infer_seconds: float  # from then to its last picture


@dataclass(eq=False)
class _Job:
    runtime: Runtime
    z: NDArray[np.float32]
    future: "asyncio.Future[Drawn]"
    queued: float
    started: float = 0.0
    taken: int = 0  # rows that went into a batch
    drawn: list[Pictures] = field(default_factory=list)  # in the order of the rows, since batches run one after another


@dataclass(frozen=True)
class _Part:
    job: _Job
    start: int
    stop: int

    @property
    def z(self) -> NDArray[np.float32]:
        return self.job.z[self.start : self.stop]


class Batcher:
    """Runs all models of a service on one device, in one thread.

    Rows of different requests share a batch, rows of different models do not. In each batch every waiting request gets a share,
    so that a single picture does not wait for all of somebody's two hundred.
    """

    def __init__(self, on_batch: Callable[[int], None] = lambda _: None) -> None:
        """`on_batch` is told, in the device's thread, how many pictures each batch held."""
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._waiting = 0
        self.pictures_per_second: float | None = None  # measured; None until the first batch
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that no batch has taken yet."""
        return self._waiting

    async def draw(self, runtime: Runtime, z: NDArray[np.float32]) -> Drawn:
        """Draw float32 [n, z_dim]. Cancelling it takes the rows that still wait out of the queue.

        Raises what the runtime raises for these rows; other requests of the same batch are not touched by that.
        """
        job = _Job(runtime, z, asyncio.get_running_loop().create_future(), time.perf_counter())
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._jobs.append(job)
            self._waiting += len(z)
            self._changed.notify()
        try:
            return await job.future
        except asyncio.CancelledError:
            self._withdraw(job)
            raise

    def close(self) -> None:
        """Finish what was accepted and stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _withdraw(self, job: _Job) -> None:
        """Take the rows that still wait out of the queue."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= len(job.z) - job.taken

    # In the device's thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                parts = self._take()
            started = time.perf_counter()
            for part in parts:
                part.job.started = part.job.started or started
            results = self._draw_parts(parts)
            seconds, pictures = time.perf_counter() - started, sum(part.stop - part.start for part in parts)
            rate = pictures / max(seconds, 1e-9)
            before = self.pictures_per_second
            self.pictures_per_second = rate if before is None else before + _SMOOTHING * (rate - before)
            self._on_batch(pictures)
            for part, result in zip(parts, results, strict=True):
                self._finish(part, result)

    def _take(self) -> list[_Part]:
        """Make up a batch: a fair share for each waiting request of the first one's model, then whatever still fits."""
        runtime = self._jobs[0].runtime
        room = runtime.batch_size
        share = max(1, room // len(self._jobs))
        others: list[_Job] = []
        parts: list[_Part] = []
        unfinished: deque[_Job] = deque()
        while room and self._jobs:
            job = self._jobs.popleft()
            if job.runtime is not runtime:
                others.append(job)
                continue
            start, stop = job.taken, min(job.taken + min(share, room), len(job.z))
            parts.append(_Part(job, start, stop))
            job.taken, room = stop, room - (stop - start)
            if stop < len(job.z):
                unfinished.append(job)
        for place, part in enumerate(parts):
            extra = min(room, len(part.job.z) - part.stop)
            if extra:
                parts[place] = _Part(part.job, part.start, part.stop + extra)
                part.job.taken, room = part.stop + extra, room - extra
        # Other models go first next time, requests that had their share last.
        self._jobs.extendleft(reversed(others))
        self._jobs.extend(job for job in unfinished if job.taken < len(job.z))
        self._waiting -= sum(part.stop - part.start for part in parts)
        return parts

    def _draw_parts(self, parts: list[_Part]) -> list[Pictures | Exception]:
        runtime = parts[0].job.runtime
        try:
            pictures = runtime.draw(np.concatenate([part.z for part in parts]))
        except Exception as error:
            if len(parts) == 1:
                return [error]
            # Some row is to blame; by itself it fails its own request only.
            return [self._draw_parts([part])[0] for part in parts]
        return list(np.split(pictures, np.cumsum([part.stop - part.start for part in parts])[:-1]))

    def _finish(self, part: _Part, result: Pictures | Exception) -> None:
        job = part.job
        if isinstance(result, Exception):
            self._withdraw(job)
            self._deliver(job, result)
            return
        job.drawn.append(result)
        if part.stop == len(job.z):
            self._deliver(job, Drawn(np.concatenate(job.drawn), job.started - job.queued, time.perf_counter() - job.started))

    def _deliver(self, job: _Job, result: Drawn | Exception) -> None:
        def set_result() -> None:
            if job.future.done():
                return
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

        job.future.get_loop().call_soon_threadsafe(set_result)
