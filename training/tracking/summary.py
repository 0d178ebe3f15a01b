"""What the curves of a run say, in three sentences for people who do not know GANs, from the run's own numbers."""

import math
from collections.abc import Sequence
from statistics import fmean

from training.tracking.history import RunHistory
from training.tracking.plots import number_text
from training.tracking.stats import HAS_ENDED, Row
from training.tracking.verdict import is_getting_better

_RECENT = 5  # rows whose mean stands for the present
_COLLAPSED = 0.5  # of the spread of real images, as training.engine.divergence has it
_CLOSE = 1.5  # times the distance of real images


def in_words(rows: Sequence[Row], warnings: Sequence[Row], history: RunHistory | None, things: str) -> list[str]:
    """Three sentences: on the two networks, on how near the data is, and on variety and what to do.

    `rows` and `warnings` are those of the run, `things` what it generates: images or points. Empty before the first statistics.
    """
    if not any("loss_d" in row for row in rows):
        return []
    return [_networks(rows, things), _distance(history, things), _variety(rows, warnings, history, things)]


def _networks(rows: Sequence[Row], things: str) -> str:
    """Who is ahead, by the probabilities that the discriminator gives, or its accuracy."""
    seen = f"{rows[-1]['pictures']:,.0f} {things}"
    about = f"One network makes {things} from random numbers, and another learns to tell them from real ones"
    real, fake = (_recent(rows, key) for key in ("d_real", "d_fake"))
    if real is not None and fake is not None:
        certain = f"it takes a real one for real with {real:.0%}, a generated one with {fake:.0%}"
        return f"{about}: after {seen} {certain}; {_ahead(real - fake)}."
    accuracy = [value for key in ("accuracy_held_out", "accuracy_fake") if (value := _recent(rows, key, 1)) is not None]
    if len(accuracy) == 2:
        return f"{about}: after {seen} it is right about {fmean(accuracy):.0%} of them; {_ahead(2 * fmean(accuracy) - 1)}."
    apart = _recent(rows, "logit_real"), _recent(rows, "logit_fake")
    if apart[0] is not None and apart[1] is not None:
        gap = number_text(apart[0] - apart[1])
        return f"{about}: after {seen} its score of real ones is higher by {gap}, a distance that the first network works to close."
    return f"{about}: they have seen {seen}."


def _ahead(gap: float) -> str:
    """What a gap between the answers for real and for generated ones means; 0 is guessing, 1 certainty."""
    if gap < 0.1:
        return "it can hardly tell them apart, which is the aim"
    if gap < 0.9:
        return "it can tell some of them apart, and from that the first one goes on learning"
    return "it is nearly certain, and the first one learns little from that"


def _distance(history: RunHistory | None, things: str) -> str:
    if history is None:
        return f"How near the generated {things} are to real ones is measured at checkpoints, of which there is none yet."
    about = f"The distance of generated {things} from real ones was"
    first, best = history.points[0], min(history.points, key=lambda point: point.distance)
    real = history.real.get(history.distance_name)
    beside = "" if real is None else f"; other real {things} have {number_text(max(real, 0.0))}"
    if len(history.points) == 1:
        return f"{about} {number_text(first.distance)} when it was first measured{beside}."
    if best == first:
        return f"{about} least at first, {number_text(first.distance)}, and has grown since{beside}."
    close = ": that is close" if real is not None and 0 < best.distance <= _CLOSE * real else ""
    return (
        f"{about} {number_text(first.distance)} at the first checkpoint and "
        f"{number_text(best.distance)} at the nearest one, after {best.images:,} {things}{beside}{close}."
    )


def _variety(rows: Sequence[Row], warnings: Sequence[Row], history: RunHistory | None, things: str) -> str:
    if warnings and str(warnings[-1].get("message", "")).startswith(HAS_ENDED):
        return "Training has ended before its time: the warning above has the reason and what to try."
    modes, there = (_recent(rows, key, 1) for key in ("modes", "modes_real"))
    spread = _recent(rows, "spread", 1)
    good = _recent(rows, "good", 1)
    if modes is not None and there is not None and good is not None:
        lost = "so some of the data is left out (mode collapse)" if modes < there else "so nothing of the data is left out"
        covered = f"Generated points lie in {modes:.0f} of the {there:.0f} places (modes) where real ones do"
        said = f"{covered}, {lost}, and {good:.0%} of them hit one"
    elif spread is not None and spread < _COLLAPSED:
        said = f"Generated {things} differ from each other {spread:.0%} as much as real ones, too little: mode collapse"
    elif spread is not None:
        said = (
            f"Generated {things} differ from each other {spread:.0%} as much as real ones, so the generator does not repeat itself"
        )
    else:
        said = f"Whether generated {things} differ from each other is not measured yet"
    better = None if history is None else is_getting_better(history.points)
    if better is None:
        return f"{said}."
    trend = "better than those before: longer training is worth it" if better else "no better than those before"
    return f"{said}; the last checkpoints were {trend}."


def _recent(rows: Sequence[Row], key: str, count: int = _RECENT) -> float | None:
    """The mean of the last finite values of a statistic; None where there is none."""
    values = [float(row[key]) for row in rows if type(row.get(key)) in (int, float) and abs(row[key]) < 1e300]
    return fmean(values[-count:]) if values and math.isfinite(fmean(values[-count:])) else None
