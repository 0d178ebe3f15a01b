"""Estimate of a run's time and memory, from a few of its steps."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from gan.images import encoding
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.disk import writing_to
from training.engine.loop import prepare, take_step
from training.engine.state import TrainingState
from training.engine.step import has_gradient_penalty
from training.hardware import Hardware

_WARM_UP, _STEPS = 3, 8
_NEVER = 10**9  # steps from one penalty to the next
# What runs looked like, see docs/lab-book.md
_EXPECT = (
    "garments were recognised after 100,000 images, faces of four cartoon styles after 150,000, emoji of every kind after 500,000"
)
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
    steps: int = _STEPS,  # of which the median counts
    warm_up: int = _WARM_UP,  # steps before them, which are slower
) -> Estimate:
    """Take some steps of the run. Of penalties that are rare, some steps with and some without one are taken, and weighted."""
    if not has_gradient_penalty(config) or config.penalty_every == 1:
        seconds = _seconds_of_step(state, dataset, config, hardware, steps, warm_up)
    else:
        never, each = (config.model_copy(update={"penalty_every": every}) for every in (_NEVER, 1))
        without = _seconds_of_step(state, dataset, never, hardware, steps, warm_up)
        with_one = _seconds_of_step(state, dataset, each, hardware, -(-steps // 4), warm_up=1)
        seconds = without + (with_one - without) / config.penalty_every
    return Estimate(seconds / (config.batch_size * config.discriminator_steps), hardware.peak_memory())


def seconds_per_image(config: TrainingConfig, channels: int, classes: int | None) -> float:
    """Time that a run of such images would take for each, by a few of its steps on random ones."""
    hardware = Hardware.choose(config)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (config.batch_size, channels, *config.size), np.uint8)
    labels = random.integers(0, classes, len(images)) if classes is not None and config.conditional else None
    names: Sequence[str] = [] if labels is None else [str(label) for label in range(classes or 0)]
    dataset = Dataset("random", images, licence="none", classes=tuple(names), labels=labels)
    state = TrainingState.start(config, channels, len(names) or None, hardware)
    return estimate(state, dataset, config, hardware, steps=3, warm_up=2).seconds_per_image


def print_estimate(out: Path, state: TrainingState, dataset: Dataset, config: TrainingConfig, hardware: Hardware) -> None:
    """Print a run's estimated time and memory, and write a preview of images, a grid of 64, into `out`."""
    if not config.is_points:
        preview = out / f"preview-{dataset.name}.png"
        with writing_to(out, "start again"):
            out.mkdir(parents=True, exist_ok=True)
            preview.write_bytes(encoding.encode(encoding.grid(dataset.examples(64).transpose(0, 2, 3, 1)), "png"))
        _log.info(f"preview of the data: {preview}")
    found = estimate(state, dataset, config, hardware)
    minutes, images = config.images * found.seconds_per_image / 60, config.images
    if config.minutes is not None and config.minutes < minutes:
        minutes, images = config.minutes, round(60 * config.minutes / found.seconds_per_image)
    memory = f"{found.memory / 2**30:.2f} GiB of {'GPU ' if hardware.device.type == 'cuda' else ''}memory"
    _log.info(
        f"a few steps took {1000 * found.seconds_per_image:.2f} s for each 1,000 {config.things}: {minutes:,.0f} minutes for this "
        f"run, which sees {images:,} {config.things}, and {memory} at most"
        + ("" if config.is_points else f"; of sets that were tried {_EXPECT}")
    )


def _seconds_of_step(
    state: TrainingState, dataset: Dataset, config: TrainingConfig, hardware: Hardware, steps: int, warm_up: int
) -> float:
    """Median time of a step of the generator with those of the discriminator that go with it."""
    generator, phases, minibatches = prepare(state, dataset, config, hardware)
    times = []
    state.seen = max(state.seen, config.batch_size * config.discriminator_steps)  # the first step has a penalty, however rare
    for _ in range(warm_up + steps):
        began = perf_counter()
        losses = take_step(state, generator, phases, minibatches, config, hardware)
        for loss in losses.values():
            loss.total.item()  # waits for the device
        times.append(perf_counter() - began)
    return median(times[warm_up:])
