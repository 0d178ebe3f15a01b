"""Work under a deadline, for a caller who may disconnect before it is done."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from serving.errors import RequestError
from serving.metrics import metrics

_Result = TypeVar("_Result")


async def run_before_deadline(
    work: Awaitable[_Result],
    disconnects: Callable[[], Coroutine[Any, Any, object]],  # what it returns ends when the caller disconnects
    deadline: float,  # seconds
) -> _Result:
    """Run work that is cancelled, wherever it is, when its caller disconnects or its time is up.

    Raises what the work raises, RequestError, 504, after the deadline, and ClientDisconnect.
    """
    task, running = asyncio.current_task(), True
    assert task

    def cancel(_: object) -> None:
        if running:
            task.cancel()

    disconnecting = asyncio.ensure_future(disconnects())
    disconnecting.add_done_callback(cancel)
    try:
        async with asyncio.timeout(deadline) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():  # the work itself raised it
            raise
        metrics().dropped.labels("deadline").inc()
        raise RequestError(
            HTTPStatus.GATEWAY_TIMEOUT, f"not done within {deadline:g} s; ask for fewer images or try again later"
        ) from None
    except asyncio.CancelledError:
        if not disconnecting.done():
            raise
        task.uncancel()
        metrics().dropped.labels("caller left").inc()
        raise ClientDisconnect from None
    finally:
        running = False
        disconnecting.cancel()


async def caller_disconnects(request: Request) -> None:
    """Wait until the caller of a request, whose body has been read, disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
