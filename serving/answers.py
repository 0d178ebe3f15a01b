"""A bound on the bytes of answers, whose callers may read them slowly or not at all; serving/http_protocol.py bounds the time."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import RequestError
from serving.metrics import metrics

# Bytes of one answer. The server's own buffer for a connection accepts so many at once, whether the caller reads or not.
_SMALL = 2**16
_PIECE = 2**18  # bytes that a caller must read before the deadline, and the next so many again

_State = Literal["encoding", "unread"]


class Answers:
    """Bytes of large answers that are being encoded or read, bounded over all requests together.

    Small ones are not counted, and are answered whatever others do.
    """

    def __init__(self, limit: int) -> None:
        """The limit is in bytes; one answer may be larger if there is no other."""
        self._limit = limit
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
        """Run an application whose large answers count here until they are read."""

        async def send_counted(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= _SMALL:
                await send(message)
                return
            with self._counted("unread", len(body)):
                for start in range(0, len(body), _PIECE):
                    await send({**message, "body": body[start : start + _PIECE], "more_body": True})
                # The server accepts a message once it has room, so that after this one those before are on their way.
                await send({**message, "body": b""})

        await app(scope, receive, send_counted)

    @contextmanager
    def _counted(self, state: _State, size: int) -> Iterator[None]:
        self._bytes[state] += size
        try:
            yield
        finally:
            self._bytes[state] -= size
            self._changed.set()
