"""The bytes of request bodies, bounded for each and over all requests together."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from serving.admission import ByteBudget
from serving.contents import unpacked
from serving.errors import RequestError

_LARGE_BODY = 2**15  # bytes
_LARGE_BODIES = 4  # of the largest size, that may be held at once
_TINY_BODY = 2**10  # bytes: less than the connection itself takes
_BEGINNINGS = 2**25  # bytes of what bodies hold between tiny and large, over all requests


class BodyReader:
    """Reads bodies of one kind of all callers, which share two bounds."""

    def __init__(self, most: int, remedy: str) -> None:
        """`most` bytes may be in one body; the remedy is for those who send more."""
        self._most, self._remedy = most, remedy
        self._bodies = ByteBudget(_LARGE_BODIES * most)
        self._beginnings = ByteBudget(_BEGINNINGS, "bodies")

    async def read(self, request: Request, held: ExitStack) -> bytes:
        """The whole body, counted until `held` is closed. Raises RequestError if it is too large, or one too many."""
        coding = ", ".join(request.headers.getlist("content-encoding"))
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._most:
            raise self._too_large()  # before a caller who asks is told to go on and send it
        first = await request.receive()
        body: bytes = first.get("body", b"")
        whole = first["type"] == "http.request" and not first.get("more_body") and not coding
        if whole and len(body) <= min(_TINY_BODY, self._most):
            return body  # as most are
        return await self._large_body(unpacked(_chunks(first, request), coding, self._most), held)

    async def _large_body(self, chunks: AsyncIterator[bytes], held: ExitStack) -> bytes:
        body = bytearray()
        hold, hold_beginning = held.enter_context(self._bodies.hold()), held.enter_context(self._beginnings.hold())
        async for chunk in chunks:
            body += chunk
            if len(body) > self._most:
                raise self._too_large()
            # Each has a bound of its own, so that small ones come in whatever large ones do, and tiny ones always.
            hold(max(0, len(body) - _LARGE_BODY))
            hold_beginning(max(0, min(len(body), _LARGE_BODY) - _TINY_BODY))
        return bytes(body)

    def _too_large(self) -> RequestError:
        return RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._most} bytes; {self._remedy}")


async def _chunks(message: Message, request: Request) -> AsyncIterator[bytes]:
    """The parts of a body whose first message has been received. Raises ClientDisconnect."""
    while message["type"] == "http.request":
        yield message.get("body", b"")
        if not message.get("more_body"):
            return
        message = await request.receive()
    raise ClientDisconnect
