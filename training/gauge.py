"""A quick measure of generated pictures, to be taken while a model is trained."""

import numpy as np
from numpy.typing import NDArray

from training import metrics
from training.features import Extractor
from training.quality import Real

_SEED = 2020


class Gauge:
    """A quick, deterministic measure to call while a model is trained; the real side is computed once."""

    def __init__(
        self,
        real: Real,  # where nothing is held out, training pictures stand in
        extractor: Extractor,
        *,
        size: int = 1000,  # pictures on either side, on the real one at most as many as there are
    ) -> None:
        train, held_out, generated = real.train, real.held_out, size
        random = np.random.RandomState(_SEED)
        reference = train if held_out is None else held_out
        places = random.permutation(len(reference))
        # Without held-out pictures the yardstick must be others of the same set than the reference.
        size = min(size, len(reference) if held_out is not None else len(reference) // 2)
        others = places[size : 2 * size] if held_out is None else random.permutation(len(train))[:size]
        self._extract = extractor
        self._real = extractor(reference[np.sort(places[:size])])
        self.real = self._measure(extractor(train[np.sort(others)]))  # what training pictures get: as good as it can be
        counts = real.against(generated, size, "training" if held_out is None else "held-out")
        self.protocol = f"{extractor.protocol}; {counts}; k = {metrics.NEIGHBOUR}"

    def measure(self, fake: NDArray[np.uint8]) -> dict[str, float]:
        """frechet (or fid), precision and recall of generated pictures, uint8 [size, c, h, w].

        Raises ValueError as `metrics.measure` does.
        """
        return self._measure(self._extract(fake))

    def _measure(self, fake: NDArray[np.float32]) -> dict[str, float]:
        precision, recall = metrics.precision_recall(self._real, fake)
        name = "fid" if self._extract.name == "inception" else "frechet"
        return {name: metrics.frechet(self._real, fake), "precision": precision, "recall": recall}
