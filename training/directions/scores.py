"""Tables of attributes that people gave to images: which columns there are, and what their cells mean."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from training.data.dataset import nfc, slug
from training.data.tables import FILE, SEED, Table
from training.directions.attributes import Attribute
from training.directions.regression import Floats
from training.errors import UsageError

_FILLED = ":any"  # after a column's name: yes wherever its cell is not empty
_YES, _NO = {"yes", "true", "y", "1", "1.0"}, {"no", "false", "n", "0", "0.0", "-1", "-1.0"}
_MOST_VALUES = 30  # of a column of words, each of which has a direction of its own
_FEWEST = 10  # rows with a yes, and with a no
_LONGEST_NAME = 96  # letters, and a number of its own for one that is not the first of its name
_RARE = 0.01  # a share of yes, or of no, below which a class lacks the attribute


@dataclass(frozen=True)
class Target:
    """An attribute, and what the rows say of it."""

    attribute: Attribute
    values: Floats  # [rows]: numbers, or 1 for yes and 0 for no; NaN where it is not known


def targets(
    table: Table,
    wanted: Sequence[str] | None,  # columns; None: all
    classes: Sequence[str] | None,
    taken: Iterable[str] = (),  # names of other attributes
) -> tuple[list[Target], list[str]]:
    """The attributes in the columns wanted, or in all; returns them, and a sentence for each column that is passed over.

    Numbers are numbers; yes and no, true and false, 1 and 0 or -1 are yes or no; of other words each is an attribute of its own,
    and colours (#rrggbb) have their luminance beside that. An empty cell says nothing, but after `name:any` it is a no and any
    other a yes. Where a column has the names of `classes`, an attribute is followed in the classes whose rows differ in it.

    Raises UsageError for a column wanted that is not there, or that cannot be used.
    """
    of_classes = class_of_rows(table, classes)
    names = [name for name in table.columns if name not in (SEED, FILE)] if wanted is None else list(wanted)
    found: list[Target] = []
    passed = []
    for name in names:
        column = name.removesuffix(_FILLED)
        if column not in table.columns or column in (SEED, FILE):
            there = ", ".join(one for one in table.columns if one not in (SEED, FILE))
            raise UsageError(f"--columns: {table.path} has no column {column}, it has {there}")
        cells = [row.get(column, "") for row in table.rows]
        read = [_filled(column, cells)] if name.endswith(_FILLED) else _read(column, cells)
        reason = read if isinstance(read, str) else None
        usable = [] if isinstance(read, str) else [one for target in read if _differs(one := _in_classes(target, of_classes))]
        if not usable:
            reason = reason or "it is the same in all rows, or nearly so"
            if wanted is not None:
                raise UsageError(f"--columns: the column {column} of {table.path} cannot be used, since {reason}")
            passed.append(f"{column}: {reason}")
        found += usable
    return named_apart(found, taken), passed


def named_apart(found: Sequence[Target], taken: Iterable[str]) -> list[Target]:
    """The attributes, each with a name of its own: words of other scripts, or with signs, are spelled alike."""
    names, apart = set(taken), []
    for target in found:
        stem = target.attribute.name[:_LONGEST_NAME]
        name = next(name for name in chain([stem], (f"{stem}-{number}" for number in count(2))) if name not in names)
        names.add(name)
        apart.append(Target(replace(target.attribute, name=name), target.values))
    return apart


def _read(column: str, cells: Sequence[str]) -> list[Target] | str:
    """The attributes in a column; a reason if there are none."""
    known = {cell for cell in cells if cell}
    name = _name(column)
    if {cell.lower() for cell in known} <= _YES | _NO:
        values = [np.nan if not cell else float(cell.lower() in _YES) for cell in cells]
        return [Target(Attribute(name, f"{column}: from no to yes", yes_or_no=True), np.array(values))]
    try:
        numbers = np.array([float(cell) if cell else np.nan for cell in cells])
        if not np.isinf(numbers).any():
            return [Target(Attribute(name, f"{column}: from less to more"), numbers)]
    except ValueError:
        pass
    if len(known) > _MOST_VALUES:
        return f"it has {len(known)} different words, more than {_MOST_VALUES}; {column}{_FILLED} takes any of them for a yes"
    found = [_one_word(column, word, cells) for word in sorted(known)]
    if all(re.fullmatch("#[0-9a-fA-F]{6}", word) for word in known):
        luminance = {word: float(np.dot(ImageColor.getrgb(word)[:3], (0.299, 0.587, 0.114))) for word in known}
        values = [luminance[cell] if cell else np.nan for cell in cells]
        found.insert(0, Target(Attribute(f"{name}-light", f"{column}: from darker to lighter colours"), np.array(values)))
    return found


def _one_word(column: str, word: str, cells: Sequence[str]) -> Target:
    values = [np.nan if not cell else float(cell == word) for cell in cells]
    return Target(Attribute(f"{_name(column)}-{slug(word)}", f"{column}: towards {word}", yes_or_no=True), np.array(values))


def _filled(column: str, cells: Sequence[str]) -> Target:
    return Target(
        Attribute(_name(column), f"{column}: from none to some", yes_or_no=True), np.array([float(bool(c)) for c in cells])
    )


def _name(column: str) -> str:
    """hairColor and "Hair color" -> hair-color."""
    return slug(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", column))[:60]


def class_of_rows(table: Table, classes: Sequence[str] | None) -> NDArray[np.int64] | None:
    """The label of each row, [rows], if a column has the names of classes and nothing else."""
    if classes is None:
        return None
    numbers = {nfc(name): number for number, name in enumerate(classes)}
    for column in table.columns:
        cells = [nfc(row.get(column, "")) for row in table.rows]
        if all(cell in numbers for cell in cells):
            return np.array([numbers[cell] for cell in cells], np.int64)
    return None


def _in_classes(target: Target, of_classes: NDArray[np.int64] | None) -> Target:
    """The target, which names the classes that have the attribute, and knows nothing of rows of others."""
    if of_classes is None:
        return target
    having = [int(label) for label in np.unique(of_classes) if _differs(target, of_classes == label)]
    attribute = replace(target.attribute, classes=frozenset(having))
    return Target(attribute, np.where(np.isin(of_classes, having), target.values, np.nan))


def _differs(target: Target, rows: NDArray[np.bool_] | slice = slice(None)) -> bool:
    """Whether enough of these rows differ in it."""
    values = target.values[rows]
    known = values[~np.isnan(values)]
    if len(known) < 2 * _FEWEST:
        return False
    if not target.attribute.yes_or_no:
        return bool(known.std() > 1e-9 * max(float(np.abs(known).max()), 1e-12))
    return bool(min(known.sum(), len(known) - known.sum()) >= max(_FEWEST, _RARE * len(known)))
