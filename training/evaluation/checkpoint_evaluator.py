"""A quick measure of generated images, to be taken while a model is trained."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics
from training.evaluation.feature_extractors import Extractor
from training.evaluation.real_images import RealImages


class CheckpointEvaluator:
    """A quick, deterministic measure to call while a model is trained; the real side is computed once."""

    def __init__(
        self,
        real: RealImages,  # where nothing is held out, training images stand in; at least 20 of them then
        extractor: Extractor,
        *,
        size: int = 1000,  # images on either side: the first so many seeds, and on the real one at most as many as there are
    ) -> None:
        reference, others = real.sides(real.side, size)
        self.held_out, self.held_out_labels = real.held_out, real.held_out_labels
        self._extract = extractor
        self._real = extractor(reference)
        self.real = self._measure(extractor(others))  # the yardstick: as good as it can be
        counts = real.against(size, len(reference), real.side, f"seeds 0 to {size - 1}")
        self.protocol = f"{extractor.protocol}; {counts}; k = {metrics.NEIGHBOUR}"

    def measure(self, fake: NDArray[np.uint8]) -> dict[str, float]:
        """frechet (or fid), precision and recall of the images of seeds 0 … size - 1, uint8 [size, c, h, w].

        Raises ValueError as `metrics.measure` does.
        """
        return self._measure(self._extract(fake))

    def row(self, images: int, seconds: float, found: dict[str, float]) -> dict[str, float | str]:
        """What a run's statistics keep of `found`, measured after so many images and seconds, with its yardstick and protocol."""
        real = {f"{name}_real": value for name, value in self.real.items()}
        return {"pictures": images, "seconds": round(seconds, 3), **found, **real, "protocol": self.protocol}

    def _measure(self, fake: NDArray[np.float32]) -> dict[str, float]:
        precision, recall = metrics.precision_recall(self._real, fake)
        name = "fid" if self._extract.name == "inception" else "frechet"
        return {name: metrics.frechet(self._real, fake), "precision": precision, "recall": recall}
