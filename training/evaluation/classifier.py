"""A small classifier of a labelled set: generated images are measured by its features and predictions.

It is trained on the set itself and kept in a cache, so that nothing has to be downloaded. Measures compare only with others by
the same classifier, which is why its version and its accuracy on held-out images are part of every protocol.
"""

import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from gan.atomic import write_atomically
from training.data.decode_cache import cache_root
from training.evaluation.subsets import fixed_subset
from training.hardware import Hardware

SIDE = 32  # pixels; images of any size are scaled to a square of it

CPU = torch.device("cpu")

_FORMAT = 2  # of the cached files, the network and its training; raised when one changes, so that all are trained anew
_WEIGHTS, _RECORD = "classifier.safetensors", "classifier.json"
_MOST_IMAGES = 60_000  # that one is trained on, a fixed random subset of larger sets: more take long and add little
_SET_ASIDE = 10  # one image in so many is held out of a set without held-out images, to measure the accuracy

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How a classifier is trained. The defaults reach 91 to 92 % on Fashion-MNIST's held-out images."""

    epochs: int = 4
    width: int = 32  # channels of the first convolution
    batch_size: int = 128
    learning_rate: float = 3e-3  # Adam's, at the top of one cycle (Smith and Topin 2018, arXiv 1708.07120)
    seed: int = 0  # of the initial weights and the order of the data


class Record(BaseModel):
    """The metadata of a trained classifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(gt=0)
    classes: int = Field(gt=1)
    width: int = Field(gt=0)
    accuracy: float = Field(ge=0, le=1)  # on held-out images
    tested: int = Field(gt=0)  # number of held-out images
    guessing: float = Field(ge=0, le=1)  # the share that belongs to the largest class


class Network(nn.Module):
    """Three convolutions with pooling and two linear layers, like LeNet-5 (LeCun et al. 1998), with ReLU and more channels."""

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.penultimate = nn.Linear(4 * width * (SIDE // 8) ** 2, 128)
        self.last = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [n, channels, 32, 32] in [-1, 1] -> features [n, 128], which are 0 or more, and logits [n, classes]."""
        features = functional.relu(self.penultimate(self.convolutions(images).flatten(1)))
        return features, self.last(features)


@dataclass(frozen=True)
class Classifier:
    """A trained network in evaluation mode, on the processor, and its metadata."""

    network: Network
    record: Record
    device: torch.device = CPU  # that features and predictions are computed on

    @property
    def version(self) -> str:
        """First 8 hex digits of the SHA-256 of the weights: weights trained with another number of threads differ slightly."""
        digest = hashlib.sha256()
        for _, weight in sorted(self.network.state_dict().items()):
            digest.update(weight.contiguous().numpy().tobytes())
        return digest.hexdigest()[:8]

    @property
    def is_unsure(self) -> bool:
        """Whether it makes, to within a standard error, half as many mistakes as always predicting the largest class, or more.

        What such a network does not tell apart in real images, it does not miss in generated ones.
        """
        enough = (1 + self.record.guessing) / 2
        return self.record.accuracy < enough - math.sqrt(enough * (1 - enough) / self.record.tested)

    def __str__(self) -> str:
        accuracy = f"{100 * self.record.accuracy:.1f} % accurate on {self.record.tested} held-out pictures"
        return f"LeNet-like, {self.version}, {accuracy}"


def to_input(images: NDArray[np.uint8], channels: int, side: int = SIDE, device: torch.device = CPU) -> Tensor:
    """uint8 [n, c, h, w] -> float32 [n, channels, side, side] in [-1, 1], on the device.

    Scaled bilinearly with antialiasing, as torch does; grey is repeated to RGB where 3 channels are wanted. Raises
    ValueError for any other change of channels.
    """
    tensor = torch.from_numpy(np.array(images)).to(device).float().div_(127.5).sub_(1)
    if tensor.shape[1] != channels:
        if (tensor.shape[1], channels) != (1, 3):
            raise ValueError(f"pictures of {tensor.shape[1]} channels cannot be compared with those of {channels}")
        tensor = tensor.expand(-1, channels, -1, -1)
    if tensor.shape[2:] != (side, side):
        tensor = functional.interpolate(tensor, (side, side), mode="bilinear", antialias=True)
    return tensor


def load_or_train(
    images: NDArray[np.uint8],  # [n, c, h, w], to train on
    labels: NDArray[np.int64],  # [n], 0 ... classes - 1
    *,
    classes: int,
    fingerprint: str,  # of images and labels: names the classifier in the cache
    held_out: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None,  # images and labels; None: a tenth is held out
    schedule: Schedule = Schedule(),
    hardware: Hardware | None = None,  # None: the processor in float32
    cache: Path | None = None,  # None: gan-service/classifiers in $XDG_CACHE_HOME, or in ~/.cache
    progress: bool = True,
) -> Classifier:
    """The classifier of these images from the cache, or else trained, which takes minutes, and stored there.

    A cached one that cannot be read is replaced; one that cannot be stored is only logged. Raises ValueError as `train` does.
    """
    about = {"format": _FORMAT, "set": fingerprint, "classes": classes, "tested": len(held_out[0]) if held_out else None}
    key = hashlib.sha256(json.dumps(about | asdict(schedule), sort_keys=True).encode()).hexdigest()[:16]
    folder = (cache or cache_root() / "classifiers") / key
    found = _read(folder)
    if found is not None:
        return replace(found, device=CPU if hardware is None else hardware.device)
    trained = train(images, labels, classes=classes, held_out=held_out, schedule=schedule, hardware=hardware, progress=progress)

    def fill(target: Path) -> None:
        save_file(trained.network.state_dict(), target / _WEIGHTS)
        (target / _RECORD).write_text(trained.record.model_dump_json(indent=2))

    try:
        write_atomically(folder, fill, replace=True)
    except OSError as error:
        _log.error("the classifier cannot be kept in %s (%s): it will be trained again next time", folder, error)
    return trained


def train(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    classes: int,
    held_out: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None,
    schedule: Schedule = Schedule(),
    hardware: Hardware | None = None,
    progress: bool = False,
) -> Classifier:
    """Train a classifier, in the precision of the hardware. Arguments as in `load_or_train`.

    The same arguments and number of threads on the same processor give the same weights. Raises ValueError for fewer than 20
    images or labels outside 0 ... classes - 1.
    """
    if len(images) < 2 * _SET_ASIDE:
        raise ValueError(f"a classifier needs at least {2 * _SET_ASIDE} labelled images, not {len(images)}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels lie between {labels.min()} and {labels.max()}; with {classes} classes they go from 0 to {classes - 1}"
        )
    indices = np.arange(len(images))
    if held_out is None:
        order = np.random.default_rng(schedule.seed).permutation(len(images))
        aside, indices = np.sort(order[: len(order) // _SET_ASIDE]), np.sort(order[len(order) // _SET_ASIDE :])
        held_out = images[aside], labels[aside]
    if len(indices) > _MOST_IMAGES:
        indices = indices[fixed_subset(len(indices), _MOST_IMAGES, seed=schedule.seed)]
    hardware = hardware or Hardware.plain()
    device, channels = hardware.device, images.shape[1]
    _log.info(
        f"training a classifier of the {classes} classes, to measure by, on {len(indices):,} images; it is kept for later runs",
        extra={"stream": "stderr"},  # some commands write JSON to standard output
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schedule.seed)
        network = Network(channels, classes, schedule.width)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
    steps = schedule.epochs * -(-len(indices) // schedule.batch_size)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.learning_rate, total_steps=max(steps, 2))
    with tqdm(total=steps, desc="training a classifier", unit="step", leave=False, disable=None if progress else True) as bar:
        for epoch in range(schedule.epochs):
            order = np.random.default_rng([schedule.seed, epoch]).permutation(indices)
            for start in range(0, len(order), schedule.batch_size):
                batch = order[start : start + schedule.batch_size]
                shown = to_input(images[batch], channels, device=device).contiguous(memory_format=torch.channels_last)
                with hardware.autocast():
                    _, logits = network(shown)
                loss = functional.cross_entropy(logits.float(), torch.from_numpy(labels[batch]).to(device))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                cycle.step()
                bar.update()
    network.eval().requires_grad_(False).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    record = Record(
        channels=channels,
        classes=classes,
        width=schedule.width,
        accuracy=_accuracy(network, *held_out),
        tested=len(held_out[0]),
        guessing=float(np.bincount(held_out[1]).max() / len(held_out[1])),
    )
    return Classifier(network, record, device)


def _accuracy(network: Network, images: NDArray[np.uint8], labels: NDArray[np.int64], batch_size: int = 500) -> float:
    right = 0
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            _, logits = network(to_input(images[start : start + batch_size], images.shape[1]))
            right += int((logits.argmax(1).numpy() == labels[start : start + batch_size]).sum())
    return right / len(images)


def _read(folder: Path) -> Classifier | None:
    """Load a classifier from a folder of the cache; None if there is none that can be used."""
    try:
        record = Record.model_validate_json((folder / _RECORD).read_bytes())
        network = Network(record.channels, record.classes, record.width)
        network.load_state_dict(load_file(folder / _WEIGHTS))
    except (OSError, ValidationError, SafetensorError, RuntimeError):
        return None
    return Classifier(network.eval().requires_grad_(False), record)
