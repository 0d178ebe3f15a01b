"""Labels of a request -> class indices in the manifest's list."""

import re
from typing import Any

from gan.class_names import ClassIndex, composed
from serving.errors import field_error
from serving.messages import shown


class ClassNames:
    """A model's classes by name, as requests name them."""

    def __init__(self, names: list[str], field: str = "label") -> None:
        """`field` is the one that errors name."""
        self._names, self._field, self._index = names, field, ClassIndex(names)
        self._most_commas = max(name.count(",") for name in names)

    def split(self, texts: list[str]) -> str | list[str]:
        """A query's labels, one or a list, split at the commas that are not part of a class's name."""
        labels = [label for text in texts for label in self._split(text)]
        return labels[0] if len(labels) == 1 else labels

    def index(self, label: int | str, in_query: bool) -> int:
        """The class that a label names: a number is an index and text a name; in a query, which is text, names go before indices.

        Raises RequestError.
        """
        if isinstance(label, str):
            index = self._find(label, in_query)
            if index is not None:
                return index
            number = _number(label)
            if number is None or not in_query:
                raise field_error((self._field,), self._no_such_class(label, number))
            label = number
        if label >= len(self._names):
            raise field_error((self._field,), f"must be an index from 0 to {len(self._names) - 1}, or a name, not {shown(label)}")
        return label

    def _split(self, text: str) -> list[str]:
        pieces, start, labels = text.split(","), 0, []
        while start < len(pieces):
            most = min(self._most_commas + 1, len(pieces) - start)
            candidates = (",".join(pieces[start : start + size]) for size in range(most, 1, -1))
            label = next((label for label in candidates if self._find(label, True) is not None), pieces[start])
            labels.append(label)
            start += label.count(",") + 1
        return labels

    def _find(self, label: str, in_query: bool) -> int | None:
        for text in (label, label.strip()) if in_query else (label,):
            if (index := self._index.find(text)) is not None:
                return index
        return None

    def _no_such_class(self, label: str, number: int | None) -> str:
        folded = composed(label).strip().casefold()
        near = next((name for name in self._names if composed(name).casefold() == folded), None)
        hint = "" if near is None else f"; did you mean {near!r}?"
        if number is not None and number < len(self._names):
            hint = f"; write {number} without quotes for the class of that index, {self._names[number]!r}"
        return f"there is no class {label[:100]!r}; there is {', '.join(map(repr, self._names))[:1000]}{hint}"


def _number(text: str) -> int | None:
    """The whole number that a label of digits stands for."""
    digits = text.strip().removesuffix(".0")
    return int(digits) if re.fullmatch("[0-9]{1,20}", digits) else None


def one_for_each(where: tuple[str, ...], given: Any, n: int) -> list[Any]:
    """A list with one value for each of n images, from one for all of them or one for each. Raises RequestError."""
    if not isinstance(given, list):
        return [given] * n
    if len(given) != n:
        raise field_error(
            where, f"has {len(given)} items for {n} image{'s' if n > 1 else ''}; give one for all, or as many as there are images"
        )
    return given
