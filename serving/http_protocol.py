"""HTTP/1.1 at the port: uvicorn's protocol, made safe against lost request bodies and request smuggling.

llhttp (httptools) parses the bytes, and refuses most of what a proxy before us could read in another way. What it leaves is here:
upgrades are not supported, so they are ignored as RFC 9110 allows and the body is delivered; errors are answered in turn, as
application/problem+json, and end the connection; and no connection holds more memory, or for longer, than an honest one needs.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.admission import ByteBudget
from serving.deadline import DISCONNECTED
from serving.errors import RequestError
from serving.http_head import check_head, head_without_upgrade, too_slow, unreadable
from serving.http_limits import RequestSize
from serving.http_writing import HeadWithBody, ReadingClock, ending_unless_continued, refusal_as_bytes
from serving.metrics import metrics
from serving.observing import Observer
from serving.settings import Settings

_UNFINISHED_HEADS = 2**25  # bytes of heads that have come in part, over all connections
_LONGEST_PIPELINE = 64  # requests of one connection that wait for the answer to the one before
_LINGER = 2.0  # seconds in which a caller who still sends can read the refusal; a port closed at once would discard it


def protect(config: uvicorn.Config, settings: Settings, observer: Observer | None = None) -> None:
    """Let a server that is about to open its port read requests with StrictHttpProtocol."""
    config.timeout_keep_alive = settings.keep_alive  # type: ignore[assignment]  # a float does as well
    config.http_protocol_class = partial(  # type: ignore[assignment]  # called with keywords, as a class would be
        StrictHttpProtocol,
        deadline=settings.deadline,
        heads=ByteBudget(_UNFINISHED_HEADS, "requests"),
        observer=observer,
        origins=settings.cors_origins,
    )


class StrictHttpProtocol(HttpToolsProtocol):
    """The parser and the clocks of one connection."""

    def __init__(
        self, *args: Any, deadline: float, heads: ByteBudget, observer: Observer | None, origins: Sequence[str], **keywords: Any
    ) -> None:
        super().__init__(*args, **keywords)
        self.parser = httptools.HttpRequestParser(self)  # without uvicorn's leniency towards what follows the last request
        self._deadline = deadline  # seconds for a request to come
        self._heads, self._observer, self._origins = heads, observer, origins
        self._answering: RequestResponseCycle | None = None  # the request being answered
        self._writing: HeadWithBody | None = None  # its answer
        self._reading = self._head_read = False  # whether a request has begun, and its headers have come
        self._no_more = False  # whether further bytes are ignored
        self._refusal = b""  # to be sent after the answers to the requests before it
        self._size = RequestSize()
        self._time_left: asyncio.TimerHandle | None = None
        self._unread = ReadingClock(self.loop, deadline)
        self._held = ExitStack()  # its place in the bound on unfinished heads
        self._hold: Callable[[int], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request, as after every other: a caller may send nothing at all."""
        super().connection_made(transport)
        self._disconnected = self.loop.create_future()
        self._wait_for_the_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnect the request being answered too; uvicorn disconnects only the last that came."""
        self._disconnected.set_result(None)
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        if self._observer:
            self._observer.lost(cycle.scope for cycle, _ in self.pipeline)
        self.pipeline.clear()
        self._stop_the_clocks()
        self._unread.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the caller."""
        if self._no_more:
            return
        self._size.receive(len(data))
        try:
            self._feed(data)
            if self._reading:
                self._count(len(data))
        except httptools.HttpParserError as error:
            self._refuse(unreadable(error, self.parser.get_method()))
        except RequestError as refusal:
            self._refuse(refusal)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # httptools treats what follows the head as another protocol, even a body. So the head is parsed again without it.
                method, version = self.parser.get_method(), self.parser.get_http_version()
                data = head_without_upgrade(method, self.url, version, self.headers) + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)

    def _count(self, parsed: int) -> None:
        """Bound what a request that has not come whole may take, in bytes and in time. Raises RequestError."""
        self._size.add_parsed(parsed)
        if not self._head_read:
            if self._hold is None:
                self._hold = self._held.enter_context(self._heads.hold())
            self._hold(max(0, self._size.overhead))
        if not self._is_answering() or self._is_answering_what_comes():
            self._start_the_clock()

    # What the parser calls

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._reading, self._head_read = True, False
        self._size.begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        super().on_url(url)
        self._size.check_target(self.url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is ignored: proxies and the check of keys have decided without it."""
        if self._head_read:
            return
        self._size.add_header(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The end of the head. Raises RequestError, which the parser passes on."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.url, announces_body = check_head(method, self.url, version, self.headers)
        self.expect_100_continue &= announces_body and version == "1.1"
        if len(self.pipeline) >= _LONGEST_PIPELINE:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"over {_LONGEST_PIPELINE} requests on one connection wait for their answers; read some before sending more",
                retry_after=1,
            )
        if self.parser.should_upgrade():
            return  # _feed parses it once more
        self._head_read = True
        self._stop_the_clocks()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size.add_body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Its end."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self.flow.resume_reading()  # which a large body has paused: otherwise it is not noticed that the caller leaves
        self._reading = self._head_read = False
        self._size.end()
        self._no_more = not self.cycle.keep_alive
        if self.cycle.response_complete:  # it was answered before it had come whole
            self._stop_the_clocks()
            self._wait_for_the_next()

    def _should_upgrade(self) -> bool:
        return False

    # Answers

    def _is_answering(self) -> bool:
        return self._answering is not None and not self._answering.response_complete

    def _is_answering_what_comes(self) -> bool:
        """Whether the request being answered is the one whose body is still coming."""
        return self._is_answering() and self._reading and self._head_read and self._answering is self.cycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        cycle.scope[DISCONNECTED] = self._disconnected  # type: ignore[literal-required]
        self._writing = cycle.transport = HeadWithBody(cycle.transport)
        if cycle.waiting_for_100_continue:
            app = ending_unless_continued(cycle, app)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The end of an answer: the next request in the pipeline is answered."""
        if self._writing is not None:
            self._writing.flush()
        super().on_response_complete()
        if self._is_answering_what_comes():
            self._start_the_clock()
        if self._refusal and not self._is_answering():
            self._end_with(self._refusal)

    def _refuse(self, refusal: RequestError) -> None:
        """Answer in turn that this request cannot be read, and read no other: where this one ends is unknown."""
        if self._no_more:
            return
        self._no_more = True
        self._stop_the_clocks()
        metrics().refused.labels("cannot be read").inc()
        at_fault = self.cycle if self._head_read else None
        if at_fault and at_fault.response_started:
            self.transport.close()  # its answer is out already
            return
        head = (self.parser.get_method(), self.url, self.headers) if self._reading else None
        scope = at_fault.scope if at_fault else None
        answer = refusal_as_bytes(refusal, self.server_state.default_headers, self._observer, head, scope, self._origins)
        if at_fault and self.pipeline and self.pipeline[0][0] is at_fault:
            self.pipeline.popleft()
        elif at_fault:
            at_fault.disconnected = True  # which ends its work
            at_fault.message_event.set()
            self._end_with(answer)
            return
        if self._is_answering():
            self._refusal = answer
        else:
            self._end_with(answer)

    def _end_with(self, answer: bytes) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.timeout_keep_alive_task = self.loop.call_later(_LINGER, self.transport.close)

    def pause_writing(self) -> None:
        """The caller has not read what it was sent."""
        super().pause_writing()
        self._unread.start(self.transport)

    def resume_writing(self) -> None:
        """The caller has read most of it."""
        super().resume_writing()
        self._unread.stop()

    # Clocks

    def _wait_for_the_next(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _start_the_clock(self) -> None:
        """Give the request that is coming until the deadline."""
        if self._time_left is None:
            self._time_left = self.loop.call_later(self._deadline, self._refuse, too_slow(self._deadline))

    def _stop_the_clocks(self) -> None:
        self._unset_keepalive_if_required()
        if self._time_left is not None:
            self._time_left.cancel()
            self._time_left = None
        if self._hold is not None:
            self._held.close()
            self._hold = None
