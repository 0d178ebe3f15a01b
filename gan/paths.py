"""Paths as people write them, in flags, files of settings and environment variables, where no shell has expanded them."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator


def expand(path: str) -> str:
    """~ and ~user at the start, and $NAME and ${NAME} anywhere, as a shell takes them; other text stays as it is.

    A $NAME that the environment does not have stays too, since it may belong to the name. Raises ValueError for a user who is not
    there, and for an empty path, which would mean the current folder.
    """
    if not path:
        raise ValueError("is empty, as a variable that is not set: give a path, or . for the current folder")
    expanded = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111, pathlib has no words for ~ amid other text
    user = expanded.partition("/")[0]
    if user.startswith("~") and not os.path.lexists(user):
        raise ValueError(f"there is no user of the name {user[1:]!r} here; write the path in full, or ./{expanded} if it begins so")
    return expanded


def check_searchable(folder: Path) -> None:
    """Raises OSError for a folder in which nothing can be opened, even if the names in it can be read."""
    os.stat(f"{folder}/.")  # noqa: PTH116, Path leaves the dot out


def user_path(path: str) -> Path:
    """Expand a path as `expand` does. Raises ValueError as it does."""
    return Path(expand(path))


def _expand_text(path: Any) -> Any:
    return expand(path) if isinstance(path, str) else path


# Before it is a Path, which takes ./~ for ~.
UserPath = Annotated[Path, BeforeValidator(_expand_text)]
