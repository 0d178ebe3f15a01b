"""Checks of a request's head that llhttp does not make, so that a proxy before us reads it as we do (RFC 9112)."""

import re
from http import HTTPStatus

import httptools

from serving.errors import RequestError

_UNENCODED = re.compile("Invalid char in url|Expected HTTP/")  # of llhttp's messages
_HOST = re.compile(rb"[\w.~!$&'()*+,;=%:\[\]-]*")  # RFC 3986's host and port


def check_head(method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
    """The target as a path with its query, and whether a body is announced. Names of headers are in lower case.

    Raises RequestError; 400 for what can be read in two ways.
    """
    if version not in ("1.0", "1.1"):
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"HTTP/{version} is not spoken here; use HTTP/1.1")
    if method == b"CONNECT":
        raise RequestError(HTTPStatus.NOT_IMPLEMENTED, "CONNECT is for proxies, and this is none; send the request itself")
    hosts, codings, length = [], [], b""
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value.lower())
        elif name == b"content-length":
            length = value  # llhttp has refused a second, any beside a coding, and any that is not one plain number
    _check_host(hosts, version)
    _check_codings(codings, version)
    announces_body = bool(codings or length.strip(b"0"))
    if announces_body and method in (b"GET", b"HEAD"):
        raise _bad(f"{method.decode()} takes no body; put the fields into the query, or send the body with POST")
    return _origin_form(target, method), announces_body


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The head of a request as bytes, but for what offers another protocol."""
    line = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
    kept = (b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade")
    return line + b"".join(kept) + b"\r\n"


def unreadable(error: httptools.HttpParserError, method: bytes) -> RequestError:
    """The refusal of what the parser could not read, or of what a check that it called has refused."""
    if isinstance(error.__context__, RequestError):
        return error.__context__
    if method == b"PRI":
        return RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/2 is not spoken here; use HTTP/1.1")
    if _UNENCODED.match(str(error)):
        return _bad(
            "the address has a space or another character that must be percent-encoded, as %20 and %C3%A9 for é; "
            "curl does that by --get --data-urlencode 'label=…'"
        )
    return _bad(f"this is not HTTP/1.1: {error}")


def too_slow(seconds: float) -> RequestError:
    """The refusal of a request that did not come whole by the deadline."""
    return RequestError(HTTPStatus.REQUEST_TIMEOUT, f"the request did not come within {seconds:g} s; send it again")


def _check_host(hosts: list[bytes], version: str) -> None:
    if len(hosts) != 1 and (hosts or version == "1.1"):
        raise _bad(f"{len(hosts)} Host headers; send one")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise _bad("the Host header is no host; send a name or an address, and after a colon the port")


def _check_codings(codings: list[bytes], version: str) -> None:
    if codings and version == "1.0":
        raise _bad("HTTP/1.0 has no Transfer-Encoding; send Content-Length, or use HTTP/1.1")
    if codings and codings != [b"chunked"]:
        ends_with_chunked = codings[-1].rpartition(b",")[2].strip() == b"chunked"
        status = HTTPStatus.NOT_IMPLEMENTED if ends_with_chunked else HTTPStatus.BAD_REQUEST
        raise RequestError(status, "the only Transfer-Encoding taken here is chunked; send that, or Content-Length")


def _origin_form(target: bytes, method: bytes) -> bytes:
    """The path and the query of a target in origin, absolute or asterisk form. Raises RequestError."""
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    if not target.lower().startswith((b"http://", b"https://")):
        raise _bad("the request's target is neither a path nor an http address; begin it with /")
    _, _, rest = target.partition(b"://")
    start = min((at for at in (rest.find(mark) for mark in (b"/", b"?", b"#")) if at >= 0), default=len(rest))
    return rest[start:] if rest[start : start + 1] == b"/" else b"/" + rest[start:]


def _bad(detail: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, detail)
