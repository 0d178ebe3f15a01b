"""Errors of the service, answered as application/problem+json (RFC 9457)."""

import logging
import traceback
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from gan.errors import GanServiceError
from serving.request_record import current

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


class WithoutRequestErrors(logging.Filter):
    """Leaves out of BentoML's log what callers cause and are answered: a traceback for each would fill it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error and error.__cause__, RequestError)


def field_error(loc: Location, msg: str) -> RequestError:
    """422 for one field that is wrong, over its limit or in conflict with another."""
    return RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{dotted(loc)}: {msg}", [(loc, msg)])


def problem(status: HTTPStatus, detail: str, errors: list[tuple[Location, str]], headers: Any = None) -> JSONResponse:
    """The answer to a request that failed. No cache may store it: with a key, or later, the same request may succeed."""
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if errors:
        body["errors"] = [{"loc": list(loc), "msg": msg} for loc, msg in errors]
    if (record := current()) is not None:
        body["request_id"] = record.id
    return JSONResponse(body, status.value, {"Cache-Control": "no-store", **(headers or {})}, media_type="application/problem+json")


def problem_of(error: RequestError) -> JSONResponse:
    """The answer that an error stands for."""
    return problem(error.status, error.detail, error.errors, error.headers)


def no_such_path(path: str) -> RequestError:
    """404 for a path that no route has."""
    return RequestError(
        HTTPStatus.NOT_FOUND, f"there is no {path}; there are /generate, /interpolate, /invert, /edit, /score, /models and /docs"
    )


def method_not_allowed(path: str, method: str, allowed: list[str]) -> RequestError:
    """405 for a method that the path does not have."""
    return RequestError(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} does not take {method}", headers={"Allow": ", ".join(allowed)})


def unforeseen(method: str, path: str, error: Exception) -> JSONResponse:
    """500 for a fault of ours: the traceback goes into the log, not to the caller."""
    _log.error("%s %s failed", method, path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed to answer; its log says why", [])


def forget_frames(error: BaseException) -> None:
    """Let go of what the functions that an error passed through held, such as a large body.

    A future that an error came from is among that, and holds the error: a cycle, which is not collected for a long time.
    """
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__context__


def dotted(loc: Location) -> str:
    """The path to a field as people write it."""
    return ".".join(str(part) for part in loc)
