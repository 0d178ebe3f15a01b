"""Which requests are let in: a bound in images, from the first check to the finished answer, and one in bytes before that."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from serving.errors import RequestError
from serving.metrics import metrics


class Admission:
    """Refuses now what could not be answered soon."""

    def __init__(self, limit: int, images_per_second: Callable[[], float | None]) -> None:
        self._limit = limit
        self._images_per_second = images_per_second
        self.pending = 0  # images of requests that were let in and are not answered yet
        self.draining = False  # whether the service is about to stop

    @contextmanager
    def admit(self, n: int) -> Iterator[None]:
        """Let a request of n images in for as long as the context lasts. Raises RequestError, 429, when the queue is full.

        While the service drains, 503: another replica or the next start will do.

        A request that finds nobody before it is let in whatever its size; the other limits have said that it is not too large.
        """
        if self.draining:
            metrics().refused.labels("draining").inc()
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "the service is about to stop; try again", retry_after=1)
        if self.pending and self.pending + n > self._limit:
            rate = self._images_per_second() or self.pending
            metrics().refused.labels("queue full").inc()
            retry_after = math.ceil(self.pending / rate)
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self.pending} images are waiting already; try again in {retry_after} s",
                retry_after=retry_after,
            )
        self.pending += n
        try:
            yield
        finally:
            self.pending -= n


class Bodies:
    """Bytes of request bodies being read or parsed, bounded over all requests together: parsing takes many times as much."""

    def __init__(self, limit: int, what: str = "large bodies") -> None:
        self._limit = limit
        self._what = what  # is coming in, for the refusal
        self._held = 0

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """What is told how many bytes are held by now, until the context ends. It raises RequestError, 429, if it is too many."""
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
