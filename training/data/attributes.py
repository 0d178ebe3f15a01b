"""What the images of a set show, by a table of attributes, for a generator that shall show each as often."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ImageColor

from gan.attribute_table import AttributeTable
from training.data.dataset import Attributes, Dataset, nfc
from training.data.tables import FILE, Table, read_table
from training.errors import UsageError

_COLOUR, _NUMBER = re.compile("#[0-9a-fA-F]{6}"), re.compile(r"[-+]?\d+(\.\d*)?")
_MOST_VALUES = 100  # of a column, in any class
_NAMED = 3  # files, at most, in messages


def with_attributes(dataset: Dataset, path: Path, wanted: Sequence[str]) -> Dataset:
    """The set with what its images show by a table that has a row for each, in the columns `wanted`; or, if none is, in all.

    Each different cell is a value, the empty one too, and a number is a word. All columns are those that have 2 to 100 values in
    some class. Raises UsageError, which names --attributes or --attribute-columns.
    """
    table = read_table(path)
    if table.key != FILE:
        raise UsageError(f"--attributes: {path} is about images of seeds: give a table with a column called {FILE}")
    if dataset.names_file is None:
        raise UsageError(f"--attributes: {path} names files, and {dataset.name} has none: give a folder or a zip file with --data")
    rows = {nfc(row[FILE].replace("\\", "/")): row for row in table.rows}
    names = [json.loads(line) for line in dataset.names_file.read_text().splitlines()]
    of_images = [rows.get(name) for name in names]
    if missing := [place for place, row in enumerate(of_images) if row is None]:
        listed = ", ".join(names[place] for place in missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        raise UsageError(
            f"--attributes: {path} has no row for {len(missing):,} of {len(names):,} images of --data, whose names relative to it "
            f"belong into its column {FILE}: {listed}"
        )
    found = [row for row in of_images if row is not None]
    labels = np.zeros(len(found), np.int64) if dataset.labels is None else dataset.labels
    classes = range(len(dataset.classes) or 1)
    counts = {
        column: [Counter(row.get(column, "") for row, label in zip(found, labels, strict=True) if label == of) for of in classes]
        for column in _known(table, wanted)
    }
    columns = _usable(table, counts, required=bool(wanted))
    orders = {column: [_arranged(of_class) for of_class in counts[column]] for column in columns}
    places = np.empty((len(found), len(columns)), np.int16)
    for number, column in enumerate(columns):
        ranks = [{value: rank for rank, value in enumerate(order)} for order in orders[column]]
        places[:, number] = [ranks[label][row.get(column, "")] for row, label in zip(found, labels.tolist(), strict=True)]
    shares = [
        [{value: counts[column][of][value] / counts[column][of].total() for value in orders[column][of]} for column in columns]
        for of in classes
    ]
    about = AttributeTable(columns=columns, shares=shares)
    return replace(dataset, attributes=Attributes(about, places), notes=(*dataset.notes, _note(about)))


def _known(table: Table, wanted: Sequence[str]) -> list[str]:
    there = [column for column in table.columns if column and column != FILE]
    if unknown := [column for column in wanted if column not in there]:
        raise UsageError(f"--attribute-columns: {table.path} has no column {unknown[0]}, it has {', '.join(there)}")
    return list(dict.fromkeys(wanted)) or there


def _usable(table: Table, counts: dict[str, list[Counter[str]]], required: bool) -> list[str]:
    """The columns with 2 to 100 values in some class and no more in any."""
    usable = []
    for column, of_classes in counts.items():
        most = max(map(len, of_classes))
        if 1 < most <= _MOST_VALUES:
            usable.append(column)
        elif required:
            reason = "one value in each class" if most == 1 else f"{most:,} values in a class, more than {_MOST_VALUES}"
            raise UsageError(f"--attribute-columns: {column} of {table.path} has {reason}: leave it out")
    if not usable:
        raise UsageError(f"--attributes: {table.path} has no column with 2 to {_MOST_VALUES} values in a class, beside {FILE}")
    return usable


def _arranged(counts: Counter[str]) -> list[str]:
    """The values in the order in which a rising component chooses them, such that moves along it and truncation mean something.

    The empty one is first, so that a move upwards adds what an image has not; numbers are in their order, colours from dark to
    light. Of other words the most frequent is in the middle, which a truncated latent vector chooses.
    """
    words = [value for value in counts if value]
    if all(_COLOUR.fullmatch(word) for word in words):
        words.sort(key=lambda word: (np.dot(ImageColor.getrgb(word)[:3], (0.299, 0.587, 0.114)), word))
    elif all(_NUMBER.fullmatch(word) for word in words):
        words.sort(key=lambda word: (float(word), word))
    else:
        words.sort(key=lambda word: (-counts[word], word))
        words = words[1::2][::-1] + words[::2]
    return [""] * ("" in counts) + words


def _note(table: AttributeTable) -> str:
    of_columns = zip(table.columns, table.counts.max(0).tolist(), strict=True)
    return f"attributes to show: {', '.join(f'{column} ({most} values)' for column, most in of_columns)}"
