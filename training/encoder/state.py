"""State of an encoder's training: networks, optimiser and counters; how it is started, saved and restored."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.optim import Adam

from gan.networks import encoder as encoders
from gan.networks.encoder import Encoder
from training.encoder.frozen import FrozenModel
from training.encoder.settings import EncoderConfig
from training.engine.checkpoint import CheckpointError
from training.engine.conv_weight_grad import use_fast_weight_gradients
from training.engine.digested import read_digested, write_digested
from training.hardware import Hardware

CHECKPOINT = "encoder-checkpoint.safetensors"
_BETAS = (0.9, 0.99)
_HALF_LIFE = 10_000  # images after which a weight counts half in the moving average, or a twentieth of those seen if that is less
_RAMP = 0.05


def arguments_of(config: EncoderConfig, model: FrozenModel) -> dict[str, Any]:
    """The arguments of a model's encoder beside those that its manifest has, of JSON types."""
    found: dict[str, Any] = {"width": config.width, "classes": model.classes}
    if model.attributes is not None:
        found |= {"attributes": model.attributes.table.model_dump(), "distribution": model.manifest.latent}
    return found


@dataclass
class EncoderState:
    """The encoder, its moving average, the best average so far, and how far training has come."""

    encoder: Encoder
    average: Encoder  # exponential moving average of weights and batch statistics: what is measured and exported
    best: Encoder  # the average with the highest PSNR on the images that choose
    optimiser: Adam
    seen: int = 0  # real images
    seconds: float = 0.0  # of training, summed over all resumes
    best_psnr: float = float("-inf")  # dB
    best_seen: int = 0

    @classmethod
    def start(cls, config: EncoderConfig, model: FrozenModel, hardware: Hardware) -> "EncoderState":
        """An encoder with the weights that the seed gives. Raises ValueError for a size of images that it cannot be of."""
        manifest = model.manifest
        encoder = Encoder(manifest.z_dim, manifest.channels, model.size, **arguments_of(config, model))
        encoders.initialise(encoder, torch.Generator().manual_seed(config.seed))
        encoder.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = copy.deepcopy(encoder).requires_grad_(False).eval()
        if hardware.precision == torch.bfloat16 and hardware.device.type == "cpu":
            use_fast_weight_gradients(encoder)
        optimiser = Adam(encoder.parameters(), lr=config.learning_rate, betas=_BETAS, fused=True)
        for parameter in encoder.parameters():  # which exist, therefore, for a checkpoint to be restored into
            optimiser.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return cls(encoder, average, copy.deepcopy(average), optimiser)

    @torch.no_grad()
    def update_average(self, images: int) -> None:
        """Move the average towards the encoder after a step of so many images."""
        weight = 1 - 0.5 ** (images / max(min(_HALF_LIFE, _RAMP * self.seen), 1e-9))
        current = self.encoder.state_dict()
        for name, averaged in self.average.state_dict().items():
            if averaged.is_floating_point():
                averaged.lerp_(current[name], weight)
            else:
                averaged.copy_(current[name])  # a counter

    def keep_if_best(self, psnr: float) -> bool:
        """Keep the average if its PSNR, in dB, is the highest so far; returns whether it is."""
        if not psnr > self.best_psnr:
            return False
        self.best.load_state_dict(self.average.state_dict())
        self.best_psnr, self.best_seen = psnr, self.seen
        return True

    # Saving

    def save(self, folder: Path, fingerprint: str) -> None:
        """Write the checkpoint atomically, in the place of the one before. `fingerprint` says what it may be resumed with."""
        progress = {"seen": self.seen, "seconds": self.seconds, "best_seen": self.best_seen, "best_psnr": repr(self.best_psnr)}
        metadata = {"progress": json.dumps(progress), "fingerprint": fingerprint}
        write_digested(folder / CHECKPOINT, self._tensors(), metadata)

    @torch.no_grad()
    def restore(self, folder: Path, fingerprint: str) -> bool:
        """Load the checkpoint of a folder; False where there is none.

        Raises CheckpointError if it is damaged, or was written with another fingerprint.
        """
        path = folder / CHECKPOINT
        if not path.exists():
            return False
        try:
            saved, metadata = read_digested(path)
            progress = json.loads(metadata["progress"])
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise CheckpointError(path, f"{error}; add --anew to begin again") from error
        if metadata["fingerprint"] != fingerprint:
            raise CheckpointError(path, "it is of other settings, of another model or of other images: add --anew to begin again")
        for name, tensor in self._tensors().items():
            tensor.copy_(saved[name])  # into the existing tensors, which keeps their memory layout
        self.seen, self.seconds, self.best_seen = progress["seen"], progress["seconds"], progress["best_seen"]
        self.best_psnr = float(progress["best_psnr"])
        return True

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors to save, by their names on disk."""
        networks = {"encoder": self.encoder, "average": self.average, "best": self.best}
        tensors = {f"{prefix}.{name}": tensor for prefix, one in networks.items() for name, tensor in one.state_dict().items()}
        for name, parameter in self.encoder.named_parameters():
            for moment, tensor in self.optimiser.state[parameter].items():
                tensors[f"optimiser.{moment}.{name}"] = tensor
        return tensors
