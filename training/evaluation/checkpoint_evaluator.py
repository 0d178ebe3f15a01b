"""Quick measures of generated images while a model is trained."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics
from training.evaluation.feature_extractors import Extractor
from training.evaluation.real_images import RealImages


class CheckpointEvaluator:
    """Measures generated images quickly and deterministically; the features of the real images are computed once."""

    def __init__(
        self,
        real: RealImages,  # where no images are held out, training images take their place; then at least 20 are needed
        extractor: Extractor,
        *,
        size: int = 1000,  # generated images, of seeds 0 … size - 1, and at most as many real ones
    ) -> None:
        reference, others = real.reference_and_baseline(real.default_side, size)
        self.held_out, self.held_out_labels = real.held_out, real.held_out_labels
        self._extract = extractor
        self._real = extractor(reference)
        self.real = self._measure(extractor(others))  # the yardstick: the measures of real images that are not in the reference
        counts = real.describe_comparison(size, len(reference), real.default_side, f"seeds 0 to {size - 1}")
        self.protocol = f"{extractor.protocol}; {counts}; k = {metrics.K_NEIGHBOURS}"

    def measure(self, fake: NDArray[np.uint8]) -> dict[str, float]:
        """frechet (or fid), precision and recall of the images of seeds 0 … size - 1, uint8 [size, c, h, w].

        Raises ValueError as `metrics.measure` does.
        """
        return self._measure(self._extract(fake))

    def row(self, images: int, seconds: float, found: dict[str, float]) -> dict[str, float | str]:
        """The row of stats.jsonl for `found`, measured after so many images and seconds, with yardstick and protocol."""
        real = {f"{name}_real": value for name, value in self.real.items()}
        return {"pictures": images, "seconds": round(seconds, 3), **found, **real, "protocol": self.protocol}

    def _measure(self, fake: NDArray[np.float32]) -> dict[str, float]:
        precision, recall = metrics.precision_recall(self._real, fake)
        name = "fid" if self._extract.name == "inception" else "frechet"
        return {name: metrics.frechet(self._real, fake), "precision": precision, "recall": recall}
