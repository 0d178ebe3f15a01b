"""What runs came to, checkpoint by checkpoint: read from their statistics, sorted by how they were measured, and plotted."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import checkpoint
from training.log import STATS
from training.runs import CONFIG, DATA

_FORMATS = (".png", ".svg", ".pdf")


class MeasuredError(Exception):
    """Runs that cannot be compared; the message names the folder or the flag and the remedy."""


@dataclass(frozen=True)
class Point:
    """One measured checkpoint."""

    pictures: int
    minutes: float  # of training until then
    distance: float  # less is better
    precision: float
    recall: float


@dataclass(frozen=True)
class Measured:
    """A run, as far as it was measured under one protocol."""

    name: str
    data: str  # fingerprint of what it was trained on
    protocol: str
    distance_name: str  # fid or frechet
    real: dict[str, float]  # what real pictures get
    points: list[Point]  # one or more, in the order of the pictures

    @property
    def best(self) -> Point:
        """The checkpoint with the smallest distance."""
        return min(self.points, key=lambda point: point.distance)

    def minutes_to(self, distance: float) -> float | None:
        """Of training until a checkpoint was as good as that; None if none was."""
        return next((point.minutes for point in self.points if point.distance <= distance), None)


def read(folder: Path, minutes: float | None = None) -> Measured:
    """The measured checkpoints of a run, those of its first so many `minutes`; of several protocols, the last one's.

    Raises MeasuredError if there is nothing to compare.
    """
    if not (folder / CONFIG).is_file():
        raise MeasuredError(f"{folder} is no run: give the folders that training.run made, which hold {CONFIG}")
    rows = [row for row in _rows(folder / STATS) if "protocol" in row]
    if not rows:
        raise MeasuredError(f"{folder} has no measured checkpoint yet: wait for its first, or see --checkpoint-every")
    protocol = rows[-1]["protocol"]
    rows = [row for row in rows if row["protocol"] == protocol]
    name = next(name for name in checkpoint.RANKED_BY if name in rows[-1])
    points = [
        Point(row["pictures"], row["seconds"] / 60, row[name], row["precision"], row["recall"])
        for row in rows
        if math.isfinite(row[name]) and (minutes is None or row["seconds"] <= 60 * minutes)
    ]
    if not points:
        raise MeasuredError(f"{folder} has no measured checkpoint in its first {minutes:g} minutes: give more --minutes")
    real = {key.removesuffix("_real"): value for key, value in rows[-1].items() if key.endswith("_real")}
    return Measured(folder.resolve().name, _fingerprint(folder), protocol, name, real, points)


def alike(runs: Sequence[Measured]) -> list[list[Measured]]:
    """The runs in groups whose numbers compare: the same data under the same protocol. In the order in which they were given."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for run in runs:
        groups.setdefault((run.data, run.protocol), []).append(run)
    return list(groups.values())


def draw(groups: Sequence[Sequence[Measured]], path: Path) -> None:
    """Distance, precision and recall against pictures seen and against minutes, a pair of columns for each group.

    Raises MeasuredError for a kind of file that cannot be drawn, or a place that cannot be written to.
    """
    if path.suffix not in _FORMATS:
        raise MeasuredError(f"--plot {path}: give a file that ends in {', '.join(_FORMATS)}")
    # Seconds to import, and for this alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * 2 * len(groups), 9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 2 * len(groups), squeeze=False, sharex="col")
    for number, group in enumerate(groups):
        for row, (name, title) in enumerate(
            (("distance", _TITLES[group[0].distance_name]), ("precision", "precision"), ("recall", "recall"))
        ):
            for column, (across, label) in enumerate((("pictures", "pictures seen"), ("minutes", "minutes of training"))):
                place = axes[row][2 * number + column]
                for run in group:
                    x = [getattr(point, across) for point in run.points]
                    place.plot(x, [getattr(point, name) for point in run.points], marker=".", linewidth=1.4, label=run.name)
                real = group[0].real.get(group[0].distance_name if name == "distance" else name)
                if real is not None:
                    place.axhline(real, color="grey", linestyle="--", linewidth=1, label="real pictures")
                if name == "distance":
                    place.set_yscale("log")
                place.set_ylabel(title)
                place.grid(alpha=0.3)
                if row == 2:
                    place.set_xlabel(label)
                if across == "pictures":
                    place.xaxis.set_major_formatter("{x:,.0f}")
        axes[0][2 * number].legend(fontsize="small")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise MeasuredError(f"--plot {path}: cannot be written ({error.strerror}); give another file") from error


_TITLES = {"fid": "FID", "frechet": "Fréchet distance"}


def _rows(file: Path) -> list[dict[str, Any]]:
    """Those of a JSON lines file, but for a last line that is being written."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _fingerprint(folder: Path) -> str:
    try:
        return str(json.loads((folder / DATA).read_text())["fingerprint"])
    except (OSError, ValueError, KeyError) as error:
        raise MeasuredError(f"{folder / DATA} cannot be read ({error}): go on with the run (training.run --resume)") from error
