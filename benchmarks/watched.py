"""The service with a route /longest-block: the longest block of its event loop in milliseconds, by the clock and in work."""

import asyncio
import time

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

import service
from serving.app import Api

_TICK = 0.001  # seconds


class WatchedApi(Api):
    """The service's routes and /longest-block."""

    def __init__(self) -> None:
        super().__init__()
        self._watch: asyncio.Task[None] | None = None
        self._gap = self._work = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._tick())
        if scope["path"] == "/longest-block":
            await PlainTextResponse(f"{1000 * self._gap} {1000 * self._work}")(scope, receive, send)
            self._gap = self._work = 0.0
        else:
            await super().__call__(scope, receive, send)

    async def _tick(self) -> None:
        """Run every millisecond: any delay is a block of the event loop by other work, or for want of a processor."""
        while True:
            clock, work = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_TICK)
            self._gap = max(self._gap, time.perf_counter() - clock - _TICK)
            self._work = max(self._work, time.thread_time() - work)


service.api = WatchedApi()
GanService = service.GanService
