"""The measure that checkpoints and models are ranked by."""

import math
from collections.abc import Container, Mapping

_RANKED_BY = ("fid", "frechet")  # distances, of which a checkpoint has one


def distance(measures: Mapping[str, float]) -> float:
    """The measure that checkpoints are ranked by, less being better; infinite if it is missing or not finite."""
    found = measures.get(ranked_by(measures) or "", math.inf)
    return found if math.isfinite(found) else math.inf


def ranked_by(names: Container[str]) -> str | None:
    """Name of the measure, among these, that checkpoints and models are ranked by; None if there is none."""
    return next((name for name in _RANKED_BY if name in names), None)
