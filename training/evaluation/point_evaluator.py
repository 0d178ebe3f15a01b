"""Measures of generated points in the plane: how far they are from the data, and how much of it they cover."""

import numpy as np
import torch
from numpy.typing import NDArray

from training.data import Dataset
from training.data.points import point_set
from training.evaluation import metrics
from training.evaluation.ranking import SPREAD

_PARTS = 5  # of a sample, from whose differences the spread of its distance is estimated


def energy_distance(real: NDArray[np.float32], fake: NDArray[np.float32]) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of points [n, 2] and [m, 2]: 0 for equal distributions, and only for these.

    Szekely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018, equation 5; unbiased, so that samples of one distribution may get a
    little less than 0.
    """
    reals, fakes = (torch.from_numpy(side.astype(np.float64)) for side in (real, fake))
    within = [torch.pdist(side).mean() for side in (reals, fakes)]
    return float(2 * torch.cdist(reals, fakes).mean() - sum(within))


class PointEvaluator:
    """Measures points as `CheckpointEvaluator` does images, in the plane itself and not by features."""

    def __init__(self, dataset: Dataset, size: int) -> None:
        """Compare `size` generated points, of seeds 0 … size - 1, with as many of those held out, or with half of these."""
        assert dataset.held_out is not None, "points are held out of every set"
        self.held_out, self.held_out_labels = dataset.held_out.images, None
        self._set = point_set(dataset.name)
        count = min(size, len(self.held_out) // 2)
        self._real, others = (_as_points(self.held_out[start : start + count]) for start in (0, count))
        self._levels = {f"{name}_real": value for name, value in self._compare(others).items()}
        self.remarks: list[str] = []
        self.protocol = (
            f"points in the plane; {size:,} of seeds 0 to {size - 1} against {len(self._real):,} of {dataset.name} "
            f"({dataset.fingerprint[:8]}) held out; k = {metrics.K_NEIGHBOURS}"
        )

    def measure(self, fake: NDArray[np.float32]) -> dict[str, float]:
        """energy, precision, recall, modes and good of generated points, float32 [n, 2, 1, 1], and the spread of the first.

        energy is the energy distance; modes the number of modes covered and good the share of good points, as
        `PointSet.coverage` has them. Raises ValueError for points that are not finite numbers.
        """
        points = _as_points(fake)
        found = self._compare(points)
        parts = [energy_distance(self._real, part) for part in np.array_split(points, _PARTS)]
        return {**found, f"energy{SPREAD}": float(np.std(parts, ddof=1) / _PARTS**0.5)}

    def row(self, images: int, seconds: float, found: dict[str, float]) -> dict[str, float | str]:
        """The row of stats.jsonl for `found`, measured after so many points and seconds, with yardsticks and protocol."""
        return {"pictures": images, "seconds": round(seconds, 3), **found, **self._levels, "protocol": self.protocol}

    def _compare(self, points: NDArray[np.float32]) -> dict[str, float]:
        precision, recall = metrics.precision_recall(self._real, points)
        modes, good = self._set.coverage(points)
        energy = energy_distance(self._real, points)
        return {"energy": energy, "precision": precision, "recall": recall, "modes": modes, "good": good}


def _as_points(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.reshape(len(images), 2)
