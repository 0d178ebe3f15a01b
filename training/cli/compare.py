"""The command that compares runs: `python -m training.compare`."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from gan.paths import UserPath
from training.cli.flags import Flags, parse, run_command

if TYPE_CHECKING:
    from training.tracking.history import RunHistory

_EXAMPLES = """examples:
  python -m training.compare runs/001-fashion-mnist-dcgan runs/002-fashion-mnist-sngan
  python -m training.compare runs/*-shoes-* --plot shoes.svg
"""


class _CommandLine(Flags):
    """Compare runs: a table of the best checkpoint of each, and a plot of quality over images seen and over minutes.

    The numbers are those measured at the checkpoints, to choose by; training.evaluate has those to report. Runs on other
    data, or under another protocol, get a table of their own, since their numbers do not compare.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    usage = "RUN ... [--flag value …]        (--help lists the flags)"

    runs: CliPositionalArg[list[UserPath]]
    """folders of runs; the others are compared with the first of each table"""
    minutes: float | None = Field(None, gt=0)
    """use only the checkpoints of the first so many minutes of training"""
    plot: UserPath = Path("comparison.png")
    """the file of the plot: .png, .svg or .pdf"""
    as_json: bool = Field(False, validation_alias="json")
    """print JSON instead of tables"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 for a command that cannot be carried out as given."""
    given = parse(_CommandLine, "training.compare", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    return run_command("training.compare", lambda: _compare(_CommandLine.model_validate(given)))


def _compare(command: _CommandLine) -> None:
    from training.tracking import history

    tables = history.group_by_protocol([history.read_history(folder, command.minutes) for folder in command.runs])
    history.plot(tables, command.plot)
    if command.as_json:
        print(json.dumps([_as_json(table) for table in tables], indent=2))
    else:
        print("\n\n".join(_as_table(table) for table in tables) + f"\n\nplot: {command.plot}")


def _rows(table: "list[RunHistory]") -> list[dict[str, Any]]:
    """A row for each run: its best checkpoint, and when it reached the distance of the first run's best one."""
    target = table[0].best.distance
    return [
        {
            "run": run.name,
            "pictures": run.best.images,
            "minutes": run.best.minutes,
            "of_pictures": run.points[-1].images,
            "of_minutes": run.points[-1].minutes,
            run.distance_name: run.best.distance,
            "precision": None if math.isnan(run.best.precision) else run.best.precision,
            "recall": run.best.recall,
            "minutes_to_the_first_runs_best": run.minutes_to(target),
        }
        for run in table
    ]


def _as_json(table: "list[RunHistory]") -> dict[str, Any]:
    return {"protocol": table[0].protocol, "real": table[0].real, "runs": _rows(table)}


def _as_table(table: "list[RunHistory]") -> str:
    first = table[0]
    head = [
        *("run", "pictures", "minutes", "of", first.distance_name, "precision", "recall"),
        f"minutes to {first.distance_name} {first.best.distance:.4g}",
    ]
    lines = [head]
    for row in _rows(table):
        reached = row["minutes_to_the_first_runs_best"]
        lines.append(
            [
                row["run"],
                f"{row['pictures']:,}",
                f"{row['minutes']:.1f}",
                f"{row['of_minutes']:.1f}",
                *("" if row[name] is None else f"{row[name]:.4g}" for name in (first.distance_name, "precision", "recall")),
                "not reached" if reached is None else f"{reached:.1f}",
            ]
        )
    real = [f"{first.real[name]:.4g}" if name in first.real else "" for name in (first.distance_name, "precision", "recall")]
    lines.append(["(real images)", "", "", "", *real, ""])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    return "\n".join([f"the best checkpoint of each run, by {first.protocol}", "", *text])
