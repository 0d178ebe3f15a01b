"""HTTP request -> the fields it asks for: its query, or its body, of bounded size; serving/http_protocol.py bounds the time."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from serving.admission import ByteBudget
from serving.contents import as_utf8, unpacked
from serving.deadline import run_before_deadline
from serving.errors import RequestError, field_error
from serving.schema import GenerateRequest, InterpolateRequest, read_npy
from serving.settings import Settings
from serving.threads import Threads

_NPY = "application/x-npy"
_LARGE_BODY = 2**15  # bytes
_LARGE_BODIES = 4  # of the largest size, that may be held at once
_TINY_BODY = 2**10  # bytes: less than the connection itself takes
_BEGINNINGS = 2**25  # bytes of what bodies hold between tiny and large, over all requests

AnyRequest = TypeVar("AnyRequest", GenerateRequest, InterpolateRequest)


class RequestReader:
    """Reads the requests of all callers, whose bodies share two bounds."""

    def __init__(self, settings: Settings) -> None:
        self._max_body = settings.max_body  # bytes
        self._deadline = settings.deadline  # seconds
        self._bodies = ByteBudget(_LARGE_BODIES * settings.max_body)
        self._beginnings = ByteBudget(_BEGINNINGS, "bodies")
        # One at a time: lists of numbers take forty times the memory of their text.
        self._parser = Threads(1, "parse")

    async def read_generate(self, request: Request) -> tuple[GenerateRequest, NDArray[np.float32] | None]:
        """The fields, and the latent vectors if the body is an .npy file of them. Raises RequestError."""
        if request.method != "POST":
            return GenerateRequest.from_query(request.query_params.multi_items()), None
        content_type = request.headers.get("content-type", "")
        if _media_type(content_type) == _NPY:
            with ExitStack() as held:
                body = await self.body(request, held)
                return GenerateRequest.from_query(request.query_params.multi_items()), read_npy(body)
        return await self._read_json(GenerateRequest, request, content_type), None

    async def read_interpolate(self, request: Request) -> InterpolateRequest:
        """The fields. Raises RequestError."""
        return await self._read_json(InterpolateRequest, request, request.headers.get("content-type", ""))

    async def _read_json(self, kind: type[AnyRequest], request: Request, content_type: str) -> AnyRequest:
        """Parse a JSON body; what takes more than a millisecond or so, in a thread, to keep the event loop free."""
        with ExitStack() as held:
            body = await self.body(request, held)
            media_type = _media_type(content_type)
            if body and not _is_json(media_type):
                raise RequestError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"Content-Type: {media_type or 'missing'}; send application/json, or {_NPY} for noise",
                )
            for name, text in request.query_params.multi_items() if request.scope["query_string"] else ():
                if text.strip():
                    raise field_error((name[:100],), "is in the query; POST takes its fields in the body")
            utf8 = as_utf8(body, _charset(content_type))
            if len(utf8) < _LARGE_BODY:
                return kind.from_json(utf8)
            parsing = self._parser.run(kind.from_json, utf8)
            return await run_before_deadline(parsing, request, self._deadline)

    async def body(self, request: Request, held: ExitStack) -> bytes:
        """The whole body, counted until `held` is closed. Raises RequestError if it is too large, or one too many."""
        coding = request.headers.get("content-encoding", "")
        first = await request.receive()
        body: bytes = first.get("body", b"")
        whole = first["type"] == "http.request" and not first.get("more_body") and not coding
        if whole and len(body) <= min(_TINY_BODY, self._max_body):
            return body  # as most are
        return await self._large_body(unpacked(_chunks(first, request), coding, self._max_body), held)

    async def _large_body(self, chunks: AsyncIterator[bytes], held: ExitStack) -> bytes:
        body = bytearray()
        hold, hold_beginning = held.enter_context(self._bodies.hold()), held.enter_context(self._beginnings.hold())
        async for chunk in chunks:
            body += chunk
            if len(body) > self._max_body:
                raise RequestError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._max_body} bytes; ask for fewer images"
                )
            # Each has a bound of its own, so that small ones come in whatever large ones do, and tiny ones always.
            hold(max(0, len(body) - _LARGE_BODY))
            hold_beginning(max(0, min(len(body), _LARGE_BODY) - _TINY_BODY))
        return bytes(body)


async def _chunks(message: Message, request: Request) -> AsyncIterator[bytes]:
    """The parts of a body whose first message has been received. Raises ClientDisconnect."""
    while message["type"] == "http.request":
        yield message.get("body", b"")
        if not message.get("more_body"):
            return
        message = await request.receive()
    raise ClientDisconnect


def header_items(request: Request, header: str) -> str:
    """All items of a header, which may be spread over several lines of its name."""
    return ", ".join(request.headers.getlist(header))


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    """Includes the media types whose names end in +json (RFC 6839)."""
    return media_type in ("application/json", "text/json") or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _charset(content_type: str) -> str:
    parameters = (part.partition("=") for part in content_type.split(";")[1:])
    return next((value for name, _, value in parameters if name.strip().lower() == "charset"), "")
