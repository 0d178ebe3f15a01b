"""Quick measures of generated images while a model is trained."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.evaluation import deviations, metrics, mosaics
from training.evaluation.feature_extractors import Extractor
from training.evaluation.ranking import SPREAD
from training.evaluation.real_images import RealImages

_FEW = 500  # real images to compare with
_PARTS = 5  # of a sample, from whose differences its spread is estimated


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
        # The yardsticks: the measures of real images that are not in the reference, and of mosaics of them
        self.real, self.mosaic = (self._compare(extractor(images)) for images in (others, mosaics.mosaics(others)))
        self.remarks: list[str] = []  # on what these measures can tell, for people
        if len(reference) < _FEW:
            self.remarks.append(
                f"only {len(reference)} {real.default_side} images to compare with: small differences between figures say nothing"
            )
        self._left_out, why = mosaics.without_meaning(self.real["precision"], self.mosaic["precision"])
        self.remarks += why
        counts = real.describe_comparison(size, len(reference), real.default_side, f"seeds 0 to {size - 1}")
        self.protocol = f"{extractor.protocol}; {counts}; k = {metrics.K_NEIGHBOURS}"

    def measure(self, fake: NDArray[np.uint8]) -> dict[str, float]:
        """frechet (or fid), precision and recall of the images of seeds 0 … size - 1, uint8 [size, c, h, w], with their spreads.

        The spread of a measure, under its name and _spread, is the standard error that other seeds would give it: of the means
        of five parts of the sample. Precision is left out where it does not tell mosaics from real images. Raises ValueError as
        `metrics.measure` does.
        """
        features = self._extract(fake)
        found = self._compare(features)
        if len(features) >= _PARTS * metrics.FEWEST:
            parts = [self._compare(part) for part in np.array_split(features, _PARTS)]
            found |= {f"{name}{SPREAD}": float(np.std([part[name] for part in parts], ddof=1) / _PARTS**0.5) for name in found}
        return {name: value for name, value in found.items() if name.removesuffix(SPREAD) not in self._left_out}

    def row(self, images: int, seconds: float, found: dict[str, float]) -> dict[str, float | str]:
        """The row of stats.jsonl for `found`, measured after so many images and seconds, with yardsticks and protocol."""
        yardsticks = {"real": self.real, "mosaic": self.mosaic}
        levels = {
            f"{name}_{kind}": value
            for kind, measures in yardsticks.items()
            for name, value in measures.items()
            if name not in self._left_out
        }
        return {"pictures": images, "seconds": round(seconds, 3), **found, **levels, "protocol": self.protocol}

    def _compare(self, fake: NDArray[np.float32]) -> dict[str, float]:
        precision, recall = metrics.precision_recall(self._real, fake)
        name = "fid" if self._extract.name == "inception" else "frechet"
        return {name: metrics.frechet(self._real, fake), "precision": precision, "recall": recall}


def describe(row: Mapping[str, float | str]) -> str:
    """The measures in a row of stats.jsonl, with their spreads and yardsticks, for people."""
    said = []
    for name in ("frechet", "fid", "energy", "modes", "good", "precision", "recall"):
        if name in row:
            spread = row.get(f"{name}{SPREAD}")
            value = deviations.format_value(float(row[name]), None if spread is None else float(spread))
            levels = {
                "real points" if "modes" in row else "real images": row.get(f"{name}_real"),
                "mosaics of them": row.get(f"{name}_mosaic"),
            }
            beside = ", ".join(f"{side} {level:.3g}" for side, level in levels.items() if level is not None)
            said.append(f"{name} {value}" + (f" ({beside})" if beside else ""))
    return ", ".join(said)
