"""A finished model, as an encoder is trained on it: its generator and its discriminator, whose weights stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from gan import model_folder
from gan.errors import ModelFolderError
from gan.manifest import MANIFEST, Manifest
from gan.model_folder import ModelFolder
from gan.networks import attributes as attributed
from gan.networks import families
from gan.networks.encoder import Encoder
from gan.networks.family import Discriminator, Generator
from training.errors import UsageError
from training.export.again import build_generator


@dataclass(frozen=True)
class FrozenModel:
    """The networks of a model folder in eval mode, without gradients of their weights."""

    folder: ModelFolder
    generator: Generator
    discriminator: Discriminator | None  # None: the folder has none, as that of an imported model

    @classmethod
    def read(cls, path: Path, device: torch.device) -> "FrozenModel":
        """Raises ModelFolderError for a folder that is no model's or is damaged, and UsageError for a model that has no encoder."""
        if not (path / MANIFEST).exists() and (path / "model" / MANIFEST).is_file():
            raise ModelFolderError(f"{path} is a run: give the folder of its model, {path / 'model'}")
        folder = model_folder.read(path.resolve())
        if folder.manifest.styles is not None or folder.manifest.codes:
            raise UsageError(
                f"{path} draws from styles or codes, which an encoder does not find: give a model of latent vectors alone"
            )
        networks = [build_generator(folder), _build_discriminator(folder)]
        for network in networks:
            if network is not None:
                network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator, discriminator = networks
        assert isinstance(generator, Generator)
        assert discriminator is None or isinstance(discriminator, Discriminator)
        return cls(folder, generator, discriminator)

    def read_encoder(self) -> Encoder | None:
        """The encoder of the folder, in eval mode on the processor; None where there is none. Raises ModelFolderError."""
        network = self.manifest.networks.get("encoder")
        if network is None or network.architecture is None:
            return None
        file, arguments = network.files["weights"], network.architecture.arguments
        with _weights_of_the_network(self.folder, file):
            encoder = Encoder(self.manifest.z_dim, self.manifest.channels, self.size, **arguments)
            encoder.load_state_dict(load(self.folder.content(file)))
        return encoder.eval().requires_grad_(False)

    @property
    def manifest(self) -> Manifest:
        """The model's."""
        return self.folder.manifest

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its images."""
        return self.manifest.height, self.manifest.width

    @property
    def classes(self) -> int | None:
        """How many labels; None: unconditional."""
        return self.manifest.input_spec.classes

    @property
    def attributes(self) -> attributed.Generator | None:
        """The generator, if its latent vectors choose attributes."""
        return self.generator if isinstance(self.generator, attributed.Generator) else None

    def draw(self, z: Tensor, label: Tensor | None) -> Tensor:
        """float [n, z_dim], labels int64 [n] -> images, float [n, channels, height, width] in [-1, 1]."""
        images: Tensor = self.generator(z) if label is None else self.generator(z, label)
        return images

    def features(self, images: Tensor, label: Tensor | None) -> Tensor:
        """The discriminator's features, which its last layer takes: float [n, feature_count]."""
        assert self.discriminator is not None, "the caller has seen that there is one"
        return self.discriminator.forward_features(images, label)[1]


def _build_discriminator(folder: ModelFolder) -> Discriminator | None:
    """The discriminator of a model folder with its weights; None where there is none. Raises ModelFolderError."""
    network = folder.manifest.networks.get("discriminator")
    if network is None or network.architecture is None:
        return None
    file, manifest = network.files["weights"], folder.manifest
    arguments = dict(network.architecture.arguments)
    norm, classes = arguments.pop("norm"), arguments.pop("classes")
    size = (manifest.height, manifest.width)
    with _weights_of_the_network(folder, file):
        discriminator = families.discriminator(network.architecture.name, manifest.channels, size, classes, norm, arguments)
        discriminator.load_state_dict(load(folder.content(file)))
    return discriminator


@contextmanager
def _weights_of_the_network(folder: ModelFolder, file: str) -> Iterator[None]:
    """Raises ModelFolderError where a file does not fit the network that the manifest describes."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(" ".join(str(error).splitlines()[:2]).split())
        raise ModelFolderError(
            f"{folder.path / file} are not the weights of the network in {MANIFEST} ({reason}): copy the model folder again"
        ) from error
