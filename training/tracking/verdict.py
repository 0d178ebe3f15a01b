"""What the measures of a run come to, in sentences for people."""

import math
from collections.abc import Sequence
from pathlib import Path

from gan.manifest_parts import Metric
from training.errors import HistoryError
from training.evaluation import deviations
from training.tracking.history import DISTANCE_TITLES, Point, read_history

_CLOSE = 1.5  # times the distance of real images


def verdict(folder: Path, metrics: Sequence[Metric]) -> list[str]:
    """How good the model of a run is, beside real images, and whether it was still getting better; empty without measures."""
    try:
        history = read_history(folder)
    except HistoryError:
        return []
    name, best = history.distance_name, history.best
    real, mosaic = history.real.get(name), history.mosaic.get(name)
    said = []
    if real is not None:
        value = deviations.format_value(best.distance, best.spread or None)
        said.append(
            f"{DISTANCE_TITLES[name]} {value}, where other real images have {real:.3g}{_place(best.distance, real, mosaic)}"
        )
    found = {metric.name: metric for metric in metrics}
    if (labels := found.get("label_accuracy")) is not None and labels.real is not None:
        said.append(f"labels are right for {labels.value:.0%} of the images, by a classifier that is right for {labels.real:.0%}")
    if (copies := found.get("memorised")) is not None and copies.value > 0.05:
        said.append(f"{copies.value:.0%} of the images are nearly copies of training images: nearest.png has the nearest pairs")
    if (trend := _trend(history.points)) is not None:
        said.append(trend)
    return said


def is_getting_better(points: Sequence[Point]) -> bool | None:
    """Whether the last third of the checkpoints was better than the third before, by more than the spread; None of fewer than 3.

    Better is nearer to the data, or of more variety at no greater distance: the best of each third is compared.
    """
    if len(points) < 3:
        return None
    third = len(points) // 3
    before, after = (min(some, key=lambda point: point.distance) for some in (points[-2 * third : -third], points[-third:]))
    nearer, spread = before.distance - after.distance, math.hypot(before.spread, after.spread)
    more, recall_spread = after.recall - before.recall, math.hypot(before.recall_spread, after.recall_spread)
    return nearer > spread or (nearer > -spread and more > recall_spread)


def _place(value: float, real: float, mosaic: float | None) -> str:
    if value <= _CLOSE * real:
        return ": close to them"
    if mosaic is None or mosaic <= real:
        return f": {value / real:.2g} times as far"
    if value >= mosaic:
        return f" and mosaics of their parts {mosaic:.3g}: no better than those yet"
    # By logarithms, as distances shrink: to halve one is about as hard whatever it is.
    share = math.log(mosaic / value) / math.log(mosaic / max(real, 1e-9))
    return f" and mosaics of their parts {mosaic:.3g}: {share:.0%} of the way, by orders of magnitude, from these to those"


def _trend(points: Sequence[Point]) -> str | None:
    better = is_getting_better(points)
    if better is None:
        return None
    return (
        "it was still getting better: longer training is worth it"
        if better
        else "the last checkpoints differ by no more than their spread"
    )
