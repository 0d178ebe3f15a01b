"""Validation of settings: what is wrong, in sentences that name the flag and the file."""

import reprlib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.config.schema import TrainingConfig
from training.config.settings import Settings
from training.errors import UsageError

_SHOWN = 200  # letters of a value

_PATTERNS = {  # what the patterns of settings mean
    "name": "take small letters, digits, dots, hyphens and underscores, at most 100, of which the first is a letter or a digit",
    "codes": "take names of small letters, each with its number of kinds or without, such as kind=10,slant",
}


def validated(settings: dict[str, Any], file: Path | None, in_file: Collection[str]) -> TrainingConfig:
    """Validate settings. Raises UsageError, which names the file for those settings that come from it."""
    try:
        Settings.model_validate(settings)  # at once, where the networks need torch to be imported
        return TrainingConfig.model_validate(settings)
    except ValidationError as error:
        raise UsageError("\n".join(reasons(error, file, in_file))) from error


def reasons(error: ValidationError, file: Path | None = None, in_file: Collection[str] = ()) -> list[str]:
    """What is wrong, each setting by the name of its flag, and with its file if it is one of those `in_file`."""
    found = []
    for item in error.errors():
        if not item["loc"]:  # about several settings together, which the message names
            found.append(item["msg"].removeprefix("Value error, ") + (f" (in {file})" if in_file else ""))
            continue
        name, value = str(item["loc"][0]), item["input"]
        given = repr(value[:80]) if isinstance(value, str) else reprlib.repr(value)
        given = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"  # lists in lists, of which each is shortened
        said = _PATTERNS.get(name) if item["type"] == "string_pattern_mismatch" else None
        text = f"--{name.replace('_', '-')}: {said or item['msg'].removeprefix('Value error, ')}, not {given}"
        found.append(text + (f" (in {file}: {_remedy(item['type'], value, name)})" if name in in_file else ""))
    return found


def _remedy(kind: str, value: Any, name: str) -> str:
    """The remedy for a value in a file, which may have types that a command line does not have."""
    if kind == "extra_forbidden":
        near = get_close_matches(name.lower(), TrainingConfig.model_fields, 1)
        guess = f"; did you mean {near[0]}?" if near else ""
        return f"there is no such setting {name}; `python -m training.run --help` lists them, and some are flags only{guess}"
    if value is None:
        return f"leave the line of {name} out to have its default, and write a value that begins with # in quotes"
    if kind == "string_type" and not isinstance(value, (list, dict)):
        return f"write the value of {name} in quotes"
    return f"give {name} one value, as --help shows"
