"""Threads for the work of requests that would keep the event loop from other requests."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar, TypeVarTuple

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Threads:
    """So many threads. Who finds all of them at work waits in line, first come, first served.

    A request that is given up leaves the line at once. But a thread cannot be stopped: what it has begun goes on, and takes up its
    thread and its memory until it is done.
    """

    def __init__(self, size: int, name: str) -> None:
        # A line of our own, since the executor's would keep the arguments of those who have left it.
        self._free = asyncio.Semaphore(size)
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(
        self,
        work: Callable[[*_Arguments], _Result],
        *arguments: *_Arguments,
        held: ExitStack | None = None,  # what is to be let go when the work is done
    ) -> _Result:
        """What the work returns; raises what it raises.

        When this is cancelled while the work goes on, `held` is emptied and what was in it let go when the work is done. Without
        `held`, the cancellation itself waits for that, and so does everything that the caller holds.
        """
        await self._free.acquire()
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        except BaseException:  # there may be no more threads to be had
            self._free.release()
            raise
        future.add_done_callback(self._done)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.done():
                if held is None:
                    await asyncio.wait([future])
                else:
                    later = held.pop_all()
                    future.add_done_callback(lambda _: later.close())
            raise

    def _done(self, future: "asyncio.Future[Any]") -> None:
        self._free.release()
        if not future.cancelled():
            future.exception()  # has been looked at: where the request was given up, it is nobody's
