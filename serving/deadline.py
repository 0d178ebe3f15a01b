"""Work under a deadline, for a caller who may disconnect before it is done."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from serving.errors import RequestError
from serving.metrics import metrics

_Result = TypeVar("_Result")


# In a request's scope: a future of the server's that is done once the caller has disconnected
DISCONNECTED = "gan-service.disconnected"


async def run_before_deadline(
    work: Awaitable[_Result],
    request: Request | None,  # whose body has been read; None: nobody who could disconnect
    deadline: float,  # seconds
    remedy: str = "ask for fewer images",  # for a caller whose time was up
) -> _Result:
    """Run work that is cancelled, wherever it is, when its caller disconnects or its time is up.

    Raises what the work raises, RequestError, 504, after the deadline, and ClientDisconnect.
    """
    task, running = asyncio.current_task(), True
    assert task

    def cancel(_: object) -> None:
        if running:
            task.cancel()

    with _disconnection(request) as disconnected:
        disconnected.add_done_callback(cancel)
        try:
            async with asyncio.timeout(deadline) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():  # the work itself raised it
                raise
            metrics().dropped.labels("deadline").inc()
            raise RequestError(HTTPStatus.GATEWAY_TIMEOUT, f"not done within {deadline:g} s; {remedy} or try again later") from None
        except asyncio.CancelledError:
            if not disconnected.done():
                raise
            task.uncancel()
            metrics().dropped.labels("caller left").inc()
            raise ClientDisconnect from None
        finally:
            running = False  # for a callback that is on its way already
            disconnected.remove_done_callback(cancel)


@contextmanager
def _disconnection(request: Request | None) -> Iterator["asyncio.Future[None]"]:
    """A future that is done once the caller disconnects: the server's, or else one of a task that waits for ASGI's message."""
    if request is None:
        yield asyncio.get_running_loop().create_future()
    elif DISCONNECTED in request.scope:
        yield request.scope[DISCONNECTED]
    else:
        waiting = asyncio.ensure_future(_disconnects(request))
        try:
            yield waiting
        finally:
            waiting.cancel()


async def _disconnects(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
