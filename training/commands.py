"""What the commands share: flags from a settings class, and how a wrong one is said."""

import argparse
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, PydanticBaseSettingsSource


class Flags(BaseSettings):
    """Settings that come from flags only: an environment variable that happens to be called SEED or DATA must change nothing."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """The flags, and nothing else."""
        return (sources["init_settings"],)


def parse(flags: type[Flags], program: str, examples: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, as text, by field name. Exits with a message for one that is unknown, or for --help."""
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
    source(args=list(arguments))
    return dict(source())


def explain(program: str, error: ValidationError) -> str:
    """One line for each setting that is wrong, by the name of its flag."""
    found = []
    for item in error.errors():
        if item["loc"]:
            flag = f"--{str(item['loc'][0]).replace('_', '-')}: "
            found.append(f"{program}: {flag}{item['msg']}, not {str(item['input'])[:80]!r}")
        else:  # of several settings together, which the message names
            found.append(f"{program}: {item['msg'].removeprefix('Value error, ')}")
    return "\n".join(found)
