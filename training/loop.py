"""The game, step by step."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from gan import artifact, imaging
from gan.latents import Space
from gan.networks import dcgan
from gan.networks.conditions import tensors
from training import report
from training.config import TrainingConfig
from training.data import Dataset
from training.fast_convolutions import use_fast_weight_gradients
from training.hardware import Hardware
from training.objectives import discriminator_loss, generator_loss
from training.state import TrainingState, checkpoints, to_network

GRID_SEEDS = range(64)
_STEPS_PER_TICK = 16
_STATS_FILE = "stats.jsonl"
_STATISTICS = ("loss_d", "loss_g", "d_real", "d_fake")


class DivergedError(Exception):
    """A game that has left the numbers; the message names the last good checkpoint and the remedy."""


def train(
    state: TrainingState,
    dataset: Dataset,
    config: TrainingConfig,
    hardware: Hardware,
    folder: Path,  # of the run: gets stats.jsonl, samples, checkpoints and TensorBoard's files
    asked_to_stop: Callable[[], bool],  # looked at between two steps
) -> bool:
    """Play until the configured length is reached, and save. False if asked to stop before that. Raises DivergedError."""
    hardware.prepare()
    if hardware.bfloat16 and hardware.device.type == "cpu":
        use_fast_weight_gradients(state.generator)
        use_fast_weight_gradients(state.discriminator)
    generator, discriminator = state.generator.train(), state.discriminator.train()

    totals = torch.zeros(len(_STATISTICS), device=hardware.device)
    summed = 0  # steps in the totals
    _forget_after(folder / _STATS_FILE, state.seen)
    progress = tqdm(total=config.images, initial=state.seen, unit="pic", unit_scale=True, smoothing=0.05, dynamic_ncols=True)
    with progress, SummaryWriter(str(folder)) as board, (folder / _STATS_FILE).open("a") as stats:
        tick_started = now = time.perf_counter()
        if state.seen == 0:
            save_grid(state.finished_generator(), folder, state.seen, board)
        while not config.is_reached(state.seen, state.seconds) and not asked_to_stop():
            # The next pictures, and latents that are the step's own
            pictures, labels = dataset.batch(config.seed, state.seen, config.batch_size)
            real = to_network(pictures, hardware.device)
            real_label = None if labels is None else torch.from_numpy(labels).to(hardware.device)
            drawn = [values.to(hardware.device) for values in _draw(config, generator.space, state.seen)]
            fake_label = None if labels is None else drawn[1]

            # Discriminator: tell real pictures from generated ones
            with hardware.autocast():
                fake = generator(*drawn)
                real_logits = discriminator(real, real_label).float()
                fake_logits = discriminator(fake.detach(), fake_label).float()
            loss_d = discriminator_loss(real_logits, fake_logits).mean()
            state.discriminator_optimiser.zero_grad()
            loss_d.backward()  # type: ignore[no-untyped-call]
            state.discriminator_optimiser.step()

            # Generator: be taken for real. The discriminator's weights need no gradients here
            discriminator.requires_grad_(False)
            with hardware.autocast():
                loss_g = generator_loss(discriminator(fake, fake_label).float()).mean()
            state.generator_optimiser.zero_grad()
            loss_g.backward()  # type: ignore[no-untyped-call]
            state.generator_optimiser.step()
            discriminator.requires_grad_(True)

            # Moving average and statistics
            state.update_average(config.batch_size, config.ema_half_life)
            totals += torch.stack(
                [loss_d.detach(), loss_g.detach(), real_logits.detach().sigmoid().mean(), fake_logits.detach().sigmoid().mean()]
            )
            before, state.seen, summed = state.seen, state.seen + config.batch_size, summed + 1
            progress.update(config.batch_size)
            previous, now = now, time.perf_counter()
            state.seconds += now - previous

            # Once per tick: read the statistics, the only time the loop waits for the device
            if state.seen // config.batch_size % _STEPS_PER_TICK == 0 or config.is_reached(state.seen, state.seconds):
                row = _statistics(totals / summed, state, summed * config.batch_size / (now - tick_started))
                _check_finite(row, folder)
                totals.zero_()
                summed, tick_started = 0, now
                progress.total = _expected_length(config, state)
                stats.write(json.dumps(row) + "\n")
                stats.flush()
                progress.set_postfix({name: f"{row[name]:.3f}" for name in _STATISTICS})
                for name, value in row.items():
                    board.add_scalar(name, value, state.seen)

            # Now and then: a grid to look at, and a checkpoint to come back to
            if before // config.sample_every < state.seen // config.sample_every:
                save_grid(state.finished_generator(), folder, state.seen, board)
                report.write(folder)
            if before // config.checkpoint_every < state.seen // config.checkpoint_every:
                state.save(folder, config)
        save_grid(state.finished_generator(), folder, state.seen, board)
        state.save(folder, config)
        report.write(folder)
    return config.is_reached(state.seen, state.seconds)


def draw_pictures(generator: dcgan.Generator, seeds: range) -> imaging.Pictures:
    """The pictures of these seeds from a finished generator, uint8 [n, height, width, channels]."""
    with torch.no_grad():
        pictures: Tensor = generator(*tensors(seeds, generator.space))
    levels: imaging.Pictures = imaging.grey_levels(pictures).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return levels


def save_grid(generator: dcgan.Generator, folder: Path, seen: int, board: SummaryWriter) -> None:
    """Write samples-<pictures seen>.png, the same 64 seeds each time, and show it in TensorBoard."""
    sheet = imaging.grid(draw_pictures(generator, GRID_SEEDS))
    (folder / f"samples-{seen:09d}.png").write_bytes(imaging.encode(sheet, "png"))
    board.add_image("samples", sheet, seen, dataformats="HWC")


def _draw(config: TrainingConfig, space: Space, seen: int) -> list[Tensor]:
    """What the generator takes in the step that follows `seen` pictures: a pure function of (seed, seen)."""
    random = np.random.default_rng([config.seed, seen, 1])  # the 1 keeps it apart from the order of the data
    drawn = [torch.from_numpy(random.standard_normal((config.batch_size, space.z_dim), np.float32))]
    if space.classes is not None:
        drawn.append(torch.from_numpy(random.integers(space.classes, size=config.batch_size)))
    return drawn


def _statistics(means: Tensor, state: TrainingState, speed: float) -> dict[str, float]:
    rest = {"pictures": state.seen, "seconds": round(state.seconds, 3), "pictures_per_second": round(speed, 1)}
    return {**rest, **dict(zip(_STATISTICS, means.tolist(), strict=True))}


def _expected_length(config: TrainingConfig, state: TrainingState) -> int:
    """Pictures that the run will have seen at its end, as far as that can be told: --minutes may end it before --images."""
    if config.minutes is None:
        return config.images
    return min(config.images, round(state.seen * max(60 * config.minutes / state.seconds, 1)))


def _check_finite(row: dict[str, float], folder: Path) -> None:
    wrong = [name for name, value in row.items() if not math.isfinite(value)]
    if wrong:
        last = next(reversed(checkpoints(folder)), "none yet")
        raise DivergedError(
            f"{', '.join(wrong)} became infinite or not a number after {row['pictures']:,} pictures: "
            f"start again with a lower --learning-rate (the last checkpoint: {last})"
        )


def _forget_after(stats: Path, seen: int) -> None:
    """Drop the rows of steps that a killed run took after its last checkpoint: they will be taken again."""
    if stats.is_file():
        rows = stats.read_text().splitlines()
        kept = [row for row in rows if row.endswith("}") and json.loads(row)["pictures"] <= seen]
        artifact.write_bytes_atomically(stats, "".join(f"{row}\n" for row in kept).encode())
