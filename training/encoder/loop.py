"""The loop that trains an encoder."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from gan.networks.encoder import Encoder
from training.data import Dataset
from training.encoder.frozen import FrozenModel
from training.encoder.losses import EncoderLoss, Minibatch, Scales, encoder_loss, scales_of
from training.encoder.pictures import Part, Pictures
from training.encoder.settings import EncoderConfig
from training.encoder.state import EncoderState
from training.engine.minibatch import to_network, upload
from training.errors import DivergenceError
from training.hardware import Hardware
from training.tracking.progress_bar import Progress
from training.tracking.stats import STATS

_LATENTS = 1  # separates the random stream of latent vectors from the order of the data
_STEPS_PER_TICK = 16
_SCALED_BY = 512  # real images
_MEASURED = 1000  # images at most that a checkpoint is measured by
_AT_ONCE = 64
_LEARNING_RATE_END = 0.01  # of the learning rate

_log = logging.getLogger(__name__)


def train(
    state: EncoderState,
    model: FrozenModel,
    pictures: Pictures,
    config: EncoderConfig,
    hardware: Hardware,
    folder: Path,  # of the run: gets checkpoints and statistics
    fingerprint: str,  # of what a checkpoint may be resumed with
    asked_to_stop: Callable[[], bool],  # called between two steps
) -> bool:
    """Train until the configured length is reached, and save. False if asked to stop before that. Raises DivergenceError."""
    hardware.prepare()
    state.encoder.train()
    scales, saved_at = _scales(model, pictures.train, hardware), state.seen
    bar = Progress(config.images, state.seen, shown=True)
    before = perf_counter()
    try:
        while state.seen < config.images and not asked_to_stop():
            loss = take_step(state, model, pictures.train, config, hardware, scales)
            bar.update(config.batch_size)
            now = perf_counter()
            state.seconds, before = state.seconds + now - before, now
            due = state.seen >= config.images or state.seen // config.checkpoint_every > saved_at // config.checkpoint_every
            if due or state.seen // config.batch_size % _STEPS_PER_TICK == 0:
                numbers = _numbers(loss)
                bar.set_statistics(config.images, {**numbers, "best_psnr": max(state.best_psnr, 0.0)})
            if due:
                psnr = measure(state.average, model, pictures.selection, hardware)
                state.keep_if_best(psnr)
                state.save(folder, fingerprint)
                saved_at, before = state.seen, perf_counter()
                _append(folder / STATS, {"pictures": state.seen, "seconds": round(state.seconds, 1), **numbers, "psnr": psnr})
        if state.seen > saved_at:
            state.save(folder, fingerprint)
    finally:
        bar.close()
    return state.seen >= config.images


def take_step(
    state: EncoderState, model: FrozenModel, dataset: Dataset, config: EncoderConfig, hardware: Hardware, scales: Scales
) -> EncoderLoss:
    """Train by one minibatch; returns its losses. Everything random is a function of the seed and the images seen."""
    batch = make_minibatch(model, dataset, config, state.seen, hardware.device)
    for group in state.optimiser.param_groups:
        share = (1 + math.cos(math.pi * min(state.seen / config.images, 1))) / 2
        group["lr"] = config.learning_rate * (_LEARNING_RATE_END + (1 - _LEARNING_RATE_END) * share)
    with hardware.autocast():
        loss = encoder_loss(state.encoder, model, config, scales, batch)
    state.optimiser.zero_grad()
    loss.total.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.seen += config.batch_size
    state.update_average(config.batch_size)
    return loss


def make_minibatch(model: FrozenModel, dataset: Dataset, config: EncoderConfig, seen: int, device: torch.device) -> Minibatch:
    """The minibatch of the step that follows `seen` real images."""
    images, labels = dataset.batch(config.seed, seen, config.batch_size)
    random = np.random.default_rng([config.seed, seen, _LATENTS])
    shape = (config.batch_size, model.manifest.z_dim)
    z = random.standard_normal(shape, np.float32) if model.manifest.latent == "normal" else random.uniform(-1, 1, shape)
    label = None if model.classes is None or labels is None else upload(labels, device)
    return Minibatch(to_network(images, device), label, upload(z.astype(np.float32), device))


@torch.no_grad()
def psnr_of(encoder: Encoder, model: FrozenModel, part: Part, hardware: Hardware) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each picture drawn again, 10 log10(2^2 / mean squared error) in dB: float64 [n]."""
    found = []
    for start in range(0, len(part.images), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        real = to_network(np.asarray(part.images[some]), hardware.device)
        label = None if model.classes is None or part.labels is None else upload(part.labels[some], hardware.device)
        drawn = model.draw(encoder(real, label), label)
        found.append((drawn - real).square().flatten(1).mean(1).double().clamp_min(1e-12).cpu().numpy())
    return np.asarray(10 * np.log10(4 / np.concatenate(found)))


def measure(encoder: Encoder, model: FrozenModel, part: Part, hardware: Hardware) -> float:
    """Mean PSNR in dB of the first pictures of a part, at most 1,000. Raises DivergenceError if it is not a number."""
    labels = None if part.labels is None else part.labels[:_MEASURED]
    mean = float(psnr_of(encoder, model, Part(part.images[:_MEASURED], labels), hardware).mean())
    if not math.isfinite(mean):
        raise DivergenceError("the encoder has diverged, its errors are not numbers: take half the --learning-rate, and --anew")
    return mean


def _scales(model: FrozenModel, dataset: Dataset, hardware: Hardware) -> Scales:
    some = np.linspace(0, len(dataset.images) - 1, min(_SCALED_BY, len(dataset.images))).astype(np.int64)
    label = None if model.classes is None or dataset.labels is None else upload(dataset.labels[some], hardware.device)
    return scales_of(model, to_network(dataset.images[some], hardware.device), label)


def _numbers(loss: EncoderLoss) -> dict[str, float]:
    names = ("pixels", "features", "latent", "attributes", "length")
    return {name: float(getattr(loss, name).detach()) for name in names}


def _append(file: Path, row: dict[str, float]) -> None:
    with file.open("a") as open_file:
        open_file.write(json.dumps(row) + "\n")
