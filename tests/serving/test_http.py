"""What requests are read from the bytes that come, tried over sockets of our own: clients of HTTP send none of this."""

import asyncio
import json
import re
import select
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request

from serving.answers import Answers
from serving.deadline import run_before_deadline
from serving.http_protocol import protect
from serving.metrics import metrics
from serving.settings import Settings

HOST = b"Host: x\r\n"
POST = b"POST /p HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


LARGE = bytes(range(256)) * 2**15  # eight megabytes: more than all buffers take together


async def large(_, __, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(LARGE))]})
    await send({"type": "http.response.body", "body": LARGE})


async def late(_, __, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"it is ", "more_body": True})
    await asyncio.sleep(0.5)
    await send({"type": "http.response.body", "body": b"late"})


class Echo:
    """Answers with what it was asked; to /early before it has read the body, and to /wait once somebody has asked for /go.

    To /listen it never does; `left` is set when a caller has left. /large is LARGE bytes, and /late comes in two parts.
    /work is at work for a minute, as the routes are.
    """

    def __init__(self):
        self.seen = []
        self.left = threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["path"] != "/last":
            self.seen.append(f"{scope['method']} {scope['path']}")
        asked = {"method": scope["method"], "path": scope["path"], "query": scope["query_string"].decode()}
        asked["headers"] = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        body = b""
        more = scope["path"] != "/early"
        while more or scope["path"] == "/listen":
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            more = message["more_body"]
        if scope["path"] == "/work":
            try:
                await run_before_deadline(asyncio.sleep(60), Request(scope, receive), 60)
            except ClientDisconnect:
                self.left.set()
                return
        if scope["path"] in ("/large", "/late"):
            await Answers(1).deliver(large if scope["path"] == "/large" else late, scope, receive, send)
            return
        while scope["path"] == "/wait" and "GET /go" not in self.seen:
            await asyncio.sleep(0.001)
        content = json.dumps({**asked, "body": body.decode("latin-1")}).encode()
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class Door:
    """A server, and how to talk to it."""

    def __init__(self, port, echo, connections):
        self.port, self.echo, self.connections = port, echo, connections

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def talk(self, *pieces, last=LAST):
        """Status, headers and body of each answer to bytes that come in pieces, and then to one more request."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.05 / len(pieces) if len(pieces) > 1 else 0)
            connection.sendall(last)
            return answers(connection)


def answers(connection):
    """All, to the end of the connection."""
    came = b""
    while more := connection.recv(100_000):
        came += more
    found = []
    while came:
        head, _, came = came.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
        length = int(headers.get("content-length", 0))
        assert len(came) >= length
        found.append((int(line.split()[1]), headers, json.loads(came[:length] or "null")))
        came = came[length:]
    return found


@contextmanager
def opened(observer=None, **settings):
    echo = Echo()
    config = uvicorn.Config(observer.observe(echo) if observer else echo, lifespan="off", log_config=None)
    config.load()
    protect(config, Settings(**settings), observer)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Door(listening.getsockname()[1], echo, server.server_state.connections)
        finally:
            echo.seen.append("GET /go")
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def one_door():
    with opened() as door:
        yield door


@pytest.fixture
def door(one_door):
    one_door.echo.seen.clear()
    return one_door


def refused(door, *pieces, status=400):
    """What an answer says that is the only one, and ends the connection with nothing more read from it."""
    ((found, headers, problem),) = door.talk(*pieces)
    assert found == problem["status"] == status
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    return problem["detail"]


UPGRADES = {
    "java": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n",
    "tls": b"Upgrade: TLS/1.0, HTTP/1.1\r\nConnection: upgrade\r\n",
    "any": b"upgrade: anything\r\nconnection: keep-alive, UPGRADE\r\n",
    "two headers": b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: foo\r\nUpgrade: bar\r\n",
    "old proxy": b"Proxy-Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "not named": b"Upgrade: h2c\r\n",
    "named only": b"Connection: Upgrade\r\n",
}
BODIES = {
    "length": b"Content-Length: 5\r\n\r\nhello",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n",
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_an_upgrade_is_passed_over_and_its_body_delivered(door, upgrade, body):
    for split in (None, -7, 60):
        request = POST + UPGRADES[upgrade] + BODIES[body]
        pieces = [request] if split is None else [request[:split], request[split:]]
        (status, headers, asked), last = door.talk(*pieces)
        assert status == last[0] == 200
        assert asked["body"] == "hello"
        assert "connection" not in headers


def test_an_upgrade_without_a_body_is_an_ordinary_request(door):
    first, last = door.talk(b"GET /ws?a=1 HTTP/1.1\r\n" + HOST + UPGRADES["websocket"] + b"\r\n")
    assert first[2]["path"] == "/ws"
    assert first[2]["query"] == "a=1"
    assert last[2]["path"] == "/last"


def test_the_late_body_of_an_upgrade_is_no_request(door):
    hidden = b"POST /models/shoes/reload HTTP/1.1\r\nHost: x\r\n\r\n"
    (_, _, asked), _ = door.talk(POST + UPGRADES["java"] + b"Content-Length: %d\r\n\r\n" % len(hidden), hidden)
    assert asked["body"] == hidden.decode()
    assert door.echo.seen == ["POST /p"]


def test_upgrades_in_a_pipeline_are_answered_in_turn(door):
    one = POST + UPGRADES["java"] + BODIES["chunked"]
    found = door.talk(one + POST + BODIES["length"] + one)
    assert [asked["body"] for _, _, asked in found] == ["hello", "hello", "hello", ""]
    *answered, refused = door.talk(one * 40 + b"GET /p HTTP/1.1\r\n" + HOST + UPGRADES["java"] + BODIES["length"])
    assert [asked["body"] for _, _, asked in answered] == ["hello"] * 40
    assert refused[2]["detail"].startswith("GET takes no body")


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 0_5",
        b"Content-Length: 0x5",
        b"Content-Length: 1 5",
        b"Content-Length: \x0b5",
        b"Content-Length:",
        b"Content-Length: 18446744073709551621",
        b"Content-Length:\r\n 5",
        b"Content-Length : 5",
        b"Content-Length\t: 5",
        b"Content Length: 5",
        b"Content-Length",
        b": 5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding:",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding : chunked",
        b"X: a\nContent-Length: 5",
        b"X: a\rContent-Length: 5",
        b"X: a\r\rContent-Length: 5",
        b"X: a\r\n folded",
        b"X: a\x00b",
        b"X: a\x7fb",
        b"X\x00: a",
        b"X\xc3: a",
        b"Host: y",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(door, headers):
    refused(door, POST + headers + b"\r\n\r\nhello")
    assert door.echo.seen == []


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity, chunked", b",chunked", b"identity\r\nTransfer-Encoding: chunked"])
def test_other_codings_than_chunked_are_not_here(door, coding):
    said = refused(door, POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", status=501)
    assert said == "the only Transfer-Encoding taken here is chunked; send that, or Content-Length"


@pytest.mark.parametrize(
    "head",
    [
        b"POST /p HTTP/1.1\nHost: x\n\n",
        b"POST /p HTTP/1.1\r\nHost: x\r\n\n",
        b"POST /p HTTP/1.1\r\nHost: x\r\n\rX",
        b"POST /p HTTP/1.1\r\n Host: x\r\n\r\n",
        b"POST /p HTTP/1.1\r\n\r\n",
        b"POST /p HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"POST /p HTTP/1.1\r\nHost: a/b?c\r\n\r\n",
        b"POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /?a=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST p HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST ftp://x/p HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW /p HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    ],
)
def test_heads_that_are_not_http_are_refused(door, head):
    assert refused(door, head)
    assert door.echo.seen == []


@pytest.mark.parametrize("target", ["/generate?label=Größe", "/generate?label=Ankle boot", "/models/猫", "/p#é"])
def test_an_address_that_is_not_encoded_is_told_how_it_would_be(door, target):
    said = refused(door, b"GET " + target.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert "must be percent-encoded, as %20 and %C3%A9 for é; curl does that by --get --data-urlencode" in said


@pytest.mark.parametrize("head", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", b"GET /\r\n\r\n"])
def test_other_versions_are_told_which_is_spoken(door, head):
    assert refused(door, head, status=505).endswith("is not spoken here; use HTTP/1.1")


def test_this_is_no_proxy(door):
    said = refused(door, b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n", status=501)
    assert said.startswith("CONNECT is for proxies")
    assert door.echo.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"0_5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\r\n0\n\n",
        b"5\r\nhello\r\n0\r\n\rX",
        b"5\r\nhello\r\n0\r\nContent-Length: 30\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
    ],
)
def test_a_damaged_chunk_is_refused_and_its_request_given_up(door, body):
    door.echo.left.clear()
    assert refused(door, CHUNKED + body).startswith("this is not HTTP/1.1: ")
    assert door.echo.left.wait(20)


def test_chunks_with_extensions_and_trailers_are_a_body_and_trailers_are_no_headers(door):
    body = b'002;a=b;c="d"\r\nhe\r\n3\r\nllo\r\n0;x\r\nAuthorization: Bearer x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'
    for pieces in ([CHUNKED + body], [CHUNKED, *(bytes([byte]) for byte in body)]):
        (status, _, asked), _ = door.talk(*pieces)
        assert status == 200
        assert asked["body"] == "hello"
        assert asked["headers"] == {"host": "x", "transfer-encoding": "chunked"}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a//b?x=1?y", "/a//b", "x=1?y"),
        (b"//x/p", "//x/p", ""),
        (b"/%C3%A9", "/é", ""),
        (b"http://y/p?a=1", "/p", "a=1"),
        (b"HTTP://me:it@y:80/p", "/p", ""),
        (b"https://y", "/", ""),
        (b"http://y?a=/1", "/", "a=/1"),
    ],
)
def test_targets_in_every_form(door, target, path, query):
    (status, _, asked), _ = door.talk(b"POST " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    assert (asked["path"], asked["query"]) == (path, query)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("body", [*BODIES.values(), b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_a_body_with_get_is_refused_and_said_so(door, method, body):
    said = refused(door, method + b" /p HTTP/1.1\r\n" + HOST + body)
    assert said == f"{method.decode()} takes no body; put the fields into the query, or send the body with POST"
    assert door.echo.seen == []


def test_a_get_that_says_it_has_no_body_is_one(door):
    assert door.talk(b"GET /p HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")[0][0] == 200


@pytest.mark.parametrize("piece", [b"x" * 200_000, b"x" * 70_000])
def test_an_address_that_is_too_long_is_told_of_post(door, piece):
    said = refused(door, b"GET /generate?noise=" + piece + b" HTTP/1.1\r\n" + HOST + b"\r\n", status=414)
    assert said == "the address is longer than 65535 bytes; send the fields as JSON in the body of a POST to its path"


def test_an_address_of_the_longest_is_taken(door):
    target = b"/p?" + b"x" * (2**16 - 4)
    (status, _, asked), _ = door.talk(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status == 200
    assert len(asked["query"]) == 2**16 - 4


@pytest.mark.parametrize("headers", [b"X: " + b"x" * 70_000, b"\r\n".join([b"X: y"] * 2000), b"X: " + b"x" * 10**6])
def test_headers_that_are_too_large_are_refused(door, headers):
    assert "the headers are larger than 65536 bytes" in refused(door, POST + headers + b"\r\n\r\n", status=431)
    assert door.echo.seen == []


@pytest.mark.parametrize("endless", [b"1;" + b"x" * 10**6, b"0\r\nX: " + b"x" * 10**6, b"0\r\n" + b"X: y\r\n" * 10**5])
def test_extensions_and_trailers_do_not_fill_the_memory(door, endless):
    with door.connect() as connection:
        connection.sendall(CHUNKED)
        connection.sendall(endless)
        ((status, _, _),) = answers(connection)
    assert status == 431


def test_a_body_in_chunks_of_one_byte_is_taken(door):
    (status, _, asked), _ = door.talk(CHUNKED + b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n")
    assert status == 200
    assert len(asked["body"]) == 200_000


def test_pipelined_requests_are_answered_in_turn_and_a_refusal_after_them(door):
    waiting = b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n"
    for bad, status in ((b"GET /2 BAD\r\n\r\n", 400), (CHUNKED + b"x", 400), (b"GET /2 HTTP/2.0\r\n\r\n", 505)):
        door.echo.seen.clear()
        with door.connect() as connection:
            connection.sendall(waiting + b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n" + bad)
            time.sleep(0.02)
            assert door.talk(b"GET /go HTTP/1.1\r\n" + HOST + b"\r\n")[0][0] == 200
            found = answers(connection)
        assert [one for one, _, _ in found] == [200, 200, status]
        assert [asked.get("path") for _, _, asked in found] == ["/wait", "/1", None]
        assert "POST /p" not in door.echo.seen


def test_a_pipeline_has_an_end(door):
    with door.connect() as connection:
        connection.sendall((b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n") * 1000)
        time.sleep(0.02)
        assert door.talk(b"GET /go HTTP/1.1\r\n" + HOST + b"\r\n")[0][0] == 200
        found = answers(connection)
    assert [one for one, _, _ in found] == [200] * 65 + [429]
    assert found[-1][1]["retry-after"] == "1"


def test_one_who_pipelines_and_leaves_ends_the_request_being_answered(door):
    door.echo.left.clear()
    with door.connect() as connection:
        connection.sendall(b"GET /listen HTTP/1.1\r\n" + HOST + b"\r\nGET /1 HTTP/1.1\r\n" + HOST + b"\r\n")
    assert door.echo.left.wait(20)
    assert door.echo.seen == ["GET /listen"]


@pytest.mark.parametrize("size", [10, 200_000, 8_000_000])
def test_one_who_leaves_after_a_body_of_any_size_ends_the_work(door, size):
    door.echo.left.clear()
    with door.connect() as connection:
        connection.sendall(b"POST /work HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        deadline = time.monotonic() + 20
        while not door.echo.seen and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # until it is at work
    assert door.echo.left.wait(20)


@pytest.mark.parametrize(
    "first", [b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"]
)
def test_nothing_is_read_after_the_last_request(door, first):
    ((status, headers, _),) = door.talk(first + b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n", last=b"")
    assert status == 200
    assert headers["connection"] == "close"
    assert door.echo.seen == ["GET /1"]


def test_half_a_body_is_none(door):
    door.echo.left.clear()
    with door.connect() as connection:
        connection.sendall(POST + b"Content-Length: 50\r\n\r\nhello")
        connection.shutdown(socket.SHUT_WR)
        assert answers(connection) == []
    assert door.echo.left.wait(20)


def test_the_rest_of_a_body_that_nobody_read_is_no_request(door):
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(hidden)
    early, last = door.talk(head, hidden)
    assert (early[2]["path"], last[2]["path"]) == ("/early", "/last")
    assert door.echo.seen == ["POST /early"]


def test_who_asks_before_sending_a_body_is_told_to_go_on(door):
    first, answer, _ = door.talk(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"hello")
    assert first[0] == 100
    assert answer[2]["body"] == "hello"


def test_who_asks_before_sending_a_body_and_is_not_told_is_left(door):
    head = b"POST /early HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with door.connect() as connection:
        connection.sendall(head)
        ((status, headers, _),) = answers(connection)
    assert status == 200
    assert headers["connection"] == "close"


def test_http_1_0_knows_of_no_continue(door):
    ((status, _, asked),) = door.talk(b"POST /p HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"hello")
    assert status == 200
    assert asked["body"] == "hello"


def test_every_byte_may_come_alone(door):
    request = POST + UPGRADES["java"] + BODIES["chunked"]
    (status, _, asked), _ = door.talk(*(bytes([byte]) for byte in request))
    assert status == 200
    assert asked["body"] == "hello"


def test_idle_connections_are_kept_for_as_long_as_is_set():
    with opened(keep_alive=0.2) as door:
        for sent in (b"", b"\r\n", b"GET /p HTTP/1.1\r\n" + HOST + b"\r\n"):
            with door.connect() as connection:
                connection.sendall(sent)
                assert len(answers(connection)) == sent.count(b"GET")
    assert Settings().keep_alive == 75
    with opened() as door, door.connect() as connection:
        connection.sendall(b"GET /p HTTP/1.1\r\n" + HOST + b"\r\n")
        assert connection.recv(10_000)
        (protocol,) = door.connections
        assert protocol.timeout_keep_alive == 75


def drip(connection):
    """Bytes without end."""
    connection.settimeout(0.02)
    came = b""
    while True:
        try:
            connection.sendall(b"x")
            more = connection.recv(10_000)
        except TimeoutError:
            continue
        except OSError:
            return came
        if not more:
            return came
        came += more


def test_a_head_that_does_not_end_is_given_up_however_often_it_goes_on():
    with opened(deadline=0.2) as door, door.connect() as connection:
        connection.sendall(b"GET /p HTTP/1.1\r\nX: ")
        answer = drip(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the request did not come within 0.2 s; send it again" in answer


def test_a_body_that_nobody_reads_is_given_up_however_often_it_goes_on():
    with opened(deadline=0.2) as door, door.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
        assert re.findall(rb"HTTP/1.1 (\d+)", drip(connection)) == [b"200"]


def test_a_connection_is_good_for_more_after_a_body_that_nobody_read():
    with opened(deadline=0.2) as door, door.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n")
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"hello")
        time.sleep(0.02)
        connection.sendall(b"world")
        time.sleep(0.3)  # longer than a request may take to come
        connection.sendall(LAST)
        assert [status for status, _, _ in answers(connection)] == [200]


@contextmanager
def asked(door, path):
    """A connection with little room for what comes, on which the path was asked for."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", door.port))
        connection.sendall(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        yield connection


def read(connection, pause=0.0):
    came = bytearray()
    while more := connection.recv(2**16):
        came += more
        time.sleep(pause)
    return bytes(came).partition(b"\r\n\r\n")[2]


def test_a_caller_who_does_not_read_is_cut_off():
    dropped = metrics().dropped.labels("not read")._value
    before = dropped.get()
    with opened(deadline=0.3) as door, asked(door, b"/large") as connection:
        gone = select.poll()
        gone.register(connection, 0)
        assert gone.poll(20_000)  # a port closed in the common way would first wait until all was read
        with pytest.raises(ConnectionResetError):
            read(connection)
        assert not door.connections
    assert dropped.get() == before + 1


def test_a_caller_who_reads_slowly_but_reads_is_not_cut_off():
    with opened(deadline=0.5) as door, asked(door, b"/large") as connection:
        started = time.monotonic()
        assert read(connection, pause=0.01) == LARGE
        assert time.monotonic() - started > 1  # twice the deadline


def test_time_in_which_nothing_is_sent_is_not_the_callers():
    with opened(deadline=0.2) as door, asked(door, b"/late") as connection:
        assert read(connection) == b"it is late"


def test_a_body_that_is_waited_for_is_given_up_however_often_it_goes_on():
    with opened(deadline=0.2) as door, door.connect() as connection:
        connection.sendall(POST + b"Content-Length: 1000000\r\n\r\n")
        answer = drip(connection)
        assert door.echo.left.wait(5)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the request did not come within 0.2 s; send it again" in answer


def test_a_request_that_waits_for_the_answer_to_another_has_time():
    with opened(deadline=0.2) as door, door.connect() as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + POST + b"Content-Length: 5\r\n\r\nhel")
        time.sleep(0.5)
        door.echo.seen.append("GET /go")
        connection.sendall(b"lo" + LAST)
        assert [status for status, _, _ in answers(connection)] == [200, 200, 200]


def test_a_body_that_stops_behind_the_answer_to_another_is_given_up():
    with opened(deadline=0.2) as door, door.connect() as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + POST + b"Content-Length: 5\r\n\r\nhel")
        time.sleep(0.3)
        door.echo.seen.append("GET /go")
        assert [status for status, _, _ in answers(connection)] == [200, 408]


@pytest.mark.parametrize("before", [b"", b"GET /p HTTP/1.1\r\n" + HOST + b"\r\n"])
def test_work_for_a_caller_who_leaves_ends(before):
    with opened() as door:
        with door.connect() as connection:
            connection.sendall(before + POST.replace(b"/p", b"/work") + b"Content-Length: 2\r\n\r\n{}")
            deadline = time.monotonic() + 10
            while "POST /work" not in door.echo.seen:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert not door.echo.left.wait(0.1)
        assert door.echo.left.wait(10)


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ("https://a.example https://pictures.example", "https://pictures.example"),
        ("*", "*"),
        ("https://a.example", None),
        ("", None),
    ],
)
def test_pages_that_may_call_can_read_refusals(monkeypatch, origins, allowed):
    monkeypatch.setenv("GAN_CORS_ORIGINS", origins)
    origin = b"Origin: https://pictures.example\r\n"
    late = [(408, POST + origin + b"Content-Length: 100\r\n\r\nhalf"), (408, POST + origin + b"Half: ")]
    unreadable = [
        (400, b"GET /p HTTP/1.1\r\n" + HOST + origin + b"Content-Length: 2\r\n\r\n{}"),
        (431, POST + origin + b"X: " + b"x" * 70_000 + b"\r\n\r\n"),
    ]
    if allowed in ("*", None):  # the target comes before the origin
        unreadable.append((414, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n" + HOST + origin + b"\r\n"))
    for deadline, requests in ((0.2, late), (30, unreadable)):
        with opened(deadline=deadline) as door:
            for status, request in requests:
                with door.connect() as connection:
                    connection.sendall(request)
                    ((found, headers, _),) = answers(connection)
                assert found == status
                assert headers.get("access-control-allow-origin") == allowed
                assert ("retry-after" in headers.get("access-control-expose-headers", "").lower()) == (allowed is not None)
                assert ("vary" in headers) == (origins != "")
