"""Ridge regression of an attribute on latent vectors: the direction that it grows along, and how well the line fits.

InterFaceGAN (Shen et al. 2020, arXiv 2005.09635) takes the normal of a plane that separates the most and the least of an attribute;
the gradient of a regression is that direction for attributes of any kind, and comes with a figure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score

_PENALTIES = np.logspace(-1, 5, 13)  # of latents of unit variance; chosen by leaving each sample out in turn (sklearn's RidgeCV)
_RARE = 0.01  # a share of yes, or of no, below which a class lacks the attribute
_TINY = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """An attribute as a linear function of latent vectors."""

    slope: Floats  # [size]
    intercept: float

    @property
    def direction(self) -> Floats:
        """The slope at length 1; zeros if there is none."""
        return self.slope / max(float(np.linalg.norm(self.slope)), _TINY)

    def at(self, latents: Floats) -> Floats:
        """Latent vectors [n, size] -> the attribute, [n]."""
        found: Floats = latents @ self.slope + self.intercept
        return found


@dataclass(frozen=True)
class Figures:
    """How well a line fits samples that it was not fitted to."""

    r2: float  # the share of the variance that it predicts; below 0 if the mean would do better
    auroc: float | None  # of yes or no: the chance that it puts a yes above a no; None of numbers, and where all are alike


def varies(values: Floats, yes_or_no: bool) -> bool:
    """Whether an attribute, [n] of one class, varies enough to be followed. Scores of `yes_or_no` are over 0 for yes."""
    if yes_or_no:
        return bool(_RARE < (values > 0).mean() < 1 - _RARE)
    return bool(values.std() > 1e-6 * max(float(np.abs(values).max()), _TINY))


def fit_line(latents: Floats, values: Floats) -> Line:
    """Fit values [n] of latent vectors [n, size]."""
    scale = max(float(latents.std()), _TINY)
    model = RidgeCV(_PENALTIES).fit(latents / scale, values)
    return Line(model.coef_ / scale, float(model.intercept_))


def figures(predicted: Floats, true: Floats, yes: NDArray[np.bool_] | None) -> Figures:
    """Compare predictions [n] with values [n]; `yes` says which are, of an attribute that is yes or no."""
    auroc = float(roc_auc_score(yes, predicted)) if yes is not None and 0 < yes.sum() < len(yes) else None
    rest, variance = np.square(true - predicted).sum(), np.square(true - true.mean()).sum()
    return Figures(float(1 - rest / max(variance, _TINY)), auroc)
