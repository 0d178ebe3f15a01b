"""The encoder of a model, the generator's inverse: pictures to the latent vectors that draw them."""

import numpy as np
from numpy.typing import NDArray

from gan.latents import Inputs
from gan.model_folder import ModelFolder
from gan.runtimes import onnx
from gan.runtimes.base import Runtime, generate, run_inline
from gan.runtimes.network import ExportedNetwork, TensorOutput

ENCODER_WEIGHTS, ENCODER = "encoder.safetensors", "encoder.onnx"
LATENT = "z"  # its output
PICTURES = "pictures"  # its input, and that of a scorer

Floats = NDArray[np.float32]


class PictureEncoder:
    """The encoder of a model folder, on ONNX Runtime. A picture's latent vector does not depend on what else is in the batch."""

    def __init__(self, folder: ModelFolder, threads: int | None = 1) -> None:
        """Raises ModelFolderError, as engines do."""
        manifest = folder.manifest
        self._classes, self._distribution = manifest.input_spec.classes, manifest.latent
        inputs = [PICTURES, *(["label"] if self._classes is not None else [])]
        network = ExportedNetwork(folder, "encoder", inputs, (TensorOutput(LATENT, manifest.z_dim),), self._probe(folder))
        self._runtime = Runtime(onnx.load(network, "cpu", "float32", threads, run_inline), network)
        self.file = self._runtime.file

    @classmethod
    def load(cls, folder: ModelFolder, threads: int | None = 1) -> "PictureEncoder | None":
        """The encoder of a folder that has one, on so many threads (None: as many as help). Raises ModelFolderError."""
        return cls(folder, threads) if "encoder" in folder.manifest.networks else None

    def encode(self, pictures: Floats, labels: NDArray[np.int64] | None = None) -> Floats:
        """float32 [n, channels, height, width] in [-1, 1], and labels int64 [n] of a conditional model -> z, float32 [n, z_dim].

        Raises ValueError for labels that are missing, or that the model does not have.
        """
        if (labels is None) != (self._classes is None):
            raise ValueError("an encoder takes labels where its model does, and only there")
        rows: Inputs = {PICTURES: pictures} if labels is None else {PICTURES: pictures, "label": labels}
        z: Floats = generate(self._runtime, rows)[LATENT]
        return z

    def starts(self, pictures: Floats, labels: NDArray[np.int64] | None = None) -> Floats:
        """As `encode`, for searches that go on from there: latent vectors no longer than those that a generator is trained with.

        Those of the most unusual pictures would be, where a generator draws nothing sensible.
        """
        z = self.encode(pictures, labels)
        if self._distribution == "uniform":
            return z.clip(-1, 1)
        lengths = np.linalg.norm(z, axis=1, keepdims=True)
        usual = np.float32(z.shape[1] ** 0.5)  # length of normal vectors, of which hardly any is much longer or shorter
        starts: Floats = z * np.minimum(1, usual / np.maximum(lengths, np.float32(1e-6)))
        return starts

    def _probe(self, folder: ModelFolder) -> "Probe":
        return Probe(folder, labelled=self._classes is not None)


class Probe:
    """Rows of pictures to try a network with: noise, the same each time."""

    def __init__(self, folder: ModelFolder, labelled: bool = False) -> None:
        manifest = folder.manifest
        self._shape = (manifest.channels, manifest.height, manifest.width)
        self._classes = manifest.input_spec.classes if labelled else None

    def __call__(self, n: int) -> Inputs:
        """So many rows."""
        random = np.random.RandomState(0)
        rows: Inputs = {PICTURES: random.uniform(-1, 1, (n, *self._shape)).astype(np.float32)}
        if self._classes is not None:
            rows["label"] = np.arange(n, dtype=np.int64) % self._classes
        return rows
