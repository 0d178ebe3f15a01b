"""Continuous batching: the rows of many requests share one device. Knows no HTTP.

While the device is idle a request runs at once; while it is busy, rows gather, and the next batch is made up of them the moment
the device is free. Nothing waits for a timer.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from gan.images.encoding import Images
from gan.latents import Inputs, count, join, select
from gan.manifest import IMAGES
from gan.runtimes.base import Runtime

_log = logging.getLogger("bentoml.gan")

T = TypeVar("T")

_SMOOTHING = 0.1  # weight of the newest batch in the measured rate


class DeviceLostError(Exception):
    """The device's thread has ended. This process draws nothing any more."""

    def __init__(self) -> None:
        super().__init__("the thread that draws has ended; the log says why")


@dataclass(frozen=True)
class Generated:
    """The images of one request, and what they cost it."""

    images: Images  # uint8 [n, height, width, channels]
    queue_seconds: float  # until its first row was taken
    infer_seconds: float  # from then to its last image


@dataclass(eq=False)
class _Job:
    runtime: Runtime
    rows: Inputs
    n: int
    future: "asyncio.Future[Generated]"
    queued: float
    started: float = 0.0
    taken: int = 0  # rows that went into a batch
    drawn: list[Images] = field(default_factory=list)  # in the order of the rows, since batches run one after another


@dataclass(frozen=True)
class _Part:
    job: _Job
    start: int
    stop: int

    @property
    def rows(self) -> Inputs:
        return select(self.job.rows, slice(self.start, self.stop))


@dataclass(frozen=True)
class _Batch:
    """One that the device works on."""

    parts: list[_Part]
    wait: Callable[[], Images]  # until it is done
    started: float

    @property
    def sizes(self) -> list[int]:
        return [part.stop - part.start for part in self.parts]


class Batcher:
    """Runs all models of a service on one device, in one thread.

    Rows of different requests share a batch, rows of different models do not. In each batch every waiting request gets a share,
    so that a single image does not wait for all of somebody's two hundred.
    """

    def __init__(
        self,
        on_batch: Callable[[int, float], None] = lambda *_: None,  # told of the images of each batch, and the seconds it took
        on_death: Callable[[], None] = lambda: None,  # told that nothing can be drawn any more
    ) -> None:
        """Both are called in the device's thread. What `on_batch` raises is logged; the images are answered with all the same."""
        self._on_batch, self._on_death = on_batch, on_death
        self._counted = True  # whether `on_batch` took the last batch
        self._jobs: deque[_Job] = deque()
        self._unanswered: set[_Job] = set()  # those in the queue, and those all of whose rows the device has taken
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.alive = True  # whether there is a device; once it is lost, only another process will have one
        self._waiting = 0
        self.images_per_second: float | None = None  # measured; None until the first batch
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that no batch has taken yet."""
        return self._waiting

    async def draw(self, runtime: Runtime, rows: Inputs) -> Generated:
        """Draw any number of rows. Cancelling it takes the rows that still wait out of the queue.

        Raises what the runtime raises for these rows; other requests of the same batch are not touched by that. Raises
        DeviceLostError, at once or whenever it happens, if there is no device any more.
        """
        job = _Job(runtime, rows, count(rows), asyncio.get_running_loop().create_future(), time.perf_counter())
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            if not self.alive:
                raise DeviceLostError
            self._jobs.append(job)
            self._unanswered.add(job)
            self._waiting += job.n
            self._changed.notify()
        try:
            return await job.future
        except asyncio.CancelledError:
            self._withdraw(job)
            raise

    def call(self, work: Callable[[], T], /) -> T:
        """Run something in the device's thread, between two batches and with none at work. Blocks; not for the event loop.

        Gives back what it gives, and raises what it raises. Raises DeviceLostError as `draw` does.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            if not self.alive:
                raise DeviceLostError
            self._calls.append((future, work))
            self._changed.notify()
        return future.result()

    def close(self, patience: float = 5.0) -> None:
        """Finish what was accepted and stop the thread. One that hangs is left alone after `patience` seconds: it ends with us."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(patience)

    def _withdraw(self, job: _Job) -> None:
        """Take the rows that still wait out of the queue."""
        with self._changed:
            self._unanswered.discard(job)
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= job.n - job.taken

    # In the device's thread

    def _run(self) -> None:
        try:
            self._draw_batches()
        except BaseException:
            # A runtime's errors do not come here; what does is a fault of ours, or a library that gives up. Without this, all
            # callers would wait for ever.
            _log.critical("nothing can be drawn any more: the thread that draws has ended", exc_info=True)
            self._fail_all()
            self._on_death()

    def _fail_all(self) -> None:
        with self._changed:
            self.alive = False
            jobs, calls = list(self._unanswered), list(self._calls)
            self._jobs.clear()
            self._calls.clear()
            self._waiting = 0
        for job in jobs:
            self._deliver(job, DeviceLostError())
        for future, _ in calls:
            future.set_exception(DeviceLostError())

    def _draw_batches(self) -> None:
        at_work: deque[_Batch] = deque()
        freed = 0.0  # when the device was last known to have finished something
        while True:
            if not at_work:
                self._run_calls()
            with self._changed:
                if not at_work:
                    self._changed.wait_for(lambda: self._jobs or self._calls or self._closed)
                    if self._calls:
                        continue
                    if not self._jobs:
                        return
                parts = self._take() if self._jobs and not self._calls else []
            if parts:
                at_work.append(self._start(parts))
            # A device that can be given the next batch before it is done with this one is, if there is a next one.
            if parts and self._jobs and len(at_work) < parts[0].job.runtime.in_flight:
                continue
            batch = at_work.popleft()
            results = self._results(batch)
            now = time.perf_counter()
            seconds, freed = now - max(batch.started, freed), now
            if images := sum(len(result) for result in results if not isinstance(result, Exception)):
                self._measure(images, seconds)
            for part, result in zip(batch.parts, results, strict=True):
                self._finish(part, result)

    def _measure(self, images: int, seconds: float) -> None:
        rate = images / max(seconds, 1e-9)
        before = self.images_per_second
        self.images_per_second = rate if before is None else before + _SMOOTHING * (rate - before)
        try:
            self._on_batch(images, seconds)
            self._counted = True
        except Exception as error:  # such as a full disk under the metrics, which is no reason to draw nothing
            if self._counted:  # once, since a full disk often has the log on it too
                _log.error("images are drawn, but not counted (%s: %s)", type(error).__name__, error)
            self._counted = False

    def _run_calls(self) -> None:
        while self._calls:
            future, work = self._calls.popleft()
            try:
                future.set_result(work())
            except BaseException as error:  # whatever it is, somebody waits for it
                future.set_exception(error)

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
            start, stop = job.taken, min(job.taken + min(share, room), job.n)
            parts.append(_Part(job, start, stop))
            job.taken, room = stop, room - (stop - start)
            if stop < job.n:
                unfinished.append(job)
        for place, part in enumerate(parts):
            extra = min(room, part.job.n - part.stop)
            if extra:
                parts[place] = _Part(part.job, part.start, part.stop + extra)
                part.job.taken, room = part.stop + extra, room - extra
        # Other models go first next time, requests that had their share last.
        self._jobs.extendleft(reversed(others))
        self._jobs.extend(job for job in unfinished if job.taken < job.n)
        self._waiting -= sum(part.stop - part.start for part in parts)
        return parts

    def _start(self, parts: list[_Part]) -> _Batch:
        started = time.perf_counter()
        for part in parts:
            part.job.started = part.job.started or started
        try:
            wait = parts[0].job.runtime.start(join([part.rows for part in parts]))
            return _Batch(parts, lambda: wait()[IMAGES], started)
        except Exception as error:  # kept until the batch's turn, so that there is one place where failures are sorted out
            return _Batch(parts, _raiser(error), started)

    def _results(self, batch: _Batch) -> list[Images | Exception]:
        try:
            return list(np.split(_checked(batch.wait(), sum(batch.sizes)), np.cumsum(batch.sizes)[:-1]))
        except Exception as error:
            if len(batch.parts) == 1:
                # A future takes any exception but this one, which would leave its caller waiting.
                return [RuntimeError("the runtime raised StopIteration") if isinstance(error, StopIteration) else error]
            # Some row is to blame; by itself it fails its own request only.
            return [self._results(self._start([part]))[0] for part in batch.parts]

    def _finish(self, part: _Part, result: Images | Exception) -> None:
        job = part.job
        if isinstance(result, Exception):
            self._withdraw(job)
            self._deliver(job, result)
            return
        job.drawn.append(result)
        if part.stop == job.n:
            self._deliver(job, _joined(job))

    def _deliver(self, job: _Job, result: Generated | Exception) -> None:
        with self._changed:
            self._unanswered.discard(job)

        def set_result() -> None:
            if job.future.done():
                return
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

        with suppress(RuntimeError):  # its event loop is closed, and nobody waits there any more
            job.future.get_loop().call_soon_threadsafe(set_result)


def _checked(images: Images, n: int) -> Images:
    """Those that a runtime drew for n rows. Raises RuntimeError if they are anything but n images."""
    if len(images) != n or images.ndim != 4 or images.dtype != np.uint8:
        raise RuntimeError(f"the runtime drew {images.dtype} {list(images.shape)} for {n} images")
    return images


def _joined(job: _Job) -> Generated | Exception:
    try:
        return Generated(np.concatenate(job.drawn), job.started - job.queued, time.perf_counter() - job.started)
    except Exception as error:  # images of one batch of it are of another size than those of the other
        return error


def _raiser(error: Exception) -> Callable[[], Images]:
    def wait() -> Images:
        raise error

    return wait
