"""HTTP request -> the fields it asks for: its query, or its body; serving/http_protocol.py bounds the time."""

from contextlib import ExitStack
from http import HTTPStatus
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from serving.bodies import BodyReader
from serving.contents import as_utf8
from serving.deadline import run_before_deadline
from serving.errors import RequestError, field_error
from serving.npy import read_npy
from serving.schema import GenerateRequest, RequestFields
from serving.settings import Settings
from serving.threads import Threads

_NPY = "application/x-npy"
_LARGE_BODY = 2**15  # bytes: those below are parsed within a millisecond or so

AnyRequest = TypeVar("AnyRequest", bound=RequestFields)


class RequestReader:
    """Reads the requests of all callers."""

    def __init__(self, settings: Settings) -> None:
        self.bodies = BodyReader(settings.max_body, "ask for fewer images")
        self._deadline = settings.deadline  # seconds
        # One at a time: lists of numbers take forty times the memory of their text.
        self._parser = Threads(1, "parse")

    async def read_generate(self, request: Request) -> tuple[GenerateRequest, NDArray[np.float32] | None]:
        """The fields, and the latent vectors if the body is an .npy file of them. Raises RequestError."""
        if request.method != "POST":
            return GenerateRequest.from_query(request.query_params.multi_items()), None
        if media_type(content_type_of(request)) == _NPY:
            with ExitStack() as held:
                body = await self.bodies.read(request, held)
                return GenerateRequest.from_query(request.query_params.multi_items()), read_npy(body)
        return await self.read_json(GenerateRequest, request), None

    async def read_json(self, kind: type[AnyRequest], request: Request) -> AnyRequest:
        """The fields of a JSON body; what takes over a millisecond or so is parsed in a thread. Raises RequestError."""
        with ExitStack() as held:
            body = await self.bodies.read(request, held)
            name = media_type(content_type_of(request))
            if body and not is_json(name):
                or_npy = f", or {_NPY} for noise" if kind is GenerateRequest else ""
                raise RequestError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: {name or 'missing'}; send application/json{or_npy}"
                )
            return await self.parse(kind, body, request)

    async def parse(self, kind: type[AnyRequest], body: bytes, request: Request) -> AnyRequest:
        """The fields of a JSON body, which has all of them. Raises RequestError."""
        refuse_query(request)
        utf8 = as_utf8(body, _charset(content_type_of(request)))
        if len(utf8) < _LARGE_BODY:
            return kind.from_json(utf8)
        return await run_before_deadline(self._parser.run(kind.from_json, utf8), request, self._deadline)


def refuse_query(request: Request) -> None:
    """Raises RequestError for a field in the query of a request that has its fields in the body."""
    for name, text in request.query_params.multi_items() if request.scope["query_string"] else ():
        if text.strip():
            raise field_error((name[:100],), "is in the query; POST takes its fields in the body")


def header_items(request: Request, header: str) -> str:
    """All items of a header, which may be spread over several lines of its name."""
    return ", ".join(request.headers.getlist(header))


def content_type_of(request: Request) -> str:
    """The header Content-Type; different ones in several lines together are no media type, since either may be the body's."""
    return ", ".join(dict.fromkeys(request.headers.getlist("content-type")))


def media_type(content_type: str) -> str:
    """The media type alone, without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(name: str) -> bool:
    """Whether a media type is JSON's; includes those whose names end in +json (RFC 6839)."""
    return name in ("application/json", "text/json") or (name.startswith("application/") and name.endswith("+json"))


def _charset(content_type: str) -> str:
    parameters = (part.partition("=") for part in content_type.split(";")[1:])
    return next((value for name, _, value in parameters if name.strip().lower() == "charset"), "")
