"""Errors of the service, answered as application/problem+json (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gan.errors import GanServiceError

_log = logging.getLogger("bentoml.gan")

Location = tuple[str | int, ...]  # the path to a field, such as ("noise", 3)


class RequestError(GanServiceError):
    """A request that is answered with an error; `errors` names the fields that are at fault."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: list[tuple[Location, str]] | None = None,
        retry_after: int | None = None,  # seconds
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors or []
        self.headers = (headers or {}) | ({} if retry_after is None else {"Retry-After": str(retry_after)})


def field_error(loc: Location, msg: str) -> RequestError:
    """422 for one field that is wrong, over its limit or in conflict with another."""
    return RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{dotted(loc)}: {msg}", [(loc, msg)])


def problem(status: HTTPStatus, detail: str, errors: list[tuple[Location, str]], headers: Any = None) -> JSONResponse:
    """The answer to a request that failed. No cache may store it: with a key, or later, the same request may succeed."""
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if errors:
        body["errors"] = [{"loc": list(loc), "msg": msg} for loc, msg in errors]
    return JSONResponse(body, status.value, {"Cache-Control": "no-store", **(headers or {})}, media_type="application/problem+json")


async def answer_request_error(_: Request, error: Exception) -> JSONResponse:
    """Starlette's handler for RequestError."""
    assert isinstance(error, RequestError)
    return problem(error.status, error.detail, error.errors, error.headers)


async def answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler for its router's errors: no such path, or a method that the path does not have."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = {
        HTTPStatus.NOT_FOUND: f"there is no {request.url.path}; there are /generate, /interpolate, /models and /docs",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.url.path} does not take {request.method}",
    }.get(status, error.detail)
    return problem(status, detail, [], error.headers)


async def answer_nobody(_: Request, __: Exception) -> Response:
    """Starlette's handler for a caller that has disconnected; nginx's status for it goes into the log and the metrics."""
    return Response(status_code=499)


async def answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler for everything else: the traceback goes into the log, not to the caller."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed to answer; its log says why", [])


def dotted(loc: Location) -> str:
    """The path to a field as people write it."""
    return ".".join(str(part) for part in loc)
