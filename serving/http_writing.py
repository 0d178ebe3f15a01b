"""How answers are written to a connection, and how long a caller may take to read them."""

import asyncio
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from serving.cors import allow_reading
from serving.errors import RequestError, problem_of
from serving.metrics import metrics
from serving.observing import Head, Observer
from serving.request_record import recording


class HeadWithBody(asyncio.Transport):
    """Sends an answer's head together with the first part of its body: one system call and one packet fewer.

    ASGI has a message for each, and uvicorn writes them one by one: first, where the caller waits for it, 100 Continue, then the
    whole head, then the body.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head: bytes | None = None  # None until it is written, and empty once it is sent

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep the head, and send everything else."""
        if self._head is None:
            if bytes(data[:12]) == b"HTTP/1.1 100":
                self._transport.write(data)
            else:
                self._head = bytes(data)
        elif self._head:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that is still kept, since no body follows it."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Close the connection once all is sent."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._transport.is_closing()


class ReadingClock:
    """Cuts off a caller who does not read what it was sent.

    It runs while a transport's buffer is full: its content, up to 256 KiB (serving/answers.py), must be read by the deadline.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """The deadline is in seconds."""
        self._loop, self._deadline = loop, deadline
        self._handle: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.Transport) -> None:
        """The buffer is full."""
        self.stop()
        self._handle = self._loop.call_later(self._deadline, _cut_off, transport)

    def stop(self) -> None:
        """The buffer is all but empty, or the connection gone."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def _cut_off(transport: asyncio.Transport) -> None:
    """Reset the connection, without what is still to be sent; closed in the common way it would wait until that is read."""
    metrics().dropped.labels("not read").inc()
    if connection := transport.get_extra_info("socket"):
        # Which drops what the kernel holds too
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def ending_unless_continued(cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
    """Wrap an application: end the connection if it answers before the client was sent 100 Continue.

    Such a client may send the body or leave it out (RFC 9110, section 10.1.1): what follows could not be told apart.
    """

    async def ending(scope: Scope, receive: Receive, send: Send) -> None:
        async def end(message: Message) -> None:
            cycle.keep_alive &= not cycle.waiting_for_100_continue
            await send(message)

        await app(scope, receive, end)

    return ending


def refusal_as_bytes(
    refusal: RequestError,
    default_headers: Iterable[tuple[bytes, bytes]],
    observer: Observer | None,
    head: Head | None,  # as much of it as came
    scope: Mapping[str, Any] | None,  # of a request whose head was read
    origins: Sequence[str],  # whose pages may read it
) -> bytes:
    """The answer to what cannot be read, and after which the connection ends. It is recorded."""
    record = None if observer is None else observer.begin_refused(head, scope)
    with recording(record):
        answer = problem_of(refusal)
    asking = dict(head[2]).get(b"origin", b"") if head else b""
    allow_reading(answer.headers, origins, asking.decode("latin-1"))
    headers = [*default_headers, *answer.raw_headers, (b"connection", b"close")]
    if observer is not None and record is not None:
        record.status, record.sent = answer.status_code, len(answer.body)
        headers.append((b"x-request-id", record.id.encode()))
        observer.end_refused(record)
    return b"".join([STATUS_LINE[refusal.status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n", bytes(answer.body)])
