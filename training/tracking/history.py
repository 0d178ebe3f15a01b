"""The measured checkpoints of runs: read from their statistics, grouped by protocol, and plotted."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from training.config.files import CONFIG
from training.errors import HistoryError
from training.evaluation.ranking import SPREAD, ranked_by, ranking
from training.tracking import stats
from training.tracking.plots import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORMATS = (".png", ".svg", ".pdf")
DISTANCE_TITLES = {"fid": "FID", "frechet": "Fréchet distance", "energy": "Energy distance"}


@dataclass(frozen=True)
class Point:
    """One measured checkpoint."""

    images: int
    minutes: float  # of training until then
    distance: float  # less is better
    precision: float  # nan where it was not measured
    recall: float
    spread: float = 0.0  # of the distance
    recall_spread: float = 0.0


@dataclass(frozen=True)
class RunHistory:
    """The checkpoints of a run that were measured under one protocol."""

    name: str
    protocol: str  # which names the data too
    distance_name: str  # fid, frechet or energy
    real: dict[str, float]  # the measures of real images
    mosaic: dict[str, float]  # and of mosaics of them
    points: list[Point]  # one or more, in the order of the images

    @property
    def best(self) -> Point:
        """The checkpoint that is exported: with the smallest distance, or a later one that is as good."""
        name = self.distance_name
        return self.points[ranking([{name: point.distance, f"{name}{SPREAD}": point.spread} for point in self.points])[0]]

    def minutes_to(self, distance: float) -> float | None:
        """Minutes of training until a checkpoint reached `distance`, or None if none did."""
        return next((point.minutes for point in self.points if point.distance <= distance), None)


def read_history(folder: Path, minutes: float | None = None) -> RunHistory:
    """The measured checkpoints of a run within its first `minutes`; of several protocols, those of the last one.

    Raises HistoryError if there is nothing to compare.
    """
    if not (folder / CONFIG).is_file():
        raise HistoryError(f"{folder} is no run: give the folders that training.run made, which hold {CONFIG}")
    rows = stats.read_rows(folder / stats.STATS)
    if any(ranked_by(row) and "protocol" not in row for row in rows):
        raise HistoryError(f"{folder} was measured by an older version: train it anew")
    rows = [row for row in rows if "protocol" in row and _is_whole(row)]
    if not rows:
        raise HistoryError(f"{folder} has no measured checkpoint yet: wait for its first, or see --checkpoint-every")
    protocol = stats.last_protocol(rows)
    rows = [row for row in rows if row["protocol"] == protocol]
    name = ranked_by(rows[-1])
    assert protocol is not None, "every row that is left has one"
    assert name is not None, "and a distance"
    points = [
        Point(
            *(row["pictures"], row["seconds"] / 60, row[name]),
            precision=row.get("precision", math.nan),
            recall=row["recall"],
            spread=row.get(f"{name}{SPREAD}", 0.0),
            recall_spread=row.get(f"recall{SPREAD}", 0.0),
        )
        for row in rows
        if math.isfinite(row[name]) and (minutes is None or row["seconds"] <= 60 * minutes)
    ]
    if not points:
        limit = "" if minutes is None else f" in its first {minutes:g} minutes: give more --minutes"
        raise HistoryError(f"{folder} has no checkpoint with a finite distance{limit}")
    real, mosaic = (
        {key.removesuffix(end): value for key, value in rows[-1].items() if key.endswith(end)} for end in ("_real", "_mosaic")
    )
    return RunHistory(folder.resolve().name, protocol, name, real, mosaic, points)


def _is_whole(row: stats.Row) -> bool:
    """Whether a checkpoint's row has all its numbers: a crash may leave incomplete rows."""
    needed = ("seconds", ranked_by(row) or "frechet", "recall", *({"precision"} & row.keys()))
    return all(type(row.get(name)) in (int, float) for name in needed)


def group_by_protocol(runs: Sequence[RunHistory]) -> list[list[RunHistory]]:
    """Group runs whose numbers compare: those under the same protocol, in the order in which they were given."""
    groups: dict[str, list[RunHistory]] = {}
    for run in runs:
        groups.setdefault(run.protocol, []).append(run)
    return list(groups.values())


def plot(groups: Sequence[Sequence[RunHistory]], path: Path) -> None:
    """Plot distance, precision and recall over images seen and over minutes, a pair of columns for each group.

    Raises HistoryError for an unknown kind of file, or one that cannot be written.
    """
    if path.suffix not in _FORMATS:
        raise HistoryError(f"--plot {path}: give a file that ends in {', '.join(_FORMATS)}")
    # Seconds to import, and for this alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * 2 * len(groups), 9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 2 * len(groups), squeeze=False, sharex="col")
    for number, group in enumerate(groups):
        titles = {"distance": DISTANCE_TITLES[group[0].distance_name], "precision": "precision", "recall": "recall"}
        columns = {"images": "images seen", "minutes": "minutes of training"}
        for (row, name), (column, across) in product(enumerate(titles), enumerate(columns)):
            panel = axes[row][2 * number + column]
            _draw_panel(panel, group, across, name)
            panel.set_ylabel(titles[name])
            if row == 2:
                panel.set_xlabel(columns[across])
        axes[0][2 * number].legend(fontsize="small")
        axes[0][2 * number].set_title("\n".join(textwrap.wrap(group[0].protocol, 70)), fontsize="x-small", loc="left")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise HistoryError(f"--plot {path}: cannot be written ({error.strerror}); give another file") from error


def _draw_panel(panel: "Axes", group: Sequence[RunHistory], across: str, name: str) -> None:
    """Plot one field of the points of all runs over another, and the level of real images."""
    for run in group:
        x, y = ([getattr(point, field) for point in run.points] for field in (across, name))
        panel.plot(x, y, marker=".", linewidth=1.4, label=run.name)
    real = group[0].real.get(group[0].distance_name if name == "distance" else name)
    if real is not None:
        panel.axhline(real, color="grey", linestyle="--", linewidth=1, label="real images")
    if name == "distance":
        panel.set_yscale("log")
    panel.grid(alpha=0.3)
    if across == "images":
        panel.xaxis.set_major_formatter(lambda images, _: count_text(images))
