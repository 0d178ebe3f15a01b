"""Files that name the labels of the pictures beside them: StyleGAN's dataset.json, Hugging Face's metadata.jsonl and .csv."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from training.data.dataset import composed

LABEL_FILES = ("dataset.json", "metadata.jsonl", "metadata.csv")
_COLUMNS = ("label", "labels", "class", "class_name", "category")


@dataclass(frozen=True)
class Labels:
    """What one such file says."""

    file: str  # its name, relative to the source
    labels: Mapping[str, str | None]  # by the name of the picture, relative to the source and composed; None for no label

    def covers(self, name: str) -> bool:
        """Whether the file speaks of the picture: it lies in the same folder, or deeper."""
        return PurePosixPath(self.file).parent in PurePosixPath(name).parents


def read_labels(name: str, content: bytes) -> Labels | None:
    """The labels in a file of this name; None if it is of another kind, and has none. Raises ValueError if it is damaged."""
    text = content.decode("utf-8-sig")
    kind = PurePosixPath(name).name.lower()
    rows = _of_stylegan(text) if kind == "dataset.json" else _of_hugging_face(text, is_csv=kind.endswith(".csv"))
    if rows is None:
        return None
    folder = PurePosixPath(name).parent
    return Labels(name, {composed((folder / file.replace("\\", "/")).as_posix()): _text(label) for file, label in rows})


def _of_stylegan(text: str) -> list[tuple[str, Any]] | None:
    """{"labels": [["00000/img00000000.png", 6], …]}, or null for none."""
    found = json.loads(text)
    if not isinstance(found, dict) or "labels" not in found:
        return None
    pairs = found["labels"] or []
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    if not isinstance(pairs, list) or any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
        raise ValueError('its labels are no list of pairs, such as ["00000/img00000000.png", 6]')
    return [(str(file), label) for file, label in pairs]


def _of_hugging_face(text: str, is_csv: bool) -> list[tuple[str, Any]] | None:
    """A row for each picture, with file_name and a column that is called label or alike."""
    # Not by splitlines: a caption may hold what Unicode, but not JSON, takes for the end of a line.
    lines = text.split("\n")
    rows = list(csv.DictReader(io.StringIO(text))) if is_csv else [json.loads(line) for line in lines if line.strip()]
    if any(not isinstance(row, dict) for row in rows):
        raise ValueError("not every line is an object")
    column = next((name for name in _COLUMNS if any(name in row for row in rows)), None)
    if column is None or not any("file_name" in row for row in rows):
        return None
    return list(_pairs(rows, column))


def _pairs(rows: list[dict[str, Any]], column: str) -> Iterator[tuple[str, Any]]:
    for row in rows:
        if row.get("file_name"):
            yield str(row["file_name"]), row.get(column)


def _text(label: Any) -> str | None:
    """The name of a label: a word or a whole number, or a list of numbers of which one is 1 and the others 0."""
    if label is None or label == "" or (isinstance(label, float) and math.isnan(label)):
        return None
    if isinstance(label, list) and sorted(label, key=str) == [0] * (len(label) - 1) + [1]:
        return str(label.index(1))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    if isinstance(label, str | int | float):
        return composed(str(label))
    raise ValueError(f"its label {label!r} is neither a word nor a number, nor a list of zeros and one 1")
