"""Everything that changes while a run goes on, and how it is saved and brought back."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import update_bn

from gan import artifact
from gan.networks import dcgan
from gan.networks.conditions import tensors
from training.config import TrainingConfig

_KEEP = 3
_CALIBRATION_BATCHES, _CALIBRATION_BATCH_SIZE = 16, 64


class _Unpacking(nn.Module):
    """A network that takes its inputs in one list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, values: list[Tensor]) -> Tensor:
        pictures: Tensor = self.network(*values)
        return pictures


class CheckpointError(Exception):
    """A checkpoint that cannot be resumed from; the message names the file and the remedy."""


class Progress(BaseModel):
    """What a checkpoint says of itself."""

    seen: int
    seconds: float


@dataclass
class TrainingState:
    """The players, their optimisers, the generator's moving average, and how far the game has come."""

    generator: dcgan.Generator
    discriminator: dcgan.Discriminator
    average: dcgan.Generator  # exponential moving average of the generator's weights: what is sampled and exported
    generator_optimiser: Adam
    discriminator_optimiser: Adam
    seen: int = 0  # real pictures the discriminator was trained on
    seconds: float = 0.0  # spent training, over all sittings

    @classmethod
    def start(cls, config: TrainingConfig, channels: int, classes: int | None, device: torch.device) -> "TrainingState":
        """Fresh networks with the weights that the run's seed gives; `classes` is None for an unconditional game."""
        generator = dcgan.Generator(config.space(classes), channels, config.resolution, config.width)
        discriminator = dcgan.Discriminator(
            channels, config.resolution, config.width, classes, batch_norm=config.discriminator_norm == "batch"
        )
        random = torch.Generator().manual_seed(config.seed)
        for network in (generator, discriminator):
            dcgan.initialise(network, random)
            # On a processor too the fast convolution kernels take channels last.
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(
            generator,
            discriminator,
            copy.deepcopy(generator).requires_grad_(False),
            _adam(generator, config, config.generator_learning_rate or config.learning_rate),
            _adam(discriminator, config, config.learning_rate),
        )

    @torch.no_grad()
    def update_average(self, batch_size: int, half_life: int) -> None:
        """Move the average a step towards the generator; a weight's share halves in `half_life` pictures."""
        pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
        for averaged, current in pairs:
            averaged.lerp_(current, 1 - 0.5 ** (batch_size / half_life))

    def finished_generator(self) -> dcgan.Generator:
        """The averaged generator as it is sampled and exported: on the processor, float32, in eval mode.

        Averaged weights do not fit the batch statistics of the generator they were averaged from, so the statistics are
        estimated again over fixed latents, seeds 0 to 1,023.
        """
        network: dcgan.Generator = copy.deepcopy(self.average).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        firsts = range(0, _CALIBRATION_BATCHES * _CALIBRATION_BATCH_SIZE, _CALIBRATION_BATCH_SIZE)
        # Of each item update_bn takes the first part: all inputs of the network, in a list.
        batches = [[tensors(range(first, first + _CALIBRATION_BATCH_SIZE), network.space)] for first in firsts]
        update_bn(batches, _Unpacking(network))
        return network.eval()

    # Saving

    def save(self, folder: Path, config: TrainingConfig) -> Path:
        """Write a checkpoint in one step and drop all but the last three; returns its path."""
        path = folder / f"checkpoint-{self.seen:09d}.safetensors"
        # safetensors stores dense tensors only, so channels-last ones are laid out anew.
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in self._tensors().items()}
        progress = Progress(seen=self.seen, seconds=self.seconds)
        metadata = {"progress": progress.model_dump_json(), "config": config.model_dump_json()}
        artifact.write_bytes_atomically(path, save(tensors, metadata))
        for old in checkpoints(folder)[:-_KEEP]:
            old.unlink()
        return path

    @torch.no_grad()
    def restore(self, path: Path) -> None:
        """Go back to where a checkpoint was written. Raises CheckpointError if it is damaged or of another shape."""
        progress = read_progress(path)
        try:
            with safe_open(path, "pt") as file:
                saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict
            tensors = self._tensors()
            if saved.keys() != tensors.keys():
                raise KeyError(next(iter(saved.keys() ^ tensors.keys())))
            for name, tensor in tensors.items():
                # Copied into the tensors that stand, which keeps their memory layout: the fused Adam computes wrong
                # updates, without an error, from moments whose strides are not their parameter's.
                tensor.copy_(saved[name])
        except (SafetensorError, KeyError, RuntimeError, OSError) as error:
            raise _unusable(path, error) from error
        self.seen, self.seconds = progress.seen, progress.seconds

    def _tensors(self) -> dict[str, Tensor]:
        networks = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        tensors = {
            f"{player}.{name}": tensor for player, network in networks.items() for name, tensor in network.state_dict().items()
        }
        optimisers = {"generator": self.generator_optimiser, "discriminator": self.discriminator_optimiser}
        for player, optimiser in optimisers.items():
            for name, parameter in networks[player].named_parameters():
                for moment, tensor in optimiser.state[parameter].items():
                    tensors[f"{player}_optimiser.{moment}.{name}"] = tensor
        return tensors


def read_progress(path: Path) -> Progress:
    """How far the run of a checkpoint had come. Raises CheckpointError if it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            return Progress.model_validate_json((file.metadata() or {})["progress"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} cannot be resumed from ({error}): remove it to resume from the one before")


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def _adam(network: nn.Module, config: TrainingConfig, learning_rate: float) -> Adam:
    optimiser = Adam(network.parameters(), lr=learning_rate, betas=(config.beta1, config.beta2), fused=True)
    # Adam makes its moments at its first step; made here, they are there to be restored into.
    for parameter in network.parameters():
        optimiser.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimiser


def to_network(pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 [n, channels, height, width] -> float32 in [-1, 1], channels last, on the device."""
    uploaded = torch.from_numpy(pictures).to(device)
    return uploaded.to(torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)
