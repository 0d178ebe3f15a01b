"""Which requests are admitted: bounds in images and bytes until they are answered, and one on bodies while they are read."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from serving.errors import RequestError
from serving.metrics import metrics


class Admission:
    """Refuses at once what could not be answered soon, or would not fit into memory."""

    def __init__(self, limit: int, limit_bytes: int, images_per_second: Callable[[], float | None]) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._images_per_second = images_per_second
        self.pending = self.pending_bytes = 0  # images and bytes of requests that were admitted and are not answered yet
        self._work = 0  # images that are drawn for these in all: more than wait at a time, where latent vectors are searched for
        self.draining = False  # whether the service is about to stop

    @contextmanager
    def admit(self, n: int, size: int, work: int | None = None) -> Iterator[None]:
        """Count a request of n images, whose inputs and enlarged images take `size` bytes, until the context ends.

        `work` images are drawn for it in all; n if None.

        Raises RequestError: 429 when the queue is full; 503 while the service drains, since another replica or the next start can
        answer. A request that finds no other is admitted whatever its size; the other limits have bounded that.
        """
        if self.draining:
            metrics().refused.labels("draining").inc()
            # The next try of a caller who keeps connections then goes to another replica.
            headers = {"Connection": "close"}
            detail = "the service is about to stop; try again"
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after=1, headers=headers)
        if self.pending and self.pending + n > self._limit:
            raise self._full("queue full", f"{self.pending} images are waiting already")
        if self.pending and self.pending_bytes + size > self._limit_bytes:
            raise self._full("queue bytes full", f"{self.pending_bytes} bytes of images are waiting already")
        work = n if work is None else work
        self.pending += n
        self.pending_bytes += size
        self._work += work
        try:
            yield
        finally:
            self.pending -= n
            self.pending_bytes -= size
            self._work -= work

    def _full(self, reason: str, detail: str) -> RequestError:
        """429 with the time that the admitted images need at the measured rate, counted as refused for this reason."""
        metrics().refused.labels(reason).inc()
        retry_after = math.ceil(max(self._work, 1) / (self._images_per_second() or max(self._work, 1)))
        return RequestError(HTTPStatus.TOO_MANY_REQUESTS, f"{detail}; try again in {retry_after} s", retry_after=retry_after)


class ByteBudget:
    """Bytes of request bodies being read or parsed, bounded over all requests together: parsing takes many times as much."""

    def __init__(self, limit: int, what: str = "large bodies") -> None:
        self._limit = limit
        self._what = what  # named in the refusal
        self._held = 0

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """A function to call with the bytes held by now, until the context ends. Raises RequestError, 429, if they are too many."""
        held = 0

        def hold(n: int) -> None:
            nonlocal held
            if self._held - held + n > self._limit:
                metrics().refused.labels("bodies").inc()
                raise RequestError(
                    HTTPStatus.TOO_MANY_REQUESTS, f"too many {self._what} are coming in already; try again in 1 s", retry_after=1
                )
            self._held += n - held
            held = n

        try:
            yield hold
        finally:
            self._held -= held
