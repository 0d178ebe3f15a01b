"""Bounds in bytes on one HTTP request, beside its body: its target, its headers, and all that is sent around the body."""

from http import HTTPStatus

from serving.errors import RequestError

_LONGEST_TARGET = 2**16 - 1  # bytes; llhttp's parser of URLs counts with 16 bits
_LARGEST_HEADERS = 2**16  # bytes, and 32 more for each header, which is how HTTP/2 counts what a header costs
# Bytes of one request that are not its body: head, sizes of chunks and their extensions, trailers. Beside that, 16 for each byte of
# the body, so that a body may come in chunks of one byte.
_LARGEST_OVERHEAD, _OVERHEAD_OF_A_BYTE = 2**18, 16


class RequestSize:
    """Counts the bytes of the request that a connection is receiving."""

    def __init__(self) -> None:
        self._received = 0  # bytes that came last
        self._foreign = 0  # of those, bytes of the requests before this one
        self._headers = 0  # bytes of this request's headers, each with 32 more
        self.overhead = 0  # bytes of this request that are not its body; below zero while a long body may still have more

    def receive(self, n: int) -> None:
        """Note that so many bytes have come, and are about to be parsed."""
        self._received, self._foreign = n, 0

    def begin(self) -> None:
        """Start with a new request."""
        self.overhead, self._headers = -self._foreign, 0

    def check_target(self, target: bytes) -> None:
        """Bound the target. Raises RequestError, 414."""
        if len(target) > _LONGEST_TARGET:
            raise RequestError(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"the address is longer than {_LONGEST_TARGET} bytes; send the fields as JSON in the body of a POST to its path",
            )

    def add_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers. Raises RequestError, 431."""
        self._headers += len(name) + len(value) + 32
        if self._headers > _LARGEST_HEADERS:
            raise _too_large()

    def add_body(self, n: int) -> None:
        """Take so many bytes of the body from the overhead, and what may be sent around them."""
        self.overhead -= (1 + _OVERHEAD_OF_A_BYTE) * n

    def add_parsed(self, n: int) -> None:
        """Bound the overhead, once all that came has been parsed. Raises RequestError, 431."""
        self.overhead += n
        if self.overhead > _LARGEST_OVERHEAD:
            raise _too_large()

    def end(self) -> None:
        """End the request: what came before this point belongs to no later one."""
        self._foreign = self._received


def _too_large() -> RequestError:
    return RequestError(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"the headers are larger than {_LARGEST_HEADERS} bytes, or what is sent around the body is; send fewer",
    )
