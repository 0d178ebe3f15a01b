"""Continuous batching: the rows of many requests share one device. Knows no HTTP.

While the device is idle a request runs at once; while it is busy, rows gather, and the next batch is made up of them the moment
the device is free. Nothing waits for a timer.
"""

import logging
import threading
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanServiceError
from gan.latents import Inputs, join
from gan.manifest import IMAGES
from gan.runtimes.base import BatchRunner
from serving.batch_queue import BatchQueue, Generated, Job, RowRange

_log = logging.getLogger("bentoml.gan")

T = TypeVar("T")

_SMOOTHING = 0.1  # weight of the newest batch in the measured rate


class DeviceLostError(GanServiceError):
    """The device's thread has ended. This process generates nothing any more."""

    def __init__(self) -> None:
        super().__init__("the thread that runs models has ended; the log says why")


@dataclass(frozen=True)
class _Batch:
    """A batch that the device works on."""

    parts: list[RowRange]
    wait: Callable[[], NDArray[Any]]  # returns the images once they are there
    started: float

    @property
    def sizes(self) -> list[int]:
        return [len(part) for part in self.parts]


class Batcher:
    """Runs all models of a service on one device, in one thread.

    Rows of different requests share a batch if they are for one model and have the same shapes. In each batch every waiting
    request gets a share, so that a single image does not wait for all of somebody's two hundred.
    """

    def __init__(
        self,
        on_batch: Callable[[int, float], None] = lambda *_: None,  # called with the images of each batch and the seconds it took
        on_death: Callable[[], None] = lambda: None,  # called when nothing can be generated any more
        on_waiting: Callable[[int], None] = lambda _: None,  # called, once a batch, with the rows that still wait if they changed
    ) -> None:
        """All are called in the device's thread. What the reports raise is logged; the images are answered with all the same."""
        self._on_batch, self._on_death, self._on_waiting = on_batch, on_death, on_waiting
        self._report_worked = True  # the last one
        self._reported_waiting = 0
        self._queue = BatchQueue()
        self._unanswered: set[Job] = set()  # those in the queue, and those all of whose rows the device has taken
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.alive = True  # whether there is a device; once it is lost, only another process will have one
        self.images_per_second: float | None = None  # measured; None until the first batch
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that no batch has taken yet."""
        return self._queue.waiting

    async def submit(self, runtime: BatchRunner, rows: Inputs) -> Generated:
        """Generate images from any number of rows. Cancelling it takes the rows that still wait out of the queue.

        Raises what the runtime raises for these rows; other requests of the same batch are not touched by that. Raises
        DeviceLostError, at once or whenever it happens, if there is no device any more.
        """
        job = Job.create(runtime, rows, time.perf_counter())
        with self._changed:
            self._check_open()
            self._queue.append(job)
            self._unanswered.add(job)
            self._changed.notify()
        try:
            return await job.future
        except CancelledError:
            self._withdraw(job)
            raise

    def call(self, work: Callable[[], T], /) -> T:
        """Run something in the device's thread, between two batches and with none at work. Blocks; not for the event loop.

        Returns what it returns, and raises what it raises. Raises DeviceLostError as `submit` does.
        """
        future: Future[T] = Future()
        with self._changed:
            self._check_open()
            self._calls.append((future, work))
            self._changed.notify()
        return future.result()

    def close(self, patience: float = 5.0) -> None:
        """Finish what was accepted and stop the thread. After `patience` seconds one that hangs is left to end with the process."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(patience)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the batcher is closed")
        if not self.alive:
            raise DeviceLostError

    def _withdraw(self, job: Job) -> None:
        """Take the rows that still wait out of the queue."""
        with self._changed:
            self._unanswered.discard(job)
            self._queue.remove(job)

    # In the device's thread

    def _run(self) -> None:
        try:
            self._run_batches()
        except BaseException:
            # A runtime's errors do not come here; what does is a fault of ours, or a library that gives up. Without this, all
            # callers would wait for ever.
            _log.critical("nothing can be generated any more: the thread that runs models has ended", exc_info=True)
            self._fail_all()
            self._on_death()

    def _fail_all(self) -> None:
        with self._changed:
            self.alive = False
            jobs, calls = list(self._unanswered), list(self._calls)
            self._queue.clear()
        self._report_waiting()
        for job in jobs:
            self._deliver(job, DeviceLostError())
        for future, _ in calls:
            future.set_exception(DeviceLostError())

    def _run_batches(self) -> None:
        at_work: deque[_Batch] = deque()
        freed = 0.0  # when the device was last known to have finished something
        while True:
            if not at_work:
                self._run_calls()
            with self._changed:
                if not at_work:
                    if not self._queue:
                        self._report_waiting()  # the rows that waited may have been withdrawn since the last batch was made up
                    self._changed.wait_for(lambda: self._queue or self._calls or self._closed)
                    if self._calls:
                        continue
                    if not self._queue:
                        return
                parts = self._queue.take_batch() if self._queue and not self._calls else []
            if parts:
                self._report_waiting()
                at_work.append(self._start(parts))
            # A device that can be given the next batch before it is done with this one is, if there is a next one.
            if parts and self._queue and len(at_work) < parts[0].job.runtime.in_flight:
                continue
            parts = []  # what waits for the next request is to hold neither the images of the last nor its model
            freed = self._finish(at_work.popleft(), freed)

    def _finish(self, batch: _Batch, freed: float) -> float:
        """Wait for a batch, measure it, and answer with its images; returns when the device was done with it."""
        results = self._results(batch)
        now = time.perf_counter()
        if images := sum(len(result) for result in results if not isinstance(result, Exception)):
            self._measure(images, now - max(batch.started, freed))
        for part, result in zip(batch.parts, results, strict=True):
            self._finish_part(part, result)
        return now

    def _measure(self, images: int, seconds: float) -> None:
        rate = images / max(seconds, 1e-9)
        before = self.images_per_second
        self.images_per_second = rate if before is None else before + _SMOOTHING * (rate - before)
        self._report(lambda: self._on_batch(images, seconds))

    def _report_waiting(self) -> None:
        waiting = self.waiting
        if waiting != self._reported_waiting:
            self._reported_waiting = waiting
            self._report(lambda: self._on_waiting(waiting))

    def _report(self, report: Callable[[], None]) -> None:
        try:
            report()
            self._report_worked = True
        except Exception as error:  # such as a full disk under the metrics, which is no reason to generate nothing
            if self._report_worked:  # once, since a full disk often has the log on it too
                _log.error("images are generated, but not counted (%s: %s)", type(error).__name__, error)
            self._report_worked = False

    def _run_calls(self) -> None:
        while self._calls:
            future, work = self._calls.popleft()
            try:
                future.set_result(work())
            except BaseException as error:  # whatever it is, a caller waits for it
                future.set_exception(error)

    def _start(self, parts: list[RowRange]) -> _Batch:
        started = time.perf_counter()
        for part in parts:
            part.job.started = part.job.started or started
        try:
            wait = parts[0].job.runtime.start(join([part.rows for part in parts]))
            return _Batch(parts, lambda: wait()[IMAGES], started)
        except Exception as error:  # kept until the batch's turn, so that there is one place where failures are sorted out
            return _Batch(parts, _raiser(error), started)

    def _results(self, batch: _Batch) -> list[NDArray[Any] | Exception]:
        """The images of each part, or the exception that it failed with."""
        try:
            return list(np.split(_checked(batch.wait(), sum(batch.sizes)), np.cumsum(batch.sizes)[:-1]))
        except Exception as error:
            if len(batch.parts) == 1:
                # A future takes any exception but this one, which would leave its caller waiting.
                return [RuntimeError("the runtime raised StopIteration") if isinstance(error, StopIteration) else error]
            # Some row is to blame; by itself it fails its own request only.
            return [self._results(self._start([part]))[0] for part in batch.parts]

    def _finish_part(self, part: RowRange, result: NDArray[Any] | Exception) -> None:
        job = part.job
        if isinstance(result, Exception):
            self._withdraw(job)
            self._deliver(job, result)
            return
        job.images.append(result)
        if part.stop == job.n:
            self._deliver(job, _joined(job))

    def _deliver(self, job: Job, result: Generated | Exception) -> None:
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


def _checked(images: NDArray[Any], n: int) -> NDArray[Any]:
    """The images that a runtime returned for n rows. Raises RuntimeError if they are anything but n images."""
    if len(images) != n or images.ndim != 4:
        raise RuntimeError(f"the runtime drew {images.dtype} {list(images.shape)} for {n} images")
    return images


def _joined(job: Job) -> Generated | Exception:
    try:
        return job.generated(time.perf_counter())
    except Exception as error:  # images of one batch of it are of another size than those of another
        return error


def _raiser(error: Exception) -> Callable[[], NDArray[Any]]:
    def wait() -> NDArray[Any]:
        raise error

    return wait
