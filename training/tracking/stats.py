"""The rows of a run's statistics and warnings, in files of JSON lines."""

import json
from pathlib import Path
from typing import Any

STATS, WARNINGS = "stats.jsonl", "warnings.jsonl"  # in the folder of a run

HAS_ENDED = "training has ended: "  # begins the warning of a run that has diverged

_TAIL = 1 << 16  # bytes

Row = dict[str, Any]


def read_rows(file: Path) -> list[Row]:
    """The rows of a JSON lines file that have a number of images, sorted by it; other lines are ignored."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return _rows_in(text)


def read_last_rows(file: Path) -> list[Row]:
    """The rows at the end of a JSON lines file, as `read_rows` returns them, however long the file is."""
    try:
        with file.open("rb") as content:
            content.seek(max(file.stat().st_size - _TAIL, 0))
            return _rows_in(content.read().decode(errors="replace"))
    except OSError:
        return []


def share_done(config: Row, rows: list[Row]) -> float | None:
    """The share of a run that is done, by its images or its minutes; None where neither is known."""
    last = rows[-1] if rows else {}
    limits = (("pictures", config.get("images"), 1), ("seconds", config.get("minutes"), 60))
    shares = [
        float(last.get(name, 0)) / (unit * float(limit))
        for name, limit, unit in limits
        if limit is not None and is_number(limit) and limit > 0 and is_number(last.get(name, 0))
    ]
    return min(max(shares), 1.0) if shares else None


def is_number(value: Any) -> bool:
    """Whether a value of a file is a number that can be shown: 0 or more, finite and no longer than others."""
    return type(value) in (int, float) and 0 <= value < 1e18


def _rows_in(text: str) -> list[Row]:
    rows = []
    for line in text.split("\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # a last line cut short, most likely
            continue
        if isinstance(row, dict) and is_number(row.get("pictures")):
            rows.append(row)
    return sorted(rows, key=lambda row: float(row["pictures"]))


def last_protocol(rows: list[Row]) -> str | None:
    """The protocol of the last measured checkpoint; None where none was measured."""
    return next((str(row["protocol"]) for row in reversed(rows) if "protocol" in row), None)
