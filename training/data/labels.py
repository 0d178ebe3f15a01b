"""Files with the labels of images: StyleGAN's dataset.json, Hugging Face's metadata.jsonl and .csv."""

import codecs
import csv
import io
import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from training.data.dataset import nfc

LABEL_FILES = ("dataset.json", "metadata.jsonl", "metadata.csv")
_SEPARATORS = ",;\t"
_COLUMNS = ("label", "labels", "class", "class_name", "category")


@dataclass(frozen=True)
class Labels:
    """The labels in one file."""

    file: str  # its name, relative to the source
    labels: Mapping[str, str | None]  # by the name of the image, relative to the source and composed; None for no label
    unusable: str = ""  # the reason, if the labels cannot be classes

    def covers(self, name: str) -> bool:
        """Whether the file is for this image: one in the same folder, or deeper."""
        return PurePosixPath(self.file).parent in PurePosixPath(name).parents


def read_labels(name: str, content: bytes) -> Labels | None:
    """Read the labels in a file of this name; None if it has no labels. Raises ValueError if it is damaged."""
    text = as_text(content)
    kind = PurePosixPath(name).name.lower()
    rows = _of_stylegan(text) if kind == "dataset.json" else _of_hugging_face(text, is_csv=kind.endswith(".csv"))
    if rows is None:
        return None
    folder = PurePosixPath(name).parent
    files = [nfc((folder / file.replace("\\", "/")).as_posix()) for file, _ in rows]
    if (strange := next((label for _, label in rows if not _is_class(label)), None)) is not None:
        reason = f"its label {reprlib.repr(strange)} is neither a word nor a number, nor a list of zeros and one 1"
        return Labels(name, dict.fromkeys(files), reason)
    return Labels(name, {file: _text(label) for file, (_, label) in zip(files, rows, strict=True)})


def as_text(content: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 as spreadsheets write it. Raises ValueError for other encodings."""
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8; save it as UTF-8") from error


def _of_stylegan(text: str) -> list[tuple[str, Any]] | None:
    """Read {"labels": [["00000/img00000000.png", 6], …]}, or null for none."""
    found = json.loads(text)
    if not isinstance(found, dict) or "labels" not in found:
        return None
    pairs = found["labels"] or []
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    if not isinstance(pairs, list) or any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
        raise ValueError('its labels are no list of pairs, such as ["00000/img00000000.png", 6]')
    return [(str(file), label) for file, label in pairs]


def _of_hugging_face(text: str, is_csv: bool) -> list[tuple[str, Any]] | None:
    """Read a row for each image, with file_name and a column called label or similar."""
    # Not by splitlines: a caption may contain what ends a line in Unicode, but not in JSON.
    rows = _table(text) if is_csv else [json.loads(line) for line in text.split("\n") if line.strip()]
    if any(not isinstance(row, dict) for row in rows):
        raise ValueError("not every line is an object")
    column = next((name for name in _COLUMNS if any(name in row for row in rows)), None)
    if column is None or not any("file_name" in row for row in rows):
        return None
    return list(_pairs(rows, column))


def _table(text: str) -> list[dict[str, Any]]:
    """Read the rows of a table with any usual separator; columns without a header are left out."""
    header = text.lstrip().partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    try:
        found = list(csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(error) from error
    # Tables have "2.0" for 2 where other cells of the column are empty.
    return [{name.strip().lower(): _whole(cell) for name, cell in row.items() if name is not None} for row in found]


def _whole(cell: Any) -> Any:
    return cell.partition(".")[0] if isinstance(cell, str) and re.fullmatch(r"-?\d+\.0+", cell) else cell


def _pairs(rows: list[dict[str, Any]], column: str) -> Iterator[tuple[str, Any]]:
    for row in rows:
        if row.get("file_name"):
            yield str(row["file_name"]), row.get(column)


def _is_class(label: Any) -> bool:
    return label is None or isinstance(label, str | int | float) or _is_one_of_many(label)


def _is_one_of_many(label: Any) -> bool:
    return isinstance(label, list) and sorted(label, key=str) == [0] * (len(label) - 1) + [1]


def _text(label: Any) -> str | None:
    """The name of a label: a word or a whole number, or a list of numbers of which one is 1 and the others 0."""
    if label is None or label == "" or (isinstance(label, float) and math.isnan(label)):
        return None
    if isinstance(label, list):
        return str(label.index(1))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return nfc(str(label))
