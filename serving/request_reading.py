"""HTTP request -> the fields it asks for: its query, or its body within bounds of size and time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from serving.admission import ByteBudget
from serving.contents import as_utf8, unpacked
from serving.deadline import body_deadline, caller_disconnects, run_before_deadline
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
        if _media_type(request) == _NPY:
            async with self.body(request) as body:
                return GenerateRequest.from_query(request.query_params.multi_items()), read_npy(body)
        return await self._read_json(GenerateRequest, request), None

    async def read_interpolate(self, request: Request) -> InterpolateRequest:
        """The fields. Raises RequestError."""
        return await self._read_json(InterpolateRequest, request)

    async def _read_json(self, kind: type[AnyRequest], request: Request) -> AnyRequest:
        """Parse a JSON body; what takes more than a millisecond or so, in a thread, to keep the event loop free."""
        async with self.body(request) as body:
            if body and not _is_json(_media_type(request)):
                raise RequestError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"Content-Type: {_media_type(request) or 'missing'}; send application/json, or {_NPY} for noise",
                )
            for name, text in request.query_params.multi_items():
                if text.strip():
                    raise field_error((name[:100],), "is in the query; POST takes its fields in the body")
            utf8 = as_utf8(body, _charset(request))
            if len(utf8) < _LARGE_BODY:
                return kind.from_json(utf8)
            parsing = self._parser.run(kind.from_json, utf8)
            return await run_before_deadline(parsing, partial(caller_disconnects, request), self._deadline)

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, counted until the context ends. Raises RequestError if it is too large, too slow, or one too many."""
        body = bytearray()
        with self._bodies.hold() as hold, self._beginnings.hold() as hold_beginning:
            async with body_deadline(self._deadline):
                coding = request.headers.get("content-encoding", "")
                async for chunk in unpacked(request.stream(), coding, self._max_body):
                    body += chunk
                    if len(body) > self._max_body:
                        raise RequestError(
                            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                            f"the body is larger than {self._max_body} bytes; ask for fewer images",
                        )
                    # Each has a bound of its own, so that small ones come in whatever large ones do, and tiny ones always.
                    hold(max(0, len(body) - _LARGE_BODY))
                    hold_beginning(max(0, min(len(body), _LARGE_BODY) - _TINY_BODY))
            yield bytes(body)


def header_items(request: Request, header: str) -> str:
    """All items of a header, which may be spread over several lines of its name."""
    return ", ".join(request.headers.getlist(header))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    """Includes the media types whose names end in +json (RFC 6839)."""
    return media_type in ("application/json", "text/json") or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _charset(request: Request) -> str:
    parameters = (part.partition("=") for part in request.headers.get("content-type", "").split(";")[1:])
    return next((value for name, _, value in parameters if name.strip().lower() == "charset"), "")
