"""The header Content-Disposition: file names for answers (RFC 6266)."""

import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import quote

_ENDINGS = {"jpeg": "jpg"}  # of formats whose ending is not their name
_ARCHIVES = ("zip", "npz")
_LONGEST_LABEL = 60  # letters; file systems take 255 bytes for a name


def stem(model: str, seeds: Sequence[int] | None, label: str | None) -> str:
    """A file name without its ending: the model's name, the first and the last seed, and the requested label."""
    if seeds is None:
        numbers = "noise"
    elif len(seeds) == 1:
        numbers = f"seed{seeds[0]:010d}"
    else:
        numbers = f"seeds{seeds[0]:010d}-{seeds[-1]:010d}"
    return "-".join([model, numbers, *([] if label is None else [_without_separators(label)])])


def content_disposition(stem: str, format: str) -> str:
    """The header's value: images and text are shown in the browser, archives are saved."""
    name = f"{stem}.{_ENDINGS.get(format, format)}"
    plain = re.sub(r"[^\w.() -]", "_", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
    disposition = f'{"attachment" if format in _ARCHIVES else "inline"}; filename="{plain}"'
    return disposition if plain == name else f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"


def _without_separators(label: str) -> str:
    """A class's name without the characters that file systems and shells treat specially."""
    return re.sub(r"""[\x00-\x1f\x7f/\\:*?"'<>|%$`;&]""", "_", unicodedata.normalize("NFC", label))[:_LONGEST_LABEL].strip(". ")
