"""The access log: one line of JSON for each request, written by a thread, since standard output may block."""

import json
import logging
import os
import queue
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from gan.errors import GanServiceError
from serving.request_record import RequestRecord

STANDARD_OUTPUT = Path("-")
_MOST_WAITING = 10_000  # lines; more are counted instead of kept, if nobody reads what is written

_log = logging.getLogger("bentoml.gan")


class AccessLogError(GanServiceError):
    """A file that the access log cannot be written to."""


class AccessLog:
    """Writes each line in one piece, so that those of several workers do not mix."""

    def __init__(self, path: Path) -> None:
        """Appends to the file, or to standard output for `-`. Raises AccessLogError."""
        self._file = open_log(path)
        self._lines: queue.SimpleQueue[RequestRecord | None] = queue.SimpleQueue()
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, record: RequestRecord) -> None:
        """Let a line be written. Never waits: where too many wait already this one is lost, and the log says how many were."""
        if self._lines.qsize() < _MOST_WAITING:
            self._lines.put(record)
        else:
            self._lost += 1

    def close(self, patience: float = 5.0) -> None:
        """Write what waits, for at most so many seconds."""
        self._lines.put(None)
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            while (record := self._lines.get()) is not None:
                self._write(line(record))
                lost, self._lost = self._lost, 0
                if lost:
                    self._write({"time": _time(record.time), "lost": lost})
        except OSError as error:  # a full disk, or nobody who reads
            _log.error("requests are answered, but the access log has ended (%s)", error.strerror)

    def _write(self, fields: dict[str, object]) -> None:
        data = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
        while data:
            data = data[os.write(self._file, data) :]


def open_log(path: Path) -> int:
    """A file descriptor to append to. Raises AccessLogError."""
    if path == STANDARD_OUTPUT:
        return sys.stdout.fileno()
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    except OSError as error:
        raise AccessLogError(
            f"GAN_ACCESS_LOG: cannot write to {path} ({error.strerror}); name a file, or - to write to standard output"
        ) from None


def line(record: RequestRecord) -> dict[str, object]:
    """The fields of a line; null where something is not known, or not part of such a request."""
    queued = [end - begin for stage, begin, end in record.stages if stage == "queue"]
    fields: dict[str, object] = {
        "time": _time(record.time),
        "id": record.id,
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "seconds": round(record.ended - record.began, 6),
        "bytes": record.sent,
        "model": record.model,
        "images": record.images,
        "queue_seconds": round(sum(queued), 6) if queued else None,
    }
    return fields if record.trace_id is None else {**fields, "trace_id": record.trace_id}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
