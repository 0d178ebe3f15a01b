"""Estimate of a run's time and memory, from a few of its steps."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from gan.images import encoding
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.disk import writing_to
from training.engine.device import Hardware
from training.engine.loop import train
from training.engine.state import TrainingState

_WARM_UP_STEPS, _STEPS = 3, 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Estimate:
    """Time and memory, measured on this machine under its present load."""

    seconds_per_image: float  # without grids and checkpoints
    memory: int  # peak, in bytes: of the GPU on a GPU, else of this process


def estimate(
    state: TrainingState,  # is trained further
    dataset: Dataset,
    config: TrainingConfig,
    hardware: Hardware,
    steps: int = _STEPS,
) -> Estimate:
    """Take some steps of the run, in a temporary folder."""
    times: list[float] = []

    def enough() -> bool:
        times.append(perf_counter())
        return len(times) > _WARM_UP_STEPS + steps

    with tempfile.TemporaryDirectory() as folder:
        # Nothing but steps, no checkpoints or grids, and more images than they take, since the last step of a run does more.
        enough_images = (_WARM_UP_STEPS + steps + 2) * config.batch_size * config.discriminator_steps
        rarely = config.model_copy(
            update={"images": enough_images, "sample_every": 10**12, "checkpoint_every": 10**12, "minutes": None}
        )
        train(state, dataset, rarely, hardware, Path(folder), None, enough)
    took = [after - before for before, after in zip(times[_WARM_UP_STEPS:], times[_WARM_UP_STEPS + 1 :], strict=False)]
    return Estimate(median(took) / (config.batch_size * config.discriminator_steps), hardware.peak_memory())


def print_estimate(out: Path, state: TrainingState, dataset: Dataset, config: TrainingConfig, hardware: Hardware) -> None:
    """Print a run's estimated time and memory, and write a preview of the data, a grid of 64 images, into `out`."""
    preview = out / f"preview-{dataset.name}.png"
    with writing_to(out, "start again"):
        out.mkdir(parents=True, exist_ok=True)
        preview.write_bytes(encoding.encode(encoding.grid(dataset.images[:64].transpose(0, 2, 3, 1)), "png"))
    _log.info(f"preview of the data: {preview}")
    with writing_to(Path(tempfile.gettempdir()), "start again"):
        found = estimate(state, dataset, config, hardware)
    minutes = config.images * found.seconds_per_image / 60
    if config.minutes is not None:
        minutes = min(minutes, config.minutes)
    _log.info(
        f"a few steps took {1000 * found.seconds_per_image:.2f} s for each 1,000 images: {minutes:,.0f} minutes for this run, "
        f"and {found.memory / 2**30:.2f} GiB of {'GPU ' if hardware.device.type == 'cuda' else ''}memory at most"
    )
