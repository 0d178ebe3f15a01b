"""A small server of a folder of runs: a page that lists them, and their reports. It reads files of runs, and writes nothing."""

import hashlib
import ipaddress
import json
import os
import re
import socket
import stat
import sys
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gan.model_folder import CARD
from training.tracking import frames, report
from training.tracking.stats import STATS, WARNINGS
from training.tracking.watching import describe, run_folders

_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".jsonl": "text/plain; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
# The files of a run that are served: no weights, and nothing else that may lie there.
_NAMES = {
    report.REPORT,
    report.REAL,
    report.NEAREST,
    frames.BACKDROP,
    STATS,
    WARNINGS,
    "config.yaml",
    "environment.json",
    f"model/{CARD}",
}
_NUMBERED = re.compile(r"samples-\d{1,18}\.png|points-\d{1,18}\.json")
_IDLE = 60  # seconds until a connection without a request is closed


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    type: str
    body: bytes
    tag: str | None = None  # its ETag
    location: str | None = None


class WatchServer(ThreadingHTTPServer):
    """The server of the runs in one folder."""

    daemon_threads = True

    def __init__(self, runs: Path, host: str, port: int) -> None:
        """Listen at `host` and `port`, 0 for a free one. Raises OSError."""
        self.runs, self.host = runs, host
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        """The page, for a browser on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a reader who leaves in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def answer(self, target: str) -> _Answer:
        """The answer to a GET request for a target such as /runs/001-ring-auto/."""
        try:
            path = unquote(urlsplit(target).path, errors="strict")
        except ValueError:
            return _refused(HTTPStatus.BAD_REQUEST, "this address cannot be read")
        if path == "/":
            return _written("text/html; charset=utf-8", report.render("watch.html"))
        if path == "/runs.json":
            runs = [describe(folder) for folder in run_folders(self.runs).values()]
            found = {"folder": str(self.runs.absolute()), "runs": runs}
            return _written("application/json", json.dumps(found, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))
        parts = path.split("/", 3)  # "", "runs", the run, and its file
        folder = run_folders(self.runs).get(parts[2]) if len(parts) > 2 and parts[1] == "runs" else None
        if folder is None:
            return _refused(HTTPStatus.NOT_FOUND, "there is no such run; / lists those there are")
        if len(parts) == 3:
            location = f"/runs/{quote(folder.name)}/"
            return _Answer(HTTPStatus.MOVED_PERMANENTLY, "text/plain; charset=utf-8", b"", location=location)
        file = parts[3] or report.REPORT
        if file not in _NAMES and not _NUMBERED.fullmatch(file):
            return _refused(HTTPStatus.NOT_FOUND, "this is no file of a run that is served")
        return _read(folder / file)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "training.watch", ""
    timeout = _IDLE
    server: WatchServer

    def do_GET(self) -> None:
        """Answer GET, and HEAD without the body."""
        if not _is_own(self.headers.get("Host", ""), self.server.host):
            # Another name is a page elsewhere that lets its own name stand for this machine, to read what is here (DNS rebinding).
            answer = _refused(HTTPStatus.FORBIDDEN, "open this page as 127.0.0.1 or localhost, by an SSH tunnel from elsewhere")
        else:
            try:
                answer = self.server.answer(self.path)
            except OSError as error:
                answer = _refused(HTTPStatus.SERVICE_UNAVAILABLE, f"the runs cannot be read: {error.strerror}")
        if answer.tag is not None and answer.tag in self.headers.get("If-None-Match", ""):
            answer = _Answer(HTTPStatus.NOT_MODIFIED, answer.type, b"", answer.tag)
        self.send_response(answer.status)
        headers = {**_SECURITY, "Content-Type": answer.type, "Content-Length": str(len(answer.body)), "Cache-Control": "no-cache"}
        for name, value in {**headers, "ETag": answer.tag, "Location": answer.location}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Write no line for each request: the page asks every few seconds."""


def _is_own(header: str, host: str) -> bool:
    """Whether a Host header names this machine by an IP address, as localhost, or as what the server listens at.

    No other site can have an address of this machine for its name; with any port, since that of a tunnel may be another.
    """
    name = header.rpartition(":")[0] if re.search(r":\d+$", header) else header
    name = name.removeprefix("[").removesuffix("]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in ("localhost", host.lower())
    return True


def _read(path: Path) -> _Answer:
    """A file, never one that a link leads to."""
    missing = _refused(HTTPStatus.NOT_FOUND, "there is no such file, or not yet")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return missing
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return missing
        return _Answer(HTTPStatus.OK, _TYPES[path.suffix], file.read(), f'"{status.st_mtime_ns:x}-{status.st_size:x}"')


def _written(kind: str, body: bytes) -> _Answer:
    return _Answer(HTTPStatus.OK, kind, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _refused(status: HTTPStatus, why: str) -> _Answer:
    return _Answer(status, "text/plain; charset=utf-8", f"{why}\n".encode())
