"""Which checkpoints a report points out: the nearest to the data, and the one that is exported."""

from dataclasses import dataclass

from training.tracking.history import Point, RunHistory
from training.tracking.plots import Plot, count_text, number_text


@dataclass(frozen=True)
class Mark:
    """A checkpoint to point out in the chart of distances."""

    kind: str  # nearest, exported or both
    images: int  # seen until then
    distance: float
    text: str  # for the legend


def marks_of(history: RunHistory, exported: int | None, *, exports: bool) -> list[Mark]:
    """The checkpoint nearest to the data and the one that is exported, one mark where they are the same.

    `exported` is how many images the exported one has seen; None where nothing is exported yet, and then the best one is what would
    be. A run that never `exports` has the nearest alone.
    """
    nearest = min(history.points, key=lambda point: point.distance)
    if not exports:
        return [_mark("nearest", nearest, "nearest to the data")]
    chosen = next((point for point in history.points if point.images == exported), None)
    what = "exported" if chosen is not None else "what would be exported now"
    chosen = chosen or history.best
    if chosen == nearest:
        return [_mark("both", nearest, f"nearest to the data, and {what}")]
    why = ", since as near to within the spread" if exported is None or chosen == history.best else ""
    return [_mark("nearest", nearest, "nearest to the data"), _mark("exported", chosen, what + why)]


def place(plot: Plot, mark: Mark) -> tuple[float, float]:
    """Where a mark lies in a plot, in percent from the left and from the top."""
    (left, right), (low, high) = plot.images, plot.values
    down = 100 * (high - mark.distance) / (high - low)
    return 100 * (mark.images - left) / (right - left), min(max(down, 0.0), 100.0)


def _mark(kind: str, point: Point, text: str) -> Mark:
    return Mark(kind, point.images, point.distance, f"{text}: {number_text(point.distance)} after {count_text(point.images)}")
