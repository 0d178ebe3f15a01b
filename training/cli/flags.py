"""Flags of the commands from settings classes, and messages for wrong ones."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, PydanticBaseSettingsSource

from gan.errors import GanServiceError
from training.config.validation import reasons
from training.config.values import FORMER_NAMES, current_name


class Flags(BaseSettings):
    """Settings that come from flags only: an environment variable that happens to be called SEED or DATA must change nothing."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the flags as the only source."""
        return (sources["init_settings"],)


def parse(flags: type[Flags], program: str, examples: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Parse flags: the given ones, as text, by field name. Exits with a message for an unknown one, or for --help."""
    parser = argparse.ArgumentParser(
        f"python -m {program}",
        description=flags.__doc__,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    source = CliSettingsSource[argparse.ArgumentParser](
        flags,
        root_parser=parser,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_enforce_required=True,
    )
    for argument in arguments:
        if not _is_text(argument):  # a run records its settings in text files
            named = argument.encode("utf-8", "backslashreplace").decode()
            parser.error(f"{named}: this is no UTF-8 text; rename it, or give a link to it that has another name")
    source(args=[_renamed(argument) for argument in arguments])
    return dict(source())


def _renamed(argument: str) -> str:
    """A flag with its current name."""
    flag, equals, value = argument.partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    if not flag.startswith("--") or name not in FORMER_NAMES:
        return argument
    return f"--{current_name(name, flag).replace('_', '-')}{equals}{value}"


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


# What torch, oneDNN, CUDA and the loader of libraries say where others raise MemoryError
_OUT_OF_MEMORY = re.compile(
    "out of memory|allocate memory|could not create a (primitive|memory)|failed to map segment", re.IGNORECASE
)


def run_command(program: str, work: Callable[[], int | None], with_less_memory: str = "free some") -> int:
    """Run a command's work; returns its exit status, 0 if it has none, or that of the error, which is printed.

    `with_less_memory` is the remedy where there is not enough.
    """
    try:
        return work() or 0
    except ValidationError as error:
        print(explain(program, error), file=sys.stderr)
        return GanServiceError.exit_status
    except GanServiceError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_status
    except (MemoryError, RuntimeError, ImportError) as error:
        if not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        print(f"{program}: there is not enough memory ({reason}): {with_less_memory}", file=sys.stderr)
        return 1


def explain(program: str, error: ValidationError) -> str:
    """One line for each setting that is wrong, by the name of its flag."""
    return "\n".join(f"{program}: {reason}" for reason in reasons(error))
