"""Classes by their names, as people write these."""

import unicodedata
from collections import Counter
from collections.abc import Sequence


class ClassIndex:
    """Finds a class by its name. Names that look the same are the same, however their accents are encoded.

    So are names that differ in upper and lower case, unless two classes do.
    """

    def __init__(self, names: Sequence[str]) -> None:
        # Folders on a Mac have names in NFD, which nobody types. Where both forms name a class each, the exact name wins.
        self._index = {composed(name): index for index, name in enumerate(names)} | {
            name: index for index, name in enumerate(names)
        }
        folded = Counter(composed(name).casefold() for name in names)
        self._folded = {key: index for index, name in enumerate(names) if folded[key := composed(name).casefold()] == 1}

    def find(self, name: str) -> int | None:
        """The index of the class of this name; None if there is none."""
        other = composed(name)
        return self._index.get(name, self._index.get(other, self._folded.get(other.casefold())))


def composed(name: str) -> str:
    """A name in Unicode's composed form, NFC."""
    return unicodedata.normalize("NFC", name)
