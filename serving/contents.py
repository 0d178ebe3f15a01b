"""Decodes request bodies: content codings (RFC 9110, section 8.4), and JSON in other charsets than UTF-8 (RFC 8259)."""

import json
import zlib
from collections.abc import AsyncIterator
from http import HTTPStatus

from serving.errors import RequestError

_PIECE = 2**16  # bytes that are unpacked at once: a few compressed bytes may hold far more
_MOST_PARTS = 50  # members of a gzip file
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's values of wbits
_CODINGS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_CHARSETS = {
    **dict.fromkeys(("", "utf-8", "utf8", "us-ascii", "ascii"), "utf-8"),
    **dict.fromkeys(("utf-16", "utf-16le", "utf-16be", "utf-16-le", "utf-16-be"), "utf-16"),
    **dict.fromkeys(("utf-32", "utf-32le", "utf-32be", "utf-32-le", "utf-32-be"), "utf-32"),
    **dict.fromkeys(("iso-8859-1", "latin-1", "latin1"), "latin-1"),
}


def unpacked(chunks: AsyncIterator[bytes], content_encoding: str, most: int) -> AsyncIterator[bytes]:
    """A body without its content coding, in pieces of bounded size, so that the caller can stop at any of them.

    `most` bounds the bytes that are read. Raises RequestError: 415 for an unknown coding, 413 for too many bytes, and 400 for bytes
    that are not in this coding.
    """
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return chunks
    if coding not in _CODINGS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding: {content_encoding[:100]}: send the body in gzip or deflate, or as it is",
            headers={"Accept-Encoding": "gzip, deflate"},
        )
    return _unpacked(chunks, coding, most)


async def _unpacked(chunks: AsyncIterator[bytes], coding: str, most: int) -> AsyncIterator[bytes]:
    unpacker, parts, read = zlib.decompressobj(_CODINGS[coding]), 1, 0
    async for chunk in chunks:
        if coding == "deflate" and not read and chunk and not _looks_like_zlib(chunk):
            unpacker = zlib.decompressobj(_RAW)  # not deflate as the standard defines it, but as some programs send it
        read += len(chunk)
        if read > most:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most} bytes; ask for fewer images")
        rest, more = chunk, bool(chunk)
        while more:
            if unpacker.eof:  # a gzip file may have several members
                if coding == "deflate" or parts == _MOST_PARTS:
                    raise _not_so_coded(coding, "something follows its end")
                unpacker, parts = zlib.decompressobj(_CODINGS[coding]), parts + 1
            try:
                piece = unpacker.decompress(rest, _PIECE)
            except zlib.error:
                raise _not_so_coded(coding, "it cannot be unpacked") from None
            yield piece
            rest = unpacker.unconsumed_tail or unpacker.unused_data
            more = bool(rest) or (len(piece) == _PIECE and not unpacker.eof)  # zlib may have more to return
    if read and not unpacker.eof:
        raise _not_so_coded(coding, "it ends too early")


def _looks_like_zlib(chunk: bytes) -> bool:
    """By the first byte: 8 for deflate in its lower half, a window of at most 32 KiB in its upper."""
    return chunk[0] & 0x0F == 8 and chunk[0] >> 4 <= 7


def _not_so_coded(coding: str, reason: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, f"the body is not {coding}, which Content-Encoding says it is: {reason}")


def as_utf8(body: bytes, charset: str) -> bytes:
    """JSON in any encoding of Unicode -> JSON in UTF-8 without a byte order mark. `charset` is that of the Content-Type header.

    Raises RequestError: 415 for another charset, 400 for bytes that are not in that encoding.
    """
    family = _CHARSETS.get(charset.strip().strip('"').lower().replace("_", "-"))
    if family is None:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: charset={charset[:100]}: send JSON in UTF-8, without a charset"
        )
    # JSON begins with an ASCII character, whose zero bytes show the encoding.
    encoding = family if family == "latin-1" else json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    try:
        return body.decode(encoding).encode()
    except UnicodeError:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: it is not {encoding} all through; send UTF-8") from None
