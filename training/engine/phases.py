"""Phases of a step: the networks that it trains, one after another, each with its loss and optimiser."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from training.config.schema import TrainingConfig
from training.engine.conv_weight_grad import use_fast_weight_gradients
from training.engine.minibatch import Minibatch
from training.engine.schedules import annealed
from training.engine.state import TrainingState, state_buffers
from training.engine.step import (
    DiscriminatorLoss,
    GeneratorLoss,
    Loss,
    discriminator_loss,
    generator_loss,
    has_gradient_penalty,
    joined,
)
from training.hardware import Hardware


@dataclass(frozen=True)
class Phase:
    """Training of one network."""

    name: str
    module: nn.Module  # whose weights are updated
    optimiser: Optimizer
    scaler: GradScaler  # of the loss, for float16
    loss: Callable[[Minibatch, Tensor], Loss]  # of a minibatch and the images generated from its inputs
    every: int  # discriminator steps from one update to the next
    frozen: tuple[nn.Module, ...] = ()  # networks in the loss whose weights need no gradients
    constrain: Callable[[], None] | None = None  # called after each update
    wrapped: nn.Module | None = None  # the module as it is called in the loss, if wrapped for several processes

    def update(self, parts: Sequence[Minibatch], generate: Callable[[Minibatch], Tensor]) -> Loss:
        """Take one step of the optimiser by a minibatch, whose gradients are accumulated over its equal parts.

        `generate` draws a part's images from its inputs. Returns the loss before the step.
        """
        for network in self.frozen:
            network.requires_grad_(False)
        self.optimiser.zero_grad()
        buffers = [buffer for network in (self.module, *self.frozen) for buffer in state_buffers(network)] if parts[1:] else []
        before = [buffer.clone() for buffer in buffers]
        losses = []
        for number, part in enumerate(parts, 1):
            # Each part finds the vectors of spectral normalisation as the whole minibatch would.
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
            with self._exchanging(number == len(parts)):
                loss = self.loss(part, generate(part))
                self.scaler.scale(loss.total / len(parts)).backward()  # type: ignore[no-untyped-call]
            losses.append(loss)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        for network in self.frozen:
            network.requires_grad_(True)
        if self.constrain is not None:
            self.constrain()
        total: Loss = joined(losses)
        return total

    def _exchanging(self, now: bool) -> AbstractContextManager[None]:
        """Context of a backward pass, in which several processes exchange the gradients accumulated so far only if asked to."""
        if now or not isinstance(self.wrapped, DistributedDataParallel):
            return nullcontext()
        without: AbstractContextManager[None] = self.wrapped.no_sync()
        return without


def make_phases(
    state: TrainingState,
    generator: nn.Module,  # the state's, as the next, wrapped for several processes
    discriminator: nn.Module,
    config: TrainingConfig,
    hardware: Hardware,
) -> list[Phase]:
    """The phases of a run, in the order in which a step takes them."""
    if hardware.precision == torch.bfloat16 and hardware.device.type == "cpu":
        for network in (state.generator, state.discriminator):
            use_fast_weight_gradients(network)
    return [_discriminator_phase(state, discriminator, config, hardware), _generator_phase(state, generator, config, hardware)]


def _discriminator_phase(state: TrainingState, discriminator: nn.Module, config: TrainingConfig, hardware: Hardware) -> Phase:
    """Discriminator: tell real from generated images.

    A penalty of every k-th step is part of that step's loss, not a phase: Adam then takes no more steps than without it.
    """

    def loss(batch: Minibatch, fake: Tensor) -> DiscriminatorLoss:
        penalty_weight = _penalty_weight(config, state.seen)
        with hardware.autocast() if penalty_weight is None else nullcontext():
            return discriminator_loss(discriminator, config, batch, fake, penalty_weight)

    return Phase(
        "discriminator",
        state.discriminator,
        state.discriminator_optimiser,
        state.scalers[1],
        loss,
        every=1,
        constrain=None if config.weight_clip is None else partial(_clip, state.discriminator.discriminator, config.weight_clip),
        wrapped=discriminator,
    )


def _generator_phase(state: TrainingState, generator: nn.Module, config: TrainingConfig, hardware: Hardware) -> Phase:
    """Generator: have its images taken for real."""

    def loss(batch: Minibatch, fake: Tensor) -> GeneratorLoss:
        with hardware.autocast():
            return generator_loss(state.discriminator, config, batch, fake)

    return Phase(
        "generator",
        state.generator,
        state.generator_optimiser,
        state.scalers[0],
        loss,
        every=config.discriminator_steps,
        frozen=(state.discriminator,),
        wrapped=generator,
    )


def _penalty_weight(config: TrainingConfig, seen: int) -> float | None:
    """Factor of the gradient penalties after `seen` images; None in a step without, which those that have them make up for."""
    if not has_gradient_penalty(config) or seen // config.batch_size % config.penalty_every:
        return None
    return config.penalty_every * annealed(1.0, config.penalty_end, config, seen)


@torch.no_grad()
def _clip(network: nn.Module, largest: float) -> None:
    """Clip all weights to [-largest, largest], as WGAN does after each step (Arjovsky et al. 2017, algorithm 1)."""
    for parameter in network.parameters():
        parameter.clamp_(-largest, largest)
