"""A network of a model folder, as engines load it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gan.errors import ModelFolderError
from gan.latents import Inputs, InputSpec, inputs_of_seeds
from gan.model_folder import ModelFolder

_FORMATS = {"onnx": "ONNX", "torchscript": "TorchScript"}


class OutputSpec(Protocol):
    """What engines are told of an output."""

    @property
    def name(self) -> str:
        """As exported files name it."""

    @property
    def values(self) -> int:
        """Numbers in a row."""

    @property
    def uint8_source_range(self) -> tuple[float, float] | None:
        """The range that becomes 0 to 255 in uint8 images [n, height, width, channels]; None: the output stays as it is."""


@dataclass(frozen=True)
class TensorOutput:
    """An output that is no image, and stays as it is."""

    name: str
    values: int
    uint8_source_range: None = None


@dataclass(frozen=True)
class ExportedNetwork:
    """A network with its exported files, its inputs and outputs, and rows to try it with."""

    folder: ModelFolder
    name: str  # in the manifest's `networks`
    inputs: list[str]  # names, in the order in which it takes them
    outputs: tuple[OutputSpec, ...]
    rows: Callable[[int], Inputs]  # so many rows of inputs, always the same

    @property
    def batch(self) -> int | None:
        """The number of rows that its files take; None: any."""
        return self.folder.manifest.networks[self.name].batch

    def file(self, format: str) -> str:
        """The name of its exported file of a format. Raises ModelFolderError if there is none."""
        files = self.folder.manifest.networks[self.name].files
        if format not in files:
            others = " or ".join(kind for kind in _FORMATS if kind in files)
            raise ModelFolderError(
                f"{self.folder.path} has no {_FORMATS[format]} file of its {self.name}, since it was imported without one: "
                f"serve it with GAN_RUNTIME={others}"
            )
        return files[format]

    def content(self, format: str) -> bytes:
        """The bytes of its exported file of a format. Raises ModelFolderError."""
        return self.folder.content(self.file(format))


def generator_of(folder: ModelFolder) -> ExportedNetwork:
    """The generator of a model folder, as one that takes what a seed gives."""
    spec = folder.manifest.input_spec
    return ExportedNetwork(folder, "generator", spec.names, tuple(folder.manifest.outputs), rows_of_seeds(spec))


def rows_of_seeds(input_spec: InputSpec) -> Callable[[int], Inputs]:
    """`rows` of a network that takes latent vectors: those of the seeds from 0 on."""
    return lambda n: inputs_of_seeds(range(n), input_spec)
