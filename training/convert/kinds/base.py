"""What kinds of generators have in common: how they are declared, and the account of what became of every tensor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan.networks.family import Generator
from gan.networks.stylegan2 import FIR
from training.convert.files.sources import State, Tensors
from training.errors import ConversionError


class DiscriminatorError(ConversionError):
    """A network that judges images."""

    def __init__(self) -> None:
        super().__init__("these are the weights of a discriminator: bring those of the generator, often called netG, G or G_ema")


@dataclass(frozen=True)
class Recognised:
    """A generator of ours with the weights of a file."""

    kind: str  # for people, such as "DCGAN, as in PyTorch's tutorial"
    family: str
    arguments: dict[str, Any]
    generator: Generator  # in eval mode
    channels: int
    size: tuple[int, int]  # height and width
    tensors: dict[str, str]  # name in the file -> what became of it
    notes: tuple[str, ...] = ()  # what people should know


@dataclass(frozen=True)
class Kind:
    """A kind of generator."""

    name: str  # of --kind
    matches: Callable[[State], bool]
    build: Callable[[State], Recognised]  # raises ConversionError


class Account:
    """Tensors of a file on their way to a network of ours: each is used once, and none is missing or left over."""

    def __init__(self, tensors: Tensors, generator: Generator, title: str) -> None:
        """`title` says what the network is, in errors."""
        self._theirs, self._generator, self._title = tensors, generator, title
        self._ours = generator.state_dict()
        self._filled: set[str] = set()
        self.became: dict[str, str] = {}

    def take(self, theirs: str, became: str) -> NDArray[Any]:
        """A tensor of the file, floating-point ones as float32. Raises ConversionError if it is missing or not finite."""
        if theirs not in self._theirs:
            raise ConversionError(f"the file has no tensor {theirs}, which {self._title} has")
        values = self._theirs[theirs]
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise ConversionError(f"{theirs} has values that are not finite: training had diverged; bring an earlier one")
            values = values.astype(np.float32)
            if not np.isfinite(values).all():
                raise ConversionError(f"{theirs} has values beyond those of 32 bits: bring weights that are not so large")
        elif values.dtype.kind == "c":
            raise ConversionError(f"{theirs} has complex values, which no network here has")
        self.became[theirs] = became
        return values

    def put(self, ours: str, values: NDArray[Any], of: str) -> None:
        """Give a tensor of our network its values, which were made of the file's tensor `of`. Raises ConversionError."""
        wanted = self._ours[ours]
        if tuple(values.shape) != tuple(wanted.shape):
            raise ConversionError(f"{of} has the shape {list(values.shape)}, where {list(wanted.shape)} belongs")
        self._ours[ours] = torch.from_numpy(np.ascontiguousarray(values)).to(wanted.dtype)
        self._filled.add(ours)

    def scale(self, ours: str, factor: NDArray[Any]) -> None:
        """Multiply a tensor of our network, which has its values, by one number."""
        self._ours[ours] = self._ours[ours] * float(factor.reshape(()))

    def move(self, theirs: str, ours: str, factor: float = 1.0) -> None:
        """Take a tensor and give it to ours, times a factor. Raises ConversionError."""
        values = self.take(theirs, ours if factor == 1 else f"{ours}, times {factor:.4g}")
        self.put(ours, values if factor == 1 else values * np.float32(factor), theirs)

    def leave(self, theirs: str, why: str) -> None:
        """Say why a tensor of the file is not needed, if it is there."""
        if theirs in self._theirs:
            self.became[theirs] = why

    def leave_filter(self, theirs: str) -> None:
        """Leave the one filter that our networks have built in, times any factor. Raises ConversionError for another."""
        found = self.take(theirs, "a fixed filter, which is part of the network")
        line = np.array(FIR) / sum(FIR)
        shape = np.outer(line, line)
        if found.shape != shape.shape or not np.allclose(found / found.sum(), shape, atol=1e-5):
            raise ConversionError(f"{theirs} is another filter than [1, 3, 3, 1], the only one that can be drawn with here")

    def fill(self, ours: str) -> None:
        """Leave a tensor of ours as it is."""
        self._filled.add(ours)

    def close(self) -> Mapping[str, str]:
        """Load the weights into the network; returns what became of each tensor. Raises ConversionError for one too many."""
        if left := sorted(self._theirs.keys() - self.became.keys()):
            more = "" if len(left) <= 5 else f" and {len(left) - 5} more"
            raise ConversionError(f"the file has tensors that {self._title} does not: {', '.join(left[:5])}{more}")
        missing = self._ours.keys() - self._filled
        assert not missing, f"a kind fills every tensor of its network: {missing}"
        self._generator.load_state_dict(self._ours)
        return self.became
