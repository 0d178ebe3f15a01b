"""Threads for work that would block the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar, TypeVarTuple

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Threads:
    """A pool of threads with a queue, first in, first out.

    Cancelled work that has not begun leaves the queue at once. A thread cannot be stopped: work that has begun goes on, and keeps
    its thread and its memory until it is done.
    """

    def __init__(self, size: int, name: str) -> None:
        # A queue of our own, since the executor's would keep the arguments of cancelled work.
        self._free = asyncio.Semaphore(size)
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(
        self,
        work: Callable[[*_Arguments], _Result],
        *arguments: *_Arguments,
        held: ExitStack | None = None,  # closed when the work is done
    ) -> _Result:
        """Run the work; returns what it returns, raises what it raises.

        When this is cancelled while the work goes on, `held` is emptied and its contents are closed when the work is done. Without
        `held`, the cancellation itself waits for that, and so does everything that the caller holds.
        """
        await self._free.acquire()
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        except BaseException:  # such as no more threads in the system
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
            future.exception()  # marks it as retrieved: a cancelled caller does not
