"""Settings that change over a run: pure functions of the images seen."""

import math

from training.config.schema import TrainingConfig

_RAMP = 0.05  # of the images seen: the longest half-life of the average until it reaches the one configured


def annealed(start: float, end: float | None, config: TrainingConfig, seen: int) -> float:
    """From start to end along a half cosine over --anneal-images, then the end, as in R3GAN; the start if there is no end."""
    if end is None or config.anneal_images is None:
        return start
    return end + (start - end) * (1 + math.cos(math.pi * min(seen / config.anneal_images, 1))) / 2


def ema_weight(config: TrainingConfig, seen: int, step: int) -> float:
    """What the generator after a step of so many images counts in its moving average.

    A weight counts half after the half-life; early on after a twentieth of the images seen, so that the start weights are
    soon forgotten (Karras et al. 2020, arXiv 2006.06676, appendix C).
    """
    half_life = min(config.ema_half_life, _RAMP * seen)
    return 1 - 0.5 ** (step / half_life) if half_life else 1.0
