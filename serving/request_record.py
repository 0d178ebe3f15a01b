"""What is noted of a request while it is answered, for the access log and for tracing.

Where neither is asked for there is no record, and noting something costs the look at one context variable.
"""

import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

CLIENT_CLOSED_REQUEST = 499  # nginx's status for a caller that has disconnected

_WELL_FORMED = re.compile(rb"[\w.~:/+=@-]{1,128}", re.ASCII)
_LONGEST_PATH = 256  # characters; a line of the log stays below what a pipe takes in one piece, so that workers do not mix theirs


@dataclass(slots=True)
class RequestRecord:
    """One request. It has neither its query nor its headers, which may hold keys and latent vectors."""

    id: str  # X-Request-ID's, or made
    method: str | None  # None, as the path, where the head could not be read
    path: str | None
    headers: dict[str, str]  # those that name the trace that the request belongs to
    began: float = field(default_factory=time.perf_counter)
    time: float = field(default_factory=time.time)  # the same in seconds since 1970
    ended: float = 0.0
    status: int | None = None  # None until an answer has begun; 499 if the caller left before it was out
    sent: int = 0  # bytes of the answer's body
    route: str | None = None
    model: str | None = None  # name@version
    images: int | None = None
    stages: list[tuple[str, float, float]] = field(default_factory=list)  # name, begin and end, as time.perf_counter() has them
    trace_id: str | None = None
    refused: bool = False  # by the protocol, while the application worked on it

    @classmethod
    def begin(
        cls, method: str | None, path: str | None, headers: Iterable[tuple[bytes, bytes]], kept: frozenset[str] = frozenset()
    ) -> "RequestRecord":
        """A record of a request whose head has come; names of headers are in lower case, and `kept` of them are noted."""
        given, noted = [], {}
        for name, value in headers:
            if name == b"x-request-id":
                given.append(value)
            elif kept and (text := name.decode("latin-1")) in kept:
                noted[text] = value.decode("latin-1")
        taken = len(given) == 1 and _WELL_FORMED.fullmatch(given[0])
        return cls(
            given[0].decode() if taken else secrets.token_hex(16), method, None if path is None else path[:_LONGEST_PATH], noted
        )


_current: ContextVar[RequestRecord | None] = ContextVar("request_record", default=None)


def current() -> RequestRecord | None:
    """The record of the request that this task answers; None where nothing is recorded."""
    return _current.get()


@contextmanager
def recording(record: RequestRecord | None) -> Iterator[None]:
    """Note into this record until the context ends."""
    token = _current.set(record)
    try:
        yield
    finally:
        _current.reset(token)


def note_route(route: str) -> None:
    """Note the route, a pattern such as /models/{name}."""
    if (record := _current.get()) is not None:
        record.route = route


def note_images(model: str, n: int) -> None:
    """Note the model, name@version, and the images that are drawn, or the pictures that are searched for or scored."""
    if (record := _current.get()) is not None:
        record.model, record.images = model, n


def note_stage(name: str, began: float, ended: float) -> None:
    """Note a part of the work; times are those of time.perf_counter()."""
    if (record := _current.get()) is not None:
        record.stages.append((name, began, ended))
