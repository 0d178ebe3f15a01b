"""The measure that checkpoints and models are ranked by."""

import math
from collections.abc import Container, Mapping, Sequence

SPREAD = "_spread"  # ends the name of a measure's spread
_RANKED_BY = ("fid", "frechet", "energy")  # distances, of which a checkpoint has one


def distance(measures: Mapping[str, float]) -> float:
    """The measure that checkpoints are ranked by, less being better; infinite if it is missing or not finite."""
    found = measures.get(ranked_by(measures) or "", math.inf)
    return found if math.isfinite(found) else math.inf


def ranked_by(names: Container[str]) -> str | None:
    """Name of the measure, among these, that checkpoints and models are ranked by; None if there is none."""
    return next((name for name in _RANKED_BY if name in names), None)


def ranking(checkpoints: Sequence[Mapping[str, float]]) -> list[int]:
    """Indices of checkpoints, given by their measures, oldest first -> the best first.

    Those that are farther from the data than the nearest by no more than the spread of the difference are as good as that one:
    of these, later ones come first, since training rarely makes images worse. The others follow by their distance, and those
    without one at the end, later ones first.
    """
    newest_first = range(len(checkpoints))[::-1]
    distances = [distance(measures) for measures in checkpoints]
    nearest = min(newest_first, key=distances.__getitem__, default=0)

    def key(index: int) -> float:
        tied = math.hypot(*(_spread(checkpoints[one]) for one in (index, nearest)))
        return -1.0 if distances[index] - distances[nearest] <= tied else distances[index]

    return sorted(newest_first, key=key)


def _spread(measures: Mapping[str, float]) -> float:
    found = measures.get(f"{ranked_by(measures)}{SPREAD}", 0.0)
    return found if math.isfinite(found) else 0.0
