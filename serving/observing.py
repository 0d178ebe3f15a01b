"""Makes a record of every request, where an access log or tracing is asked for, and hands it on once the request has ended."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access_log import AccessLog, open_log
from serving.deadline import DISCONNECTED
from serving.request_record import CLIENT_CLOSED_REQUEST, RequestRecord, recording
from serving.settings import Settings

_RECORD = "gan-service.record"  # in a request's scope

Sink = Callable[[RequestRecord], None]
Head = tuple[bytes, bytes, list[tuple[bytes, bytes]]]  # method, target and headers


class Observer:
    """Records requests, also those that never reach an application."""

    def __init__(self, sinks: Sequence[Sink], kept: Iterable[str] = (), closing: Sequence[Callable[[], None]] = ()) -> None:
        """Each record goes through the sinks in their order, in the event loop. Headers in `kept` are noted."""
        self._sinks, self._kept, self._closing = sinks, frozenset(kept), closing

    def begin(self, method: str | None, path: str | None, headers: Iterable[tuple[bytes, bytes]]) -> RequestRecord:
        """A new record, which `end` must be called with."""
        return RequestRecord.begin(method, path, headers, self._kept)

    def end(self, record: RequestRecord) -> None:
        """Hand on the record of a request that was answered, or whose caller has left."""
        record.ended = time.perf_counter()
        for sink in self._sinks:
            sink(record)

    def lost(self, scopes: Iterable[Mapping[str, Any]]) -> None:
        """Record requests whose caller left before their turn came."""
        for scope in scopes:
            record = self.begin(scope["method"], scope["path"], scope["headers"])
            record.status = CLIENT_CLOSED_REQUEST
            self.end(record)

    def begin_refused(self, head: Head | None, scope: Mapping[str, Any] | None) -> RequestRecord:
        """The record of a request that the protocol refuses, for `end_refused`.

        It has as much of the head as came; the scope is that of a request whose head was read.
        """
        if scope is None:
            method, target, headers = head or (b"", b"", [])
            if not target:  # until then the parser does not know the method
                return self.begin(None, None, headers)
            return self.begin(method.decode("latin-1"), target.partition(b"?")[0].decode("latin-1"), headers)
        if _RECORD not in scope:
            return self.begin(scope["method"], scope["path"], scope["headers"])
        record: RequestRecord = scope[_RECORD]
        record.refused = True
        return record

    def end_refused(self, record: RequestRecord) -> None:
        """Hand it on, unless the application works on the request: then it does once that has ended."""
        if not record.refused:
            self.end(record)

    def close(self) -> None:
        """Write and send what is still waiting."""
        for close in self._closing:
            close()

    def observe(self, app: ASGIApp) -> ASGIApp:
        """Wrap the whole application: answers get the header X-Request-ID."""

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            record = scope[_RECORD] = self.begin(scope["method"], scope["path"], scope["headers"])
            gone = scope.get(DISCONNECTED)

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    if not record.refused:
                        record.status = message["status"]
                    headers = [*message.get("headers", ()), (b"x-request-id", record.id.encode())]
                    message = {**message, "headers": headers}
                elif gone is None or not gone.done():
                    record.sent += len(message.get("body", b""))
                await send(message)

            try:
                with recording(record):
                    await app(scope, receive, noting)
            finally:
                if gone is not None and gone.done() and not record.refused:
                    record.status = CLIENT_CLOSED_REQUEST
                elif record.status is None:
                    record.status = HTTPStatus.INTERNAL_SERVER_ERROR.value
                self.end(record)

        return observed


def observer_for(settings: Settings) -> Observer | None:
    """What the settings ask for; None for nothing. Raises GanServiceError if it cannot be had."""
    sinks: list[Sink] = []
    closing: list[Callable[[], None]] = []
    kept: Iterable[str] = ()
    if settings.tracing:
        from serving.tracing import Tracing  # imports OpenTelemetry

        tracing = Tracing.by_environment()
        sinks.append(tracing.trace)  # first, so that the log can name the trace
        closing.append(tracing.close)
        kept = tracing.headers
    if settings.access_log is not None:
        log = AccessLog(settings.access_log)
        sinks.append(log.write)
        closing.append(log.close)
    return Observer(sinks, kept, closing) if sinks else None


def check(settings: Settings) -> None:
    """Raises GanServiceError if what the settings ask for cannot be had."""
    if settings.access_log is not None and (file := open_log(settings.access_log)) != sys.stdout.fileno():
        os.close(file)
    if settings.tracing:
        from serving.tracing import check_environment

        check_environment()
