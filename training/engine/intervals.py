"""When sample grids and checkpoints are due: every so many images, or shares of a run that is bound by the clock."""

from dataclasses import dataclass

from training.config.schema import TrainingConfig

_SAMPLES, _CHECKPOINTS = 20_000, 50_000  # images from one to the next, where the clock ends no run
_GRIDS, _MEASURED = 12, 6  # grids and checkpoints of a run that the clock ends
_FIRST_GRID = 30.0  # seconds; the next ones follow at twice, four times … that, until the usual interval is reached
_LONGEST = 1800.0  # seconds between two checkpoints: what a crash may cost


@dataclass(frozen=True)
class Moment:
    """How far a run has come."""

    seen: int  # images
    seconds: float  # of training


def grid_due(config: TrainingConfig, before: Moment, after: Moment) -> bool:
    """Whether a grid of samples is due after a step, by where the run was before and after it."""
    if config.sample_every is not None or config.minutes is None:
        return _crossed(before.seen, after.seen, config.sample_every or _SAMPLES)
    interval = 60 * config.minutes / _GRIDS
    early, doublings = False, 0
    while _FIRST_GRID * 2**doublings < interval:
        early = early or before.seconds < _FIRST_GRID * 2**doublings <= after.seconds
        doublings += 1
    return early or _crossed(before.seconds, after.seconds, interval)


def checkpoint_due(config: TrainingConfig, before: Moment, after: Moment) -> bool:
    """Whether a checkpoint is due after a step."""
    if config.checkpoint_every is not None or config.minutes is None:
        return _crossed(before.seen, after.seen, config.checkpoint_every or _CHECKPOINTS)
    return _crossed(before.seconds, after.seconds, min(60 * config.minutes / _MEASURED, _LONGEST))


def _crossed(before: float, after: float, interval: float) -> bool:
    return before // interval < after // interval
