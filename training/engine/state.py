"""State of a run: networks, optimisers, moving average and counters; how it is started, saved and restored."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Adam
from torch.optim.swa_utils import update_bn

from gan.attribute_table import AttributeTable
from gan.latents import Code, InputSpec
from gan.networks import auxiliary_head, families
from gan.networks.attributes import ARGUMENT
from gan.networks.family import Generator
from gan.networks.layers.conditioning import inputs_as_tensors
from training.config.schema import TrainingConfig
from training.engine import checkpoint
from training.engine.checkpoint import CheckpointError, CheckpointMetadata
from training.engine.distributed import Group
from training.engine.step import DiscriminatorWithHeads
from training.hardware import Hardware

_CALIBRATION_BATCHES, _CALIBRATION_BATCH_SIZE = 16, 64
_HEAD, _HEAD_OF_ATTRIBUTES = 128, 512  # units of the auxiliary head's hidden layer
_CPU = torch.device("cpu")


class _Unpacking(nn.Module):
    """Wrapper of a network that takes its inputs in one list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, values: list[Tensor]) -> Tensor:
        images: Tensor = self.network(*values)
        return images


@dataclass
class TrainingState:
    """The networks, their optimisers, the generator's moving average, and how far training has come."""

    generator: Generator
    discriminator: DiscriminatorWithHeads
    average: Generator  # exponential moving average of the generator: what is sampled and exported
    generator_optimiser: Adam
    discriminator_optimiser: Adam
    scalers: tuple[GradScaler, GradScaler]  # for float16: the generator's and the discriminator's
    seen: int = 0  # real images the discriminator was trained on
    seconds: float = 0.0  # of training, summed over all resumes
    measures: dict[str, float] = field(default_factory=dict)  # as of the last checkpoint
    protocol: str = ""  # of the measures
    measure_due: bool = False  # whether the last checkpoint is to be measured
    monitor_state: dict[str, int] = field(default_factory=dict)  # of divergence.DivergenceMonitor
    processes: int = 1  # that train it
    _finished: Generator | None = field(default=None, init=False, repr=False)  # of the average as it is now

    @classmethod
    def start(
        cls,
        config: TrainingConfig,
        channels: int,
        classes: int | None,  # None for an unconditional run
        hardware: Hardware,
        attributes: AttributeTable | None = None,  # of the data, for a generator that shows them
    ) -> "TrainingState":
        """Fresh networks with the weights that the run's seed gives."""
        input_spec = config.input_spec(classes)
        of_generator = config.arguments | ({} if attributes is None else {ARGUMENT: attributes.model_dump()})
        generator = families.generator(config.arch, input_spec, channels, config.size, of_generator)
        discriminator = families.discriminator(
            config.arch, channels, config.size, classes, config.discriminator_norm, config.arguments
        )
        random = torch.Generator().manual_seed(config.seed)
        for network in (generator, discriminator):
            families.initialise(config.arch, network, random)
        aux_head = None
        targets = [*([Code("label", classes)] if config.aux_classifier_weight else []), *input_spec.codes]
        if attributes is not None:
            targets.append(Code("attributes", attributes.size))
        if targets:
            width = _HEAD_OF_ATTRIBUTES if attributes is not None else _HEAD
            aux_head = auxiliary_head.AuxiliaryHead(discriminator.feature_count, tuple(targets), width)
            auxiliary_head.initialise(aux_head, random)
        with_heads = DiscriminatorWithHeads(discriminator, aux_head)
        for module in (generator, with_heads):
            # Convolutions on a CPU are fastest in channels-last memory.
            module.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(
            generator,
            with_heads,
            copy.deepcopy(generator).requires_grad_(False),
            _adam(generator, config, config.generator_learning_rate or config.learning_rate),
            _adam(with_heads, config, config.learning_rate),
            (hardware.scaler(), hardware.scaler()),
        )

    @property
    def input_spec(self) -> InputSpec:
        """Inputs of the generator: latent distribution, classes and codes."""
        return self.generator.input_spec

    @torch.no_grad()
    def update_average(self, weight: float) -> None:
        """Move the average's weights towards the generator's: average + weight * (generator - average).

        Buffers are copied, since they are constants, counters or averages of their own (StyleGAN's w_avg), which gain nothing from
        a second average. Batch statistics are left alone: `finished_generator` estimates them for the averaged weights.
        """
        self._finished = None
        for averaged, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            averaged.lerp_(current, weight)
        for copied, buffer in zip(state_buffers(self.average), state_buffers(self.generator), strict=True):
            copied.copy_(buffer)

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return next(self.generator.parameters()).device

    def finished_generator(self, device: torch.device = _CPU) -> Generator:
        """Copy of the averaged generator as it is sampled and, on the CPU, exported: float32, in eval mode.

        Averaged weights do not fit the batch statistics of the generator they were averaged from, so the statistics are
        estimated again over fixed latents, seeds 0 to 1,023. The copy is kept until the average changes, since a checkpoint is
        sampled, measured and exported: it must not be changed.
        """
        if self._finished is not None and next(self._finished.parameters()).device.type == device.type:
            return self._finished
        network: Generator = copy.deepcopy(self.average).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        firsts = range(0, _CALIBRATION_BATCHES * _CALIBRATION_BATCH_SIZE, _CALIBRATION_BATCH_SIZE)
        # update_bn passes the first element of each batch to the network: here the list of all its inputs.
        batches = (
            [[values.to(device) for values in inputs_as_tensors(range(first, first + _CALIBRATION_BATCH_SIZE), self.input_spec)]]
            for first in firsts
        )
        update_bn(batches, _Unpacking(network))
        self._finished = network.eval()
        return self._finished

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        weights = [*self.generator.parameters(), *self.discriminator.parameters()]
        return bool(torch.stack([weight.detach().abs().sum() for weight in weights]).isfinite().all())

    # Saving

    def save(self, folder: Path, config: TrainingConfig) -> Path:
        """Write a checkpoint atomically and delete all but the last three and the best; returns its path."""
        return checkpoint.write(folder, self._tensors(), self._progress(), config)

    @torch.no_grad()
    def restore(self, path: Path) -> None:
        """Load a checkpoint into this state. Raises CheckpointError if it is damaged or of other networks."""
        saved, progress = checkpoint.read(path)
        self._finished = None
        tensors = self._tensors()
        if saved.keys() != tensors.keys():
            raise CheckpointError(path, f"it is of other networks: {min(saved.keys() ^ tensors.keys())} is only on one side")
        for name, tensor in tensors.items():
            if saved[name].shape != tensor.shape:
                raise CheckpointError(path, f"{name} has the shape {list(saved[name].shape)}, not {list(tensor.shape)}")
        for name, tensor in tensors.items():
            # Copied into the existing tensors, which keeps their memory layout: the fused Adam computes wrong updates, without
            # an error, from moments whose strides are not their parameter's.
            tensor.copy_(saved[name])
        self._go_on_from(progress)

    @torch.no_grad()
    def copy_from_first(self, group: Group) -> None:
        """Take over the first process's state in all others: they need not see its files, nor trust that these are the same."""
        if group.size == 1:
            return
        self._finished = None
        for tensor in self._tensors().values():
            group.copy_from_first(tensor)
        self._go_on_from(group.from_first(self._progress))

    def _progress(self) -> CheckpointMetadata:
        return CheckpointMetadata(
            seen=self.seen,
            seconds=self.seconds,
            measures=self.measures,
            protocol=self.protocol,
            measure_due=self.measure_due and not self.measures,
            troubles=self.monitor_state,
            scalers=[scaler.state_dict() for scaler in self.scalers],
            processes=self.processes,
        )

    def _go_on_from(self, progress: CheckpointMetadata) -> None:
        for scaler, scale in zip(self.scalers, progress.scalers, strict=True):
            if scale:  # empty after a run in another precision
                scaler.load_state_dict(scale)
        self.monitor_state, self.protocol, self.measure_due = progress.troubles, progress.protocol, progress.measure_due
        self.seen, self.seconds, self.measures = progress.seen, progress.seconds, progress.measures
        self.processes = progress.processes

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors to save, by their names on disk.

        There the discriminator with its heads is called "judge" and the auxiliary head "reader", as in the first checkpoints.
        """
        networks = {"generator": self.generator, "judge": self.discriminator, "average": self.average}
        optimisers = {"generator": self.generator_optimiser, "judge": self.discriminator_optimiser}
        tensors = {
            f"{prefix}.{_on_disk(name)}": tensor
            for prefix, network in networks.items()
            for name, tensor in network.state_dict().items()
        }
        for prefix, optimiser in optimisers.items():
            for name, parameter in networks[prefix].named_parameters():
                for moment, tensor in optimiser.state[parameter].items():
                    tensors[f"{prefix}_optimiser.{moment}.{_on_disk(name)}"] = tensor
        return tensors


def _on_disk(name: str) -> str:
    """Name in checkpoints of a network's tensor."""
    head = "aux_head."
    return f"reader.{name.removeprefix(head)}" if name.startswith(head) else name


def state_buffers(network: nn.Module) -> Iterator[Tensor]:
    """All buffers but those of batch normalisation, which `update_bn` estimates, in a fixed order."""
    for module in network.modules():
        if not isinstance(module, _BatchNorm):
            yield from module.buffers(recurse=False)


def _adam(network: nn.Module, config: TrainingConfig, learning_rate: float) -> Adam:
    optimiser = Adam(network.parameters(), lr=learning_rate, betas=(config.beta1, config.beta2), fused=True)
    # Adam creates its moments at its first step; created here, they exist for a checkpoint to be restored into.
    for parameter in network.parameters():
        optimiser.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimiser
