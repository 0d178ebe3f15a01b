"""The game, step by step."""

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
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
from training.augment import augment
from training.config import TrainingConfig
from training.data import Dataset
from training.fast_convolutions import use_fast_weight_gradients
from training.hardware import Hardware
from training.objectives import OBJECTIVES, Objective
from training.penalties import squared_gradient, wasserstein_penalty
from training.state import TrainingState, checkpoints, to_network

GRID_SEEDS = range(64)
_STEPS_PER_TICK = 16
_STATS_FILE = "stats.jsonl"


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
    objective, penalised = OBJECTIVES[config.objective], bool(config.r1 or config.r2 or config.gradient_penalty)
    if hardware.bfloat16 and hardware.device.type == "cpu":
        use_fast_weight_gradients(state.generator)
        if not penalised:  # which take gradients of gradients, and the faster layers have only the first
            use_fast_weight_gradients(state.discriminator)
    generator, discriminator = state.generator.train(), state.discriminator.train()
    names = _statistics_of(objective, penalised)
    tick = config.batch_size * _STEPS_PER_TICK

    totals = torch.zeros(len(names), device=hardware.device)
    summed = 0  # steps in the totals
    _forget_after(folder / _STATS_FILE, state.seen)
    progress = tqdm(total=config.images, initial=state.seen, unit="pic", unit_scale=True, smoothing=0.05, dynamic_ncols=True)
    with progress, SummaryWriter(str(folder)) as board, (folder / _STATS_FILE).open("a") as stats:
        tick_started = now = time.perf_counter()
        if state.seen == 0:
            save_grid(state.finished_generator(), folder, state.seen, board)
        while not config.is_reached(state.seen, state.seconds) and not asked_to_stop():
            before = state.seen

            # Discriminator: tell real pictures from generated ones
            for turn in range(config.discriminator_steps):
                # The next pictures, and latents that are the step's own
                pictures, labels = dataset.batch(config.seed, state.seen, config.batch_size)
                real = to_network(pictures, hardware.device)
                real_label = None if labels is None else torch.from_numpy(labels).to(hardware.device)
                drawn = [values.to(hardware.device) for values in _draw(config, generator.space, state.seen)]
                fake_label = None if labels is None else drawn[1]
                random = np.random.default_rng([config.seed, state.seen, 2])  # of whatever else the step needs by chance
                change = partial(augment, random=random) if config.augment == "diffaugment" else _leave

                with hardware.autocast(), torch.set_grad_enabled(turn == config.discriminator_steps - 1):
                    fake = generator(*drawn)
                penalty_due = penalised and state.seen // config.batch_size % config.penalty_every == 0
                with nullcontext() if penalty_due else hardware.autocast():
                    real_seen, fake_seen = real.requires_grad_(penalty_due), fake.detach().float().requires_grad_(penalty_due)
                    real_logits = discriminator(change(real_seen), real_label).float()
                    fake_logits = discriminator(change(fake_seen), fake_label).float()
                loss_d = objective.discriminator(real_logits, fake_logits).mean()
                penalty = torch.zeros((), device=hardware.device)
                if penalty_due:
                    if config.r1:
                        penalty = penalty + config.r1 / 2 * squared_gradient(real_logits, real_seen).mean()
                    if config.r2:
                        penalty = penalty + config.r2 / 2 * squared_gradient(fake_logits, fake_seen).mean()
                    if config.gradient_penalty:
                        share = torch.from_numpy(random.random(config.batch_size, np.float32)).to(hardware.device)
                        logits_of = partial(_logits, discriminator, fake_label)
                        points = wasserstein_penalty(logits_of, real.detach(), fake.detach().float(), share)
                        penalty = penalty + config.gradient_penalty * points.mean()
                state.discriminator_optimiser.zero_grad()
                (loss_d + config.penalty_every * penalty).backward()  # type: ignore[no-untyped-call]
                state.discriminator_optimiser.step()
                if config.weight_clip is not None:
                    with torch.no_grad():
                        for weight in discriminator.parameters():
                            weight.clamp_(-config.weight_clip, config.weight_clip)
                state.seen += config.batch_size

            # Generator: be taken for real. The discriminator's weights need no gradients here
            discriminator.requires_grad_(False)
            with hardware.autocast():
                now_fake = discriminator(change(fake), fake_label).float()
                now_real = discriminator(change(real.detach()), real_label).float() if objective.compares else real_logits
            loss_g = objective.generator(now_fake, now_real).mean()
            state.generator_optimiser.zero_grad()
            loss_g.backward()  # type: ignore[no-untyped-call]
            state.generator_optimiser.step()
            discriminator.requires_grad_(True)

            # Moving average and statistics
            state.update_average(state.seen - before, config.ema_half_life)
            opinions = [real_logits.detach(), fake_logits.detach()]
            if objective.is_log_odds:
                opinions = [logits.sigmoid() for logits in opinions]
            measured = [loss_d.detach(), loss_g.detach(), *(opinion.mean() for opinion in opinions)]
            if objective.is_log_odds:
                measured.append(-loss_d.detach())
            if penalised:
                measured.append(penalty.detach())
            totals += torch.stack(measured)
            summed += 1
            progress.update(state.seen - before)
            previous, now = now, time.perf_counter()
            state.seconds += now - previous

            # Once per tick: read the statistics, the only time the loop waits for the device
            if before // tick < state.seen // tick or config.is_reached(state.seen, state.seconds):
                per_second = summed * config.batch_size * config.discriminator_steps / (now - tick_started)
                row = _statistics(names, totals / summed, state, per_second)
                _check_finite(row, folder)
                totals.zero_()
                summed, tick_started = 0, now
                progress.total = _expected_length(config, state)
                stats.write(json.dumps(row) + "\n")
                stats.flush()
                progress.set_postfix({name: f"{row[name]:.3f}" for name in names[:4]})
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
    shape = (config.batch_size, space.z_dim)
    if space.distribution == "normal":
        drawn = [torch.from_numpy(random.standard_normal(shape, np.float32))]
    else:
        drawn = [torch.from_numpy(random.uniform(-1, 1, shape).astype(np.float32))]
    if space.classes is not None:
        drawn.append(torch.from_numpy(random.integers(space.classes, size=config.batch_size)))
    return drawn


def _statistics_of(objective: Objective, penalised: bool) -> list[str]:
    """Names of what is summed up.

    D(x), D(G(z)) and V(D, G) = E log D(x) + E log(1 - D(G(z))) only where a logit is the log-odds of being real. At the Nash
    equilibrium D is 1/2 everywhere and V is -log 4; the report shows how far from that it is.
    """
    opinions = ["d_real", "d_fake", "value"] if objective.is_log_odds else ["logit_real", "logit_fake"]
    return ["loss_d", "loss_g", *opinions, *(["penalty"] if penalised else [])]


def _statistics(names: list[str], means: Tensor, state: TrainingState, speed: float) -> dict[str, float]:
    rest = {"pictures": state.seen, "seconds": round(state.seconds, 3), "pictures_per_second": round(speed, 1)}
    return {**rest, **dict(zip(names, means.tolist(), strict=True))}


def _leave(pictures: Tensor) -> Tensor:
    return pictures


def _logits(discriminator: dcgan.Discriminator, label: Tensor | None, pictures: Tensor) -> Tensor:
    return discriminator(pictures, label)  # type: ignore[no-any-return]  # torch's modules are callables of anything


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
