"""A model folder, ready to answer requests with."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gan import model_folder, runtimes
from gan.directions import Directions
from gan.encoder import PictureEncoder
from gan.errors import ModelFolderError
from gan.latents import inputs_of_seeds
from gan.model import Model
from gan.model_folder import ModelFolder
from gan.runtimes.base import RunExclusively
from gan.scoring import Scorer
from serving.settings import Settings
from serving.workers import threads_of_worker


@dataclass(frozen=True)
class LoadedModel(Model):
    """A verified model that has generated its first image."""

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        manifest = self.folder.manifest
        return manifest.height, manifest.width, manifest.channels

    @cached_property
    def row_size(self) -> int:
        """Bytes of the generator's inputs for one image."""
        manifest = self.folder.manifest
        styles = 0 if manifest.styles is None else np.dtype(np.float32).itemsize * manifest.styles.layers * manifest.styles.size
        return styles + sum(np.dtype(one.dtype).itemsize * one.values for one in manifest.inputs)


def load(folder: ModelFolder, settings: Settings, on_device: RunExclusively) -> LoadedModel:
    """Load a verified model and generate its first image. Raises ModelFolderError."""
    threads, manifest = threads_of_worker(settings), folder.manifest
    runtime = runtimes.load(folder, settings.runtime, settings.device, settings.precision, threads, on_device=on_device)
    shape = on_device(lambda: runtimes.generate_images(runtime, inputs_of_seeds([0], manifest.input_spec)).shape)
    if shape != (1, manifest.height, manifest.width, manifest.channels):
        raise ModelFolderError(
            f"{folder.path} generates images of another shape, {shape}, than its manifest says: "
            f"{model_folder.export_again_hint(folder.path)}"
        )
    return LoadedModel(folder, runtime, Directions.read(folder), PictureEncoder.load(folder), Scorer.load(folder))
