"""The state of training in numbers: what stops a run, what warns of collapse, and how good a checkpoint is."""

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.images import encoding
from gan.latents import Inputs, inputs_of_seeds
from gan.networks.family import Generator
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.engine.checkpoint import checkpoints
from training.engine.device import Hardware
from training.engine.minibatch import to_network
from training.engine.state import TrainingState
from training.errors import DivergenceError
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator
from training.evaluation.subsets import fixed_subset
from training.losses.adversarial import OBJECTIVES
from training.losses.diffaugment import AUGMENT_PARAMS, augment

_DRAWN_AT_ONCE = 64
_SPREAD_SEEDS = 64
_DEAD_AFTER = 20_000  # images during which the discriminator gave all of them the same logit
_LOST_AFTER = 100_000  # images during which it was almost certain of all of them
_CERTAIN = 1e-4
_HARDLY_ANY_SPREAD = 1e-3  # of a grey level: less than one pixel value in one image
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


def measure(
    state: TrainingState, dataset: Dataset, config: TrainingConfig, hardware: Hardware, checkpoint_evaluator: CheckpointEvaluator
) -> dict[str, float]:
    """Measure a checkpoint: distance, precision and recall, spread, and the accuracy of the discriminator.

    Changes no state, and is a function of the weights alone.
    """
    rows = inputs_of_seeds(range(config.measure), state.input_spec)
    images = generate_images(state.finished_generator(hardware.device), rows)
    found = {**checkpoint_evaluator.measure(images), "spread": _relative_spread(images, dataset.images)}
    boundary = OBJECTIVES[config.objective].boundary
    if boundary is not None:
        labels = rows.get("label")
        found["accuracy_fake"] = 1 - _share_classified_real(boundary, state, config, hardware, images, labels)
        if checkpoint_evaluator.held_out is not None:
            # The evaluator may have labels that the networks are not trained with.
            real_labels = (
                None
                if labels is None or checkpoint_evaluator.held_out_labels is None
                else checkpoint_evaluator.held_out_labels[: config.measure]
            )
            real = checkpoint_evaluator.held_out[: config.measure]
            found["accuracy_held_out"] = _share_classified_real(boundary, state, config, hardware, real, real_labels)
    return found


def warnings_of(measures: dict[str, float], before: list[dict[str, float]], seen: int) -> list[str]:
    """Warnings about a checkpoint's measures, for people; `before` has those of earlier checkpoints of the run."""
    found = []
    if seen >= _EARLY and measures["spread"] < _COLLAPSED:
        found.append(
            f"mode collapse: the images of {_SPREAD_SEEDS} seeds differ {measures['spread']:.0%} as much as real ones do; "
            "--discriminator-norm spectral, or none and a penalty (--r1), or a lower --learning-rate may prevent it"
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


def spread(images: NDArray[np.uint8]) -> float:
    """Root of the mean squared distance of two of the first 64 images, per pixel value: 0 if they are all alike."""
    values = images[:_SPREAD_SEEDS].astype(np.float64)
    return float(np.sqrt(2 * values.var(0, ddof=1).mean())) if len(values) > 1 else 0.0


def _relative_spread(images: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """The spread relative to that of real images; 1 where the real ones are all alike, since there is nothing to compare with."""
    # From anywhere: neighbours in a folder are often alike.
    unit = spread(real[fixed_subset(len(real), _SPREAD_SEEDS, seed=0)])
    return spread(images) / unit if unit >= _HARDLY_ANY_SPREAD else 1.0


def generate_images(generator: Generator, rows: Inputs) -> NDArray[np.uint8]:
    """Generate the images of these inputs by a finished generator, uint8 [n, channels, height, width]."""
    device = next(generator.parameters()).device
    values = [torch.split(torch.from_numpy(column).to(device), _DRAWN_AT_ONCE) for column in rows.values()]
    with torch.no_grad():
        drawn = [encoding.to_uint8_range(generator(*batch)).to(torch.uint8).cpu() for batch in zip(*values, strict=True)]
    images: NDArray[np.uint8] = torch.cat(drawn).numpy()
    return images


def not_finite(what: str, seen: int) -> tuple[str, str]:
    """The reason and the remedy, for `give_up`."""
    return (
        f"{what} became infinite or not a number after {seen:,} images",
        "take a lower --learning-rate, or --precision float32",
    )


@torch.no_grad()
def _share_classified_real(
    boundary: float,
    state: TrainingState,
    config: TrainingConfig,
    hardware: Hardware,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
) -> float:
    """The share of the images that the discriminator classifies as real.

    Evaluated as in training, in batches of one kind and augmented, but on a copy: each call changes power iterations and running
    statistics.
    """
    discriminator = copy.deepcopy(state.discriminator)
    right = []
    for start in range(0, len(images) - config.batch_size + 1, config.batch_size) or [0]:
        rows = slice(start, start + config.batch_size)
        label = None if labels is None else torch.from_numpy(labels[rows]).to(hardware.device)
        shown = to_network(images[rows], hardware.device)
        augment_params = torch.from_numpy(np.random.default_rng(start).random((len(shown), AUGMENT_PARAMS), np.float32)).to(
            hardware.device
        )
        with hardware.autocast():
            logits: Tensor = discriminator(augment(shown, augment_params, config.augment), label)[0]
        right.append((logits > boundary).float().mean())
    return float(torch.stack(right).mean())
