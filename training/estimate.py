"""What a run will take, by taking a few of its steps."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from training.config import TrainingConfig
from training.data import Dataset
from training.hardware import Hardware
from training.loop import train
from training.state import TrainingState

_WARM_UP_STEPS, _STEPS = 3, 8


@dataclass(frozen=True)
class Estimate:
    """Measured on this machine, as busy as it was."""

    seconds_per_picture: float  # grids and checkpoints not counted
    memory: int  # bytes held at most: of the GPU on a GPU, else of this process


def estimate(
    state: TrainingState,  # is trained on
    dataset: Dataset,
    config: TrainingConfig,
    hardware: Hardware,
    steps: int = _STEPS,
) -> Estimate:
    """Take some steps of the run in a folder that is thrown away."""
    times: list[float] = []

    def enough() -> bool:
        times.append(perf_counter())
        return len(times) > _WARM_UP_STEPS + steps

    with tempfile.TemporaryDirectory() as folder:
        # Nothing but steps: what is done now and then is left out.
        rarely = config.model_copy(update={"images": 10**12, "sample_every": 10**12, "checkpoint_every": 10**12, "minutes": None})
        train(state, dataset, rarely, hardware, Path(folder), enough)
    took = [after - before for before, after in zip(times[_WARM_UP_STEPS:], times[_WARM_UP_STEPS + 1 :], strict=False)]
    return Estimate(median(took) / (config.batch_size * config.discriminator_steps), hardware.peak_memory())
