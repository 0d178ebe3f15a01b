"""Reloading of models on request: one at a time, in a thread of its own."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

from serving.errors import RequestError

MOST_WAITING = 16  # different models

Loaded = TypeVar("Loaded")


class Reloads(Generic[Loaded]):
    """Calls `load` with a model's name in a thread. Requests for a model whose load has not begun share that load."""

    def __init__(self, load: Callable[[str], Loaded], deadline: float) -> None:
        self._load = load
        self._deadline = deadline  # seconds
        self._waiting: dict[str, asyncio.Task[Loaded]] = {}  # loads that have not begun, by name
        self._turn = asyncio.Lock()
        self._thread = anyio.CapacityLimiter(1)

    async def __call__(self, name: str) -> Loaded:
        """Wait for a load that begins after this call; returns its result. Raises what it raises, and RequestError, 429 or 504.

        A load under way may have read the folder before it was changed, and is not shared.
        """
        load = self._waiting.get(name) or self._begin(name)
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.shield(load)
        except TimeoutError:
            message = f"{name[:100]!r} is still being loaded after {self._deadline:g} s; GET /models tells when it is served"
            raise RequestError(HTTPStatus.GATEWAY_TIMEOUT, message) from None

    def _begin(self, name: str) -> "asyncio.Task[Loaded]":
        if len(self._waiting) >= MOST_WAITING:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS, f"{MOST_WAITING} models wait to be loaded already; try again in 1 s", retry_after=1
            )
        load = self._waiting[name] = asyncio.create_task(self._run(name))
        load.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # marks an exception as retrieved: all callers may have left
        return load

    async def _run(self, name: str) -> Loaded:
        async with self._turn:
            del self._waiting[name]
            return await anyio.to_thread.run_sync(self._load, name, limiter=self._thread)
