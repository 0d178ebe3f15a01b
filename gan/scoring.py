"""How unusual pictures are, by the score that comes with a model."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from gan.encoder import PICTURES, Floats, Probe
from gan.model_folder import ModelFolder
from gan.runtimes import onnx
from gan.runtimes.base import Runtime, generate, run_inline
from gan.runtimes.network import ExportedNetwork, TensorOutput

SCORER = "scorer.onnx"
SCORE, DRAWN, LABEL = "score", "drawn", "label"  # its outputs


class Scorer:
    """The score of a model folder, on ONNX Runtime. A picture has the same score whatever else is in the batch."""

    def __init__(self, folder: ModelFolder, threads: int | None = 1) -> None:
        """Raises ModelFolderError, as engines do."""
        manifest = folder.manifest
        assert manifest.scoring is not None, "scoring and a network called scorer belong together"
        self._quantiles = np.array(manifest.scoring.quantiles)
        self._shape = (manifest.channels, manifest.height, manifest.width)
        drawn = TensorOutput(DRAWN, prod(self._shape))
        labels = [TensorOutput(LABEL, 1)] if manifest.classes is not None else []
        network = ExportedNetwork(folder, "scorer", [PICTURES], (TensorOutput(SCORE, 1), drawn, *labels), Probe(folder))
        self._runtime = Runtime(onnx.load(network, "cpu", "float32", threads, run_inline), network)
        self.file = self._runtime.file

    @classmethod
    def load(cls, folder: ModelFolder, threads: int | None = 1) -> "Scorer | None":
        """The score of a folder that has one, on so many threads (None: as many as help). Raises ModelFolderError."""
        return cls(folder, threads) if "scorer" in folder.manifest.networks else None

    def score(self, pictures: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.int64] | None]:
        """Score float32 [n, channels, height, width] in [-1, 1], any number from 1 up, as many at once as the file asks for.

        Returns the scores, float32 [n], higher for what is more unusual; the shares of held-out real pictures that score higher,
        float32 [n] in [0, 1], which are p-values; the generator's nearest pictures, like those given; and, of a conditional model,
        the labels under which these are nearest, int64 [n].
        """
        found = generate(self._runtime, {PICTURES: pictures})
        scores: Floats = found[SCORE]
        return scores, self.shares(scores), found[DRAWN], found.get(LABEL)

    def shares(self, scores: Floats) -> Floats:
        """The shares of held-out real pictures that score higher, float32 [n]: 0 beyond the highest, 1 below the lowest."""
        places = np.linspace(0, 1, len(self._quantiles))
        below = np.interp(scores.astype(np.float64), self._quantiles, places, left=0.0, right=1.0)
        return (1 - below).astype(np.float32)
