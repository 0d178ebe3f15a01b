"""How the parts of an answer come to the connection."""

import asyncio

import pytest

from serving.http_writing import HeadWithBody

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Connection(asyncio.Transport):
    """Keeps what is written, piece by piece."""

    def __init__(self):
        super().__init__()
        self.pieces = []

    def write(self, data):
        self.pieces.append(bytes(data))

    def close(self):
        self.pieces.append("closed")


@pytest.fixture
def connection():
    return Connection()


def written(connection, *pieces):
    writing = HeadWithBody(connection)
    for piece in pieces:
        writing.write(piece)
    return writing


def test_a_head_waits_for_the_first_part_of_the_body(connection):
    writing = written(connection, HEAD)
    assert connection.pieces == []
    writing.write(b"a")
    writing.write(b"b")
    assert connection.pieces == [HEAD + b"a", b"b"]


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_head_without_a_body_is_sent_at_the_end(connection, end):
    writing = written(connection, HEAD)
    getattr(writing, end)()
    writing.flush()
    assert [piece for piece in connection.pieces if piece != "closed"] == [HEAD]
    assert connection.pieces[-1] == ("closed" if end == "close" else HEAD)


def test_a_caller_who_waits_for_100_continue_gets_it_at_once(connection):
    writing = written(connection, b"HTTP/1.1 100 Continue\r\n\r\n")
    assert connection.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    writing.write(HEAD)
    writing.write(b"a")
    assert connection.pieces[1:] == [HEAD + b"a"]
