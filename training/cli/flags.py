"""Flags of the commands from settings classes, and messages for wrong ones."""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, NoReturn

from pydantic import ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, PydanticBaseSettingsSource

from gan.errors import GanServiceError
from training.config.validation import reasons
from training.config.values import FORMER_NAMES, current_name


class Flags(BaseSettings):
    """Settings that come from flags only: an environment variable that happens to be called SEED or DATA must change nothing."""

    headings: ClassVar[Mapping[str, str]] = {}  # of --help: the first setting of a group -> what the group is about
    usage: ClassVar[str] = "[--flag value …]"  # what follows the command
    leading: ClassVar[str] = ""  # the setting whose value may come first, without its flag

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the flags as the only source."""
        return (sources["init_settings"],)


def parse(flags: type[Flags], program: str, examples: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Parse flags: the given ones, as text, by field name. Exits with a message for an unknown one, or for --help."""
    parser = _Parser(
        f"python -m {program}",
        usage=f"python -m {program} {flags.usage}",  # all flags would fill a screen before the error
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
        add_argument_method=_Grouping(parser, flags.headings).add,
    )
    if flags.leading and arguments and not arguments[0].startswith("-"):
        if any(argument.partition("=")[0] == f"--{flags.leading}" for argument in arguments[1:]):
            parser.error(f"{arguments[0]}: --{flags.leading} is given twice; leave one of them out")
        arguments = [f"--{flags.leading}", *arguments]
    for argument in arguments:
        if not _is_text(argument):  # a run records its settings in text files
            named = argument.encode("utf-8", "backslashreplace").decode()
            parser.error(f"{named}: this is no UTF-8 text; rename it, or give a link to it that has another name")
    source(args=[_renamed(argument) for argument in arguments])
    return dict(source())


class _Parser(argparse.ArgumentParser):
    """Says of an unknown flag which one is meant."""

    def error(self, message: str) -> NoReturn:
        """Exit with the usage, the message and a guess."""
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        near = get_close_matches(unknown[1], self._option_string_actions, 1) if unknown else []
        super().error(message + (f"; did you mean {near[0]}?" if near else ""))


class _Grouping:
    """Adds each flag to the group under whose heading it comes."""

    def __init__(self, parser: argparse.ArgumentParser, headings: Mapping[str, str]) -> None:
        self._parser, self._headings = parser, headings
        self._group: argparse._ActionsContainer = parser

    def add(self, _: argparse.ArgumentParser, *names: str, **settings: Any) -> argparse.Action:
        """Add a flag, in the place of the parser's own method."""
        field = settings.get("dest")
        if (heading := self._headings.get(str(field))) is not None:
            self._group = self._parser.add_argument_group(heading)
        return self._group.add_argument(*names, **settings)


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
