"""Settings that change over a run: functions of the images seen."""

import math

from torch.optim import Optimizer

from training.config.schema import TrainingConfig

_RAMP = 0.05  # of the images seen: the longest half-life of the average until it reaches the one configured


def annealed(start: float, end: float | None, config: TrainingConfig, seen: int) -> float:
    """From `start` to `end` along a half cosine over --anneal-images, then `end`, as in R3GAN; `start` if `end` is None."""
    if end is None or config.anneal_images is None:
        return start
    return end + (start - end) * (1 + math.cos(math.pi * min(seen / config.anneal_images, 1))) / 2


def set_schedules(optimiser: Optimizer, config: TrainingConfig, seen: int) -> None:
    """Set an Adam's betas, and the learning rate of each parameter group to a factor times the group's own initial rate."""
    end = None if config.learning_rate_end is None else config.learning_rate_end / config.learning_rate
    factor = annealed(1.0, end, config, seen)
    beta2 = annealed(config.beta2, config.beta2_end, config, seen)
    for group in optimiser.param_groups:
        initial = group.setdefault("initial_lr", group["lr"])  # kept at the first call
        group["lr"], group["betas"] = factor * initial, (config.beta1, beta2)


def ema_weight(config: TrainingConfig, seen: int, step: int) -> float:
    """Weight of the generator in its moving average after a step of `step` images.

    A weight counts half after the half-life; early on after a twentieth of the images seen, so that the start weights are
    soon forgotten (Karras et al. 2020, arXiv 2006.06676, appendix C).
    """
    half_life = min(config.ema_half_life, _RAMP * seen)
    return 1 - 0.5 ** (step / half_life) if half_life else 1.0
