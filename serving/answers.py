"""Bounds, in bytes and in time, on answers whose callers may read them slowly or not at all."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import RequestError
from serving.metrics import metrics

# Bytes of one answer. The server's own buffer for a connection accepts so many at once, whether the caller reads or not.
_SMALL = 2**16
_PIECE = 2**18  # bytes that a caller must read within the patience

_State = Literal["encoding", "unread"]


class Answers:
    """Bytes of large answers that are being encoded or read, bounded over all requests together.

    Small ones are not counted, and are answered whatever others do.
    """

    def __init__(
        self,
        limit: int,  # bytes; one answer may be larger if there is no other
        patience: float,  # seconds in which a caller must read the whole answer, or the next 256 KiB of it
    ) -> None:
        self._limit, self._patience = limit, patience
        self._bytes: dict[_State, int] = {"encoding": 0, "unread": 0}
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    def check(self, size: int) -> None:
        """Check, before anything is generated, that an answer of so many bytes will find room. Raises RequestError, 429.

        Only answers that clients have not read count, since those being encoded now will probably be sent by then.
        """
        unread = self._bytes["unread"]
        if size > _SMALL and unread and unread + size > self._limit:
            metrics().refused.labels("answers").inc()
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{unread} bytes of other answers are not read yet; try again in 1 s, or ask for fewer or smaller images",
                retry_after=1,
            )

    async def reserve(self, size: int, held: ExitStack) -> None:
        """Wait until there is room to encode an answer of at most so many bytes, and count it until `held` is closed."""
        if size <= _SMALL:
            return
        async with self._turn:  # one after another: a large answer would wait for ever while smaller ones go past
            while (others := sum(self._bytes.values())) and others + size > self._limit:
                self._changed.clear()
                await self._changed.wait()
            held.enter_context(self._counted("encoding", size))

    async def deliver(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an application whose answers count here until they are read, and whose caller is cut off if it does not read."""
        try:
            async with asyncio.timeout(None) as waiting:
                await app(scope, receive, self._bounded(send, waiting))
        except TimeoutError:
            if not waiting.expired():
                raise
            metrics().dropped.labels("not read").inc()
            await _cut_off(receive)

    def _bounded(self, send: Send, waiting: asyncio.Timeout) -> Send:
        now = asyncio.get_running_loop().time

        async def send_bounded(message: Message) -> None:
            if waiting.when() is None:
                waiting.reschedule(now() + self._patience)
            body = message.get("body", b"")
            if len(body) <= _SMALL:
                await send(message)
            else:
                with self._counted("unread", len(body)):
                    for start in range(0, len(body), _PIECE):
                        await send({**message, "body": body[start : start + _PIECE], "more_body": True})
                        waiting.reschedule(now() + self._patience)
                    # The server accepts a message once it has room, so that after this one those before are on their way.
                    await send({**message, "body": b""})
            if message.get("more_body"):
                waiting.reschedule(None)  # until the application has more

        return send_bounded

    @contextmanager
    def _counted(self, state: _State, size: int) -> Iterator[None]:
        self._bytes[state] += size
        try:
            yield
        finally:
            self._bytes[state] -= size
            self._changed.set()


async def _cut_off(receive: Receive) -> None:
    """Reset the connection, without what is still to be sent. ASGI has no message for it; uvicorn would wait until it is read."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is not None and hasattr(transport, "abort"):
        if connection := transport.get_extra_info("socket"):
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # which drops the kernel's buffer too
        transport.abort()
        while (await receive())["type"] != "http.disconnect":  # until uvicorn knows, which would log an error otherwise
            pass
