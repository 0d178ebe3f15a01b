"""The training loop."""

from collections.abc import Callable
from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from training.config.schema import TrainingConfig
from training.data import Dataset
from training.engine.checkpoint import measures_of
from training.engine.conv_weight_grad import use_fast_weight_gradients
from training.engine.device import Hardware
from training.engine.distributed import Group
from training.engine.minibatch import make_minibatch
from training.engine.schedules import annealed, ema_weight
from training.engine.state import TrainingState
from training.engine.step import discriminator_loss, generator_loss, has_gradient_penalty
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator
from training.losses.adversarial import OBJECTIVES
from training.tracking.divergence import DivergenceMonitor, measure, not_finite, warnings_of
from training.tracking.logger import RunLogger

_STEPS_PER_TICK = 16


def train(
    state: TrainingState,
    dataset: Dataset,
    config: TrainingConfig,
    hardware: Hardware,
    folder: Path,  # of the run: gets statistics, samples, checkpoints, the report and TensorBoard's files
    checkpoint_evaluator: CheckpointEvaluator | None,  # what checkpoints are measured with, by the first process; None: not at all
    asked_to_stop: Callable[[], bool],  # called between two steps
    group: Group = Group(),  # noqa: B008, it is frozen
) -> bool:
    """Train until the configured length is reached, and save. False if asked to stop before that. Raises DivergenceError."""
    hardware.prepare()
    penalised = has_gradient_penalty(config)
    if hardware.precision == torch.bfloat16 and hardware.device.type == "cpu":
        use_fast_weight_gradients(state.generator)
        if not penalised:  # which take gradients of gradients, and the faster layers have only the first
            use_fast_weight_gradients(state.discriminator)
    generator, discriminator = group.wrap(state.generator.train()), group.wrap(state.discriminator.train())
    generator_scaler, discriminator_scaler = state.scalers
    rows = group.rows(config.batch_size)
    monitor = DivergenceMonitor(folder, state.monitor_state)
    saved_at = state.seen

    def keep(measured: bool) -> None:
        """Save a checkpoint, and measure it: afterwards, since who asked to stop may not wait that long."""
        nonlocal saved_at
        if not state.is_finite():
            monitor.give_up(*not_finite("weights", state.seen))
        saved_at = state.seen
        state.measures, state.protocol = {}, ""
        if group.is_first:
            state.save(folder, config)
        if checkpoint_evaluator is not None and measured:
            try:
                found = _finite(measure(state, dataset, config, hardware, checkpoint_evaluator))
            except (ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
                # A number that only describes the run does not end it.
                log.warn([f"this checkpoint was not measured: {str(error).partition(chr(10))[0] or type(error).__name__}"])
                return
            state.measures, state.protocol = found, checkpoint_evaluator.protocol
            log.write(checkpoint_evaluator.row(state.seen, state.seconds, state.measures))
            log.warn(warnings_of(state.measures, measures_of(folder, state.protocol), state.seen))
            state.save(folder, config)

    with RunLogger(state, config, folder, group) as log:
        if state.seen == 0:
            log.show()
        now = perf_counter()
        over = group.any(config.is_reached(state.seen, state.seconds))  # by the slowest clock, so that all go on or none
        step = config.batch_size * config.discriminator_steps
        at_checkpoint = (state.seen - step) // config.checkpoint_every < state.seen // config.checkpoint_every
        if state.seen and not state.measures and (over or at_checkpoint):
            keep(measured=True)  # what a killed run had saved and not yet measured
        while not over and not group.any(asked_to_stop()):
            before = state.seen
            _set_schedules(state, config)

            # Discriminator: tell real images from generated ones
            for turn in range(config.discriminator_steps):
                batch = make_minibatch(dataset, config, state.space, state.seen, rows, hardware.device)
                with hardware.autocast(), torch.set_grad_enabled(turn == config.discriminator_steps - 1):
                    fake = generator(*batch.inputs)
                penalise = penalised and state.seen // config.batch_size % config.penalty_every == 0
                with nullcontext() if penalise else hardware.autocast():
                    found = discriminator_loss(discriminator, config, batch, fake, penalise)
                weight = config.penalty_every * annealed(1.0, config.penalty_end, config, state.seen)
                state.discriminator_optimiser.zero_grad()
                discriminator_scaler.scale(found["loss"] + weight * found["penalty"]).backward()  # type: ignore[no-untyped-call]
                discriminator_scaler.step(state.discriminator_optimiser)
                discriminator_scaler.update()
                if config.weight_clip is not None:
                    _clip(state.discriminator.discriminator, config.weight_clip)
                state.seen += config.batch_size

            # Generator: be taken for real. The discriminator's weights need no gradients here
            state.discriminator.requires_grad_(False)
            with hardware.autocast():
                loss = generator_loss(state.discriminator, config, batch, fake, found["real"])
            state.generator_optimiser.zero_grad()
            generator_scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            generator_scaler.step(state.generator_optimiser)
            generator_scaler.update()
            state.discriminator.requires_grad_(True)

            # Moving average and statistics, which stay on the device
            state.update_average(ema_weight(config, state.seen, state.seen - before))
            log.add(_statistics(config, found, loss), state.seen - before)
            previous, now = now, perf_counter()
            state.seconds += now - previous

            # Once per tick: read the statistics, the only time the loop waits for the device
            over = group.any(config.is_reached(state.seen, state.seconds))
            tick_due, grid_due, checkpoint_due = (
                over or before // every < state.seen // every
                for every in (config.batch_size * _STEPS_PER_TICK, config.sample_every, config.checkpoint_every)
            )
            if tick_due or grid_due or checkpoint_due:
                row = log.tick()
                monitor.look(row)
                log.write(row)

            # Now and then: a checkpoint to come back to, measured, and a grid to look at
            if checkpoint_due:
                keep(measured=True)
            if grid_due or checkpoint_due:
                log.show()
        if state.seen > saved_at:
            keep(measured=False)
            log.show()
    return over


def _set_schedules(state: TrainingState, config: TrainingConfig) -> None:
    factor = annealed(
        1.0, None if config.learning_rate_end is None else config.learning_rate_end / config.learning_rate, config, state.seen
    )
    beta2 = annealed(config.beta2, config.beta2_end, config, state.seen)
    rates = (config.generator_learning_rate or config.learning_rate, config.learning_rate)
    for optimiser, rate in zip((state.generator_optimiser, state.discriminator_optimiser), rates, strict=True):
        for parameters in optimiser.param_groups:
            parameters["lr"], parameters["betas"] = factor * rate, (config.beta1, beta2)


def _finite(measures: dict[str, float]) -> dict[str, float]:
    """The same. Raises ValueError if one is no finite number: nothing may be ranked by that."""
    if wrong := [name for name, value in measures.items() if not isfinite(value)]:
        raise ValueError(f"{', '.join(wrong)} is not a finite number")
    return measures


@torch.no_grad()
def _clip(network: nn.Module, largest: float) -> None:
    for parameter in network.parameters():
        parameter.clamp_(-largest, largest)


def _statistics(config: TrainingConfig, found: dict[str, Tensor], loss_g: Tensor) -> dict[str, Tensor]:
    """Scalars of one step.

    D(x), D(G(z)) and V(D, G) = E log D(x) + E log(1 - D(G(z))) only where a logit is the log-odds of being real. At the Nash
    equilibrium D is 1/2 everywhere and V is -log 4; the report shows how far from that it is.
    """
    real, fake = found["real"].detach(), found["fake"].detach()
    both = torch.cat([real, fake])
    measured = {"loss_d": found["loss"], "loss_g": loss_g}
    if OBJECTIVES[config.objective].is_log_odds:
        measured |= {"d_real": real.sigmoid().mean(), "d_fake": fake.sigmoid().mean(), "value": -found["adversarial"]}
    else:
        measured |= {"logit_real": real.mean(), "logit_fake": fake.mean()}
    measured |= {"logit_mean": both.mean(), "logit_std": both.std()}
    if has_gradient_penalty(config):
        measured["penalty"] = found["penalty"]
    for name, error in (("labels", "label_error"), ("codes", "code_error")):
        if name in found:
            measured[error] = found[name]
    return measured
