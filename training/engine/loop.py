"""The training loop."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from training.config.schema import TrainingConfig
from training.data import Dataset
from training.engine import batch_norm, intervals
from training.engine.checkpoint import measures_of
from training.engine.checkpoint_quality import measure_checkpoint
from training.engine.distributed import Group
from training.engine.divergence import DivergenceMonitor, not_finite, warnings_of
from training.engine.intervals import Moment
from training.engine.logger import RunLogger
from training.engine.minibatch import Minibatch, Minibatches, make_minibatch
from training.engine.phases import Phase, make_phases
from training.engine.schedules import ema_weight, set_schedules
from training.engine.state import TrainingState
from training.engine.step import Loss
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator, describe
from training.evaluation.point_evaluator import PointEvaluator
from training.hardware import Hardware
from training.tracking.trackers import Trackers

_STEPS_PER_TICK = 16
_ALONE = Group()


def train(
    state: TrainingState,
    dataset: Dataset,
    config: TrainingConfig,
    hardware: Hardware,
    folder: Path,  # of the run: gets statistics, samples, checkpoints and the report
    checkpoint_evaluator: CheckpointEvaluator
    | PointEvaluator
    | None,  # what the first process measures checkpoints with, if at all
    asked_to_stop: Callable[[], bool],  # called between two steps
    group: Group = _ALONE,
    trackers: Trackers | None = None,  # open, of the first process; they get statistics and samples too
) -> bool:
    """Train until the configured length is reached, and save. False if asked to stop before that. Raises DivergenceError."""
    generator, phases, minibatches = prepare(state, dataset, config, hardware, group)
    monitor = DivergenceMonitor(folder, state.monitor_state)

    with RunLogger(state, config, folder, group, trackers) as log:
        checkpoints = _Checkpoints(state, dataset, config, hardware, folder, checkpoint_evaluator, group, monitor, log, state.seen)
        if state.seen == 0:
            log.write_samples()
        now = perf_counter()
        over = group.any(config.is_reached(state.seen, state.seconds))  # by the slowest clock, so that all go on or none
        if checkpoints.is_measure_missing(over):
            checkpoints.save(measured=True)
        group.wait()
        while not over and not group.any(asked_to_stop()):
            before = Moment(state.seen, state.seconds)
            losses = take_step(state, generator, phases, minibatches, config, hardware)
            log.add(_statistics(losses, config), state.seen - before.seen)
            previous, now = now, perf_counter()
            state.seconds += now - previous

            # Once per tick: read the statistics, the only time the loop waits for the device
            over = group.any(config.is_reached(state.seen, state.seconds))
            after = Moment(state.seen, state.seconds)
            grid_due = over or group.any(intervals.grid_due(config, before, after))
            checkpoint_due = over or group.any(intervals.checkpoint_due(config, before, after))
            tick = config.batch_size * _STEPS_PER_TICK
            if grid_due or checkpoint_due or before.seen // tick < after.seen // tick:
                row = log.tick()
                monitor.check(row)
                log.write(row)

            # At their intervals: a checkpoint, measured, and a grid of samples
            if checkpoint_due:
                checkpoints.save(measured=True)
            if grid_due or checkpoint_due:
                log.write_samples()
                log.restart_clock()
                group.wait()  # for the first process, which measures
        if state.seen > checkpoints.saved_at:
            checkpoints.save(measured=False)  # a run that is asked to stop may not have the time
            log.write_samples()
    return over


def prepare(
    state: TrainingState, dataset: Dataset, config: TrainingConfig, hardware: Hardware, group: Group = _ALONE
) -> tuple[nn.Module, list[Phase], Minibatches]:
    """What `take_step` takes: the generator, wrapped for several processes, a step's phases, and this process's minibatches."""
    hardware.prepare()
    for network in (state.generator, state.discriminator):
        batch_norm.set_up(network, config, group)
    generator, discriminator = group.wrap(state.generator.train()), group.wrap(state.discriminator.train())
    phases = make_phases(state, generator, discriminator, config, hardware)
    rows = group.rows(config.batch_size)
    minibatches = Minibatches(lambda seen: make_minibatch(dataset, config, state.input_spec, seen, rows, hardware.device))
    return generator, phases, minibatches


def take_step(
    state: TrainingState,
    generator: nn.Module,  # the state's, wrapped for several processes
    phases: list[Phase],
    minibatches: Minibatches,
    config: TrainingConfig,
    hardware: Hardware,
) -> dict[str, Loss]:
    """Train by one step of the generator and those of the discriminator that go with it; returns the loss of each phase.

    The phases of the discriminator are in each of its steps, the generator's with the last of them. Everything stays on the device.
    The generator's phase goes on from the graph of the images that the discriminator's has seen; in parts of --micro-batch-size
    they are drawn again, part by part, so that there is one such graph at a time.
    """
    before = state.seen
    for phase in phases:
        set_schedules(phase.optimiser, config, state.seen)
    losses: dict[str, Loss] = {}
    for number in _discriminator_steps(config, state.seen):
        due = [phase for phase in phases if number % phase.every == 0]
        batch = minibatches.at(state.seen)
        if hardware.device.type == "cuda":  # which computes while the processor makes the next one
            minibatches.prefetch(state.seen + config.batch_size)
        parts = batch.parts(config.micro_batch_size)
        learning = [phase for phase in due if phase.module is state.generator]
        whole = _images(generator, hardware, learning=bool(learning))(batch) if len(parts) == 1 else None
        for phase in due:
            drawn = _images(generator, hardware, learning=phase in learning) if whole is None else _given(whole)
            losses[phase.name] = phase.update(parts, drawn)
        state.seen += config.batch_size
    state.update_average(ema_weight(config, state.seen, state.seen - before))
    return losses


def _images(generator: nn.Module, hardware: Hardware, learning: bool) -> Callable[[Minibatch], Tensor]:
    """Function that draws images from a minibatch's inputs, with a graph if the generator learns from them."""

    def draw(batch: Minibatch) -> Tensor:
        with hardware.autocast(), torch.set_grad_enabled(learning):
            images: Tensor = generator(*batch.inputs)
        return images

    return draw


def _given(images: Tensor) -> Callable[[Minibatch], Tensor]:
    return lambda _: images


@dataclass
class _Checkpoints:
    """Saves and measures the checkpoints of a run."""

    state: TrainingState
    dataset: Dataset
    config: TrainingConfig
    hardware: Hardware
    folder: Path
    evaluator: CheckpointEvaluator | PointEvaluator | None
    group: Group
    monitor: DivergenceMonitor
    log: RunLogger
    saved_at: int  # images seen at the last checkpoint

    def is_measure_missing(self, over: bool) -> bool:
        """Whether a run was killed between saving and measuring the checkpoint that it goes on from."""
        return bool(self.state.seen and not self.state.measures and (over or self.state.measure_due))

    def save(self, measured: bool) -> None:
        """Save a checkpoint, and then measure it if asked to. Raises DivergenceError for weights that are not finite."""
        state = self.state
        if not state.is_finite():
            self.monitor.give_up(*not_finite("weights", state.seen))
        self.saved_at = state.seen
        state.measures, state.protocol, state.measure_due = {}, "", measured
        if self.group.is_first:
            state.save(self.folder, self.config)
        if self.evaluator is not None and measured:
            self._measure(self.evaluator)

    def _measure(self, evaluator: CheckpointEvaluator | PointEvaluator) -> None:
        """Measure the checkpoint and save it again, with its measures."""
        state, log = self.state, self.log
        try:
            found = _finite(measure_checkpoint(state, self.dataset, self.config, self.hardware, evaluator))
        except (ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
            # A number that only describes the run does not end it.
            log.warn([f"this checkpoint was not measured: {str(error).partition(chr(10))[0] or type(error).__name__}"])
            return
        state.measures, state.protocol = found, evaluator.protocol
        row = evaluator.row(state.seen, state.seconds, state.measures)
        log.write(row)
        log.say(describe(row))
        log.warn(warnings_of(state.measures, measures_of(self.folder, state.protocol), state.seen))
        state.save(self.folder, self.config)


def _discriminator_steps(config: TrainingConfig, seen: int) -> range:
    """Numbers of the discriminator's steps up to the generator's next one, which is at a multiple of `discriminator_steps`."""
    steps = config.discriminator_steps
    taken = seen // (config.batch_size * steps) * steps
    return range(taken + 1, taken + steps + 1)


def _statistics(losses: dict[str, Loss], config: TrainingConfig) -> dict[str, Tensor]:
    """Statistics of all phases, the losses first."""
    found = [item for loss in losses.values() for item in loss.statistics(config).items()]
    return dict(sorted(found, key=lambda item: not item[0].startswith("loss_")))


def _finite(measures: dict[str, float]) -> dict[str, float]:
    """The measures. Raises ValueError if one is not a finite number: nothing may be ranked by that."""
    if wrong := [name for name, value in measures.items() if not isfinite(value)]:
        raise ValueError(f"{', '.join(wrong)} is not a finite number")
    return measures
