"""The rows of a run's statistics and warnings, in files of JSON lines."""

import json
from pathlib import Path
from typing import Any

STATS, WARNINGS = "stats.jsonl", "warnings.jsonl"  # in the folder of a run

HAS_ENDED = "training has ended: "  # begins the warning of a run that has diverged

Row = dict[str, Any]


def read_rows(file: Path) -> list[Row]:
    """The rows of a JSON lines file that have a number of images, sorted by it; other lines are ignored."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # a last line cut short, most likely
            continue
        if isinstance(row, dict) and type(row.get("pictures")) in (int, float) and 0 <= row["pictures"] < 1e18:
            rows.append(row)
    return sorted(rows, key=lambda row: float(row["pictures"]))


def last_protocol(rows: list[Row]) -> str | None:
    """The protocol of the last measured checkpoint; None where none was measured."""
    return next((str(row["protocol"]) for row in reversed(rows) if "protocol" in row), None)
