"""Checks of a run: what stops it, and what warns of mode collapse."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from training.engine.checkpoint import checkpoints
from training.engine.checkpoint_quality import SPREAD_SEEDS
from training.errors import DivergenceError

_DEAD_AFTER = 20_000  # images during which the discriminator gave all of them the same logit
_LOST_AFTER = 100_000  # images during which it was almost certain of all of them
_CERTAIN = 1e-4
_COLLAPSED = 0.5  # of the spread of the data, or of the highest recall of the run
_EARLY = 100_000  # images before which a generator whose images are all alike has only just started


@dataclass
class DivergenceMonitor:
    """Checks the statistics of a run at each tick."""

    folder: Path  # of the run
    since: dict[str, int] = field(default_factory=dict)  # sign of divergence -> images seen when it began, if it persists; is saved

    def check(self, row: dict[str, float]) -> None:
        """Raises DivergenceError if a statistic is not finite, or the discriminator is dead or has won for good."""
        seen = int(row["pictures"])
        wrong = [name for name, value in row.items() if not math.isfinite(value)]
        if wrong:
            self.give_up(*not_finite(", ".join(wrong), seen))
        if self._lasts("flat", seen, row["logit_std"] <= 1e-5 * abs(row["logit_mean"])) >= _DEAD_AFTER:
            self.give_up(
                f"the discriminator is dead: for {_DEAD_AFTER:,} images it has given all of them the same logit",
                "take a lower --learning-rate, or start a new run with another --discriminator-norm",
            )
        certain = row.get("d_real", 0) > 1 - _CERTAIN and row.get("d_fake", 1) < _CERTAIN
        if self._lasts("lost", seen, certain) >= _LOST_AFTER:
            self.give_up(
                f"the discriminator has won: for {_LOST_AFTER:,} images it has been certain of all of them, "
                "and the generator learns next to nothing from that",
                "start a new run with --discriminator-norm spectral, or none and --r1 1, or go on with --augment diffaugment",
            )

    def give_up(self, reason: str, remedy: str) -> None:
        """End training. Raises DivergenceError."""
        last = next(reversed(checkpoints(self.folder)), None)
        back = (
            f"the last good checkpoint is {last}, from which --resume {self.folder} goes on, with --change for what is changed"
            if last
            else "there is no checkpoint yet"
        )
        raise DivergenceError(f"{reason}: {remedy} ({back})")

    def _lasts(self, sign: str, seen: int, shows: bool) -> int:
        if not shows:
            self.since.pop(sign, None)
            return 0
        return seen - self.since.setdefault(sign, seen)


def warnings_of(measures: dict[str, float], before: list[dict[str, float]], seen: int) -> list[str]:
    """Warnings about a checkpoint's measures, for people; `before` has those of earlier checkpoints of the run."""
    found = []
    if seen >= _EARLY and measures["spread"] < _COLLAPSED:
        found.append(
            f"mode collapse: the images of {SPREAD_SEEDS} seeds differ {measures['spread']:.0%} as much as real ones do; "
            "--discriminator-norm spectral, or none and a penalty (--r1), or a lower --learning-rate may prevent it"
        )
    elif seen >= _EARLY and measures.get("spread_within_classes", 1.0) < _COLLAPSED:
        found.append(
            f"mode collapse within a class: its images differ {measures['spread_within_classes']:.0%} as much as real ones of it "
            "do; --r1 1 --penalty-every 16 may prevent it, or a smaller --aux-classifier-weight"
        )
    recalls = [earlier["recall"] for earlier in before if math.isfinite(earlier.get("recall", math.nan))]
    if recalls and measures.get("recall", 1) < _COLLAPSED * max(recalls):
        found.append(
            f"modes are being lost: recall is {measures['recall']:.2f} and was {max(recalls):.2f}; the best checkpoint is kept, "
            "and a lower --learning-rate goes on from it more steadily"
        )
    held_out = measures.get("accuracy_held_out")
    if held_out is not None and held_out < 0.2 and measures["accuracy_fake"] > 0.8:
        found.append(
            f"overfitting: the discriminator takes {held_out:.0%} of the real images it was not trained on for real; "
            "--augment translation or diffaugment, or more images, may help"
        )
    return found


def not_finite(what: str, seen: int) -> tuple[str, str]:
    """The reason and the remedy, for `give_up`."""
    return (
        f"{what} became infinite or not a number after {seen:,} images",
        "take a lower --learning-rate, or --precision float32",
    )
