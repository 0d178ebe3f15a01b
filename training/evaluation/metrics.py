"""Measures of how alike two sets of images are, by features, pixels or class probabilities.

The arithmetic of the well-known measures is torch-fidelity's, whose values are checked against those of the papers' own code; that
of the Fréchet distance is quicker than theirs and finds the same.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from training.evaluation.classifier import to_input

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000  # torch-fidelity's; smaller sets take all they have
K_NEIGHBOURS = 5  # whose distance is an image's radius, for precision, recall, density and coverage (Naeem et al. 2020, section 4)
SCORE_SPLITS = 10  # Salimans et al. 2016
FEWEST = 10  # images on either side that can be measured at all

_CHUNK = 1000  # rows of a matrix of distances
_SLICES, _SLICED_SIDE = 512, 16
_SEED = 2020  # torch-fidelity's: of every random choice here


def frechet(real: NDArray[np.float32], fake: NDArray[np.float32]) -> float:
    """|mu_r - mu_f|^2 + Tr(S_r + S_f - 2 (S_r S_f)^(1/2)) of features [n, d] and [m, d] (Heusel et al. 2017, equation 6).

    0 or more; biased upwards for few images, the more so the more features there are. Raises ValueError as `measure` does, and
    for a distance that is not a finite number.
    """
    _check(real, fake)
    (mean, x), (other_mean, y) = _mean_and_root(real), _mean_and_root(fake)
    # With S_r = X^T X and S_f = Y^T Y the trace of (S_r S_f)^(1/2) is the sum of the singular values of X Y^T.
    found = float(np.square(mean - other_mean).sum() + np.square(x).sum() + np.square(y).sum() - 2 * np.linalg.norm(x @ y.T, "nuc"))
    if not math.isfinite(found):
        raise ValueError("the Fréchet distance of these features is not a finite number")
    return max(found, 0.0)  # rounding may leave a little below nothing


def precision_recall(real: NDArray[np.float32], fake: NDArray[np.float32]) -> tuple[float, float]:
    """The share of generated images among the real ones, and of real among the generated (Kynkaanniemi et al. 2019, equation 2).

    An image is among others if it is no farther from one of them than that one's fifth nearest neighbour of its own kind.
    """
    _check(real, fake)
    found = prc_features_to_metric(
        _tensor(fake),
        _tensor(real),
        prc_neighborhood=K_NEIGHBOURS,
        prc_batch_size=_CHUNK,
        save_cpu_ram=True,
        verbose=False,
    )
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])


def density_coverage(real: NDArray[np.float32], fake: NDArray[np.float32], neighbour: int = K_NEIGHBOURS) -> tuple[float, float]:
    """Density, 0 or more and 1 for equal sets on average, and coverage, 0 to 1 (Naeem et al. 2020, section 3).

    With R_i the distance of the real x_i to its k-th nearest real neighbour: density is the mean over generated y of how many
    balls (x_i, R_i) hold y, divided by k; coverage is the share of balls that hold at least one y.
    """
    _check(real, fake)
    reals, fakes = _tensor(real), _tensor(fake)
    held, covered = 0, 0
    for start in range(0, len(reals), _CHUNK):
        some = reals[start : start + _CHUNK]
        # The nearest of all is the image itself.
        radius = torch.cdist(some, reals).kthvalue(neighbour + 1, dim=1).values
        inside = torch.cdist(some, fakes) < radius[:, None]
        held += int(inside.sum())
        covered += int(inside.any(1).sum())
    return held / (neighbour * len(fakes)), covered / len(reals)


def kernel_distance(real: NDArray[np.float32], fake: NDArray[np.float32]) -> float:
    """Unbiased squared maximum mean discrepancy under (x.y / d + 1)^3 (Binkowski et al. 2018): around 0 for equal sets, even below.

    The mean over 100 pairs of subsets of 1,000, or of as many as the smaller set has. Where these are the sets themselves one pair
    is enough: the order of the images makes no difference.
    """
    _check(real, fake)
    size = kid_subset_size(len(real), len(fake))
    found = kid_features_to_metric(
        _tensor(fake),
        _tensor(real),
        kid_subsets=1 if size == len(real) == len(fake) else KID_SUBSETS,
        kid_subset_size=size,
        rng_seed=_SEED,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])


def kid_subset_size(real: int, fake: int) -> int:
    """The subset size of KID for sets of so many images."""
    return min(KID_SUBSET_SIZE, real, fake)


def score(logits: NDArray[np.float32]) -> float:
    """exp of the mean KL divergence of p(class | image) from p(class) (Salimans et al. 2016, section 4), of logits.

    From [n, classes]: 1 for images that all get the same prediction, or only uncertain ones; at most the number of classes. The
    mean over 10 splits.
    """
    return float(isc_features_to_metric(_tensor(logits), SCORE_SPLITS, True, _SEED)[KEY_METRIC_ISC_MEAN])


def measure(
    real: NDArray[np.float32],  # [n, d]
    fake: NDArray[np.float32],  # [m, d], of the same network
    *,
    logits: NDArray[np.float32] | None = None,  # [m, classes], of the generated images
    inception: bool = False,  # whether the network is Inception V3, after which some measures are named
) -> dict[str, float]:
    """All measures that compare two sets of features, by name.

    frechet, kernel_distance, precision, recall, density, coverage and, with logits, score. With Inception's features the first two
    are fid and kid and the score is inception_score. Raises ValueError for fewer than 10 images on a side, features of another
    width, or numbers that are not finite, the measures among them.
    """
    found = {
        "fid" if inception else "frechet": frechet(real, fake),
        "kid" if inception else "kernel_distance": kernel_distance(real, fake),
    }
    found["precision"], found["recall"] = precision_recall(real, fake)
    found["density"], found["coverage"] = density_coverage(real, fake)
    if logits is not None:
        found["inception_score" if inception else "score"] = score(logits)
    if wrong := [name for name, value in found.items() if not math.isfinite(value)]:
        raise ValueError(f"{', '.join(wrong)} of these features is not a finite number")
    return found


def parameters(name: str, real: int, fake: int) -> str:
    """The parameters of one of `measure`'s measures, for the protocol; empty if it has none."""
    if name in ("kid", "kernel_distance"):
        return f"mean over {KID_SUBSETS} subsets of {kid_subset_size(real, fake)}, cubic kernel"
    if name in ("precision", "recall", "density", "coverage"):
        return f"k = {K_NEIGHBOURS}"
    return f"{SCORE_SPLITS} splits" if name in ("score", "inception_score") else ""


def sliced_wasserstein(real: NDArray[np.uint8], fake: NDArray[np.uint8]) -> float:
    """Distance of two sets of images by their pixels alone, uint8 [n, c, h, w] and [m, c, h, w].

    Scaled to 16x16 in [-1, 1]; the mean, over 512 fixed random directions of unit length, of the mean distance between the sorted
    projections (Rabin et al. 2011; Karras et al. 2018, section 5, on whole images instead of patches). Of the larger set a fixed
    random subset is taken. 0 for equal sets, and around 0 for samples of one distribution only if there are many.
    """
    n = min(len(real), len(fake))
    random = np.random.RandomState(_SEED)
    channels = real.shape[1]
    directions = random.standard_normal((channels * _SLICED_SIDE**2, _SLICES))
    directions /= np.linalg.norm(directions, axis=0)
    projections = []
    for images in (real, fake):
        places = np.sort(random.permutation(len(images))[:n]) if len(images) > n else np.arange(n)
        slices = [
            to_input(images[places[start : start + _CHUNK]], channels, _SLICED_SIDE).flatten(1).double().numpy() @ directions
            for start in range(0, n, _CHUNK)
        ]
        projections.append(np.sort(np.concatenate(slices), axis=0))
    return float(np.abs(projections[0] - projections[1]).mean())


def class_measures(predicted: NDArray[np.int64], labels: NDArray[np.int64] | None, classes: int) -> dict[str, float]:
    """share_error and, where there are labels, label_accuracy of all images and by the number of the class."""
    found = {"share_error": float(np.abs(class_shares(predicted, classes) - 1 / classes).max())}
    if labels is not None:
        overall, each = label_accuracy(predicted, labels, classes)
        found |= {"label_accuracy": overall, **{f"label_accuracy/{label}": value for label, value in each.items()}}
    return found


def class_shares(predicted: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The share of each class among predicted classes [n] -> [classes], their sum 1."""
    return np.bincount(predicted, minlength=classes) / len(predicted)


def label_accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> tuple[float, dict[int, float]]:
    """The share of predicted classes [n] that equal the labels [n], over all images and by class, for classes that occur."""
    right = predicted == labels
    return float(right.mean()), {label: float(right[labels == label].mean()) for label in range(classes) if (labels == label).any()}


def _mean_and_root(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean [d] of features [n, d], and an X [n or fewer, at most d] for which X^T X is their covariance."""
    mean = features.mean(0, dtype=np.float64)
    root = (features - mean) / (len(features) - 1) ** 0.5
    if len(root) > len(mean):
        root = np.linalg.qr(root, mode="r")
    return mean, root


def _tensor(values: NDArray[np.float32]) -> Tensor:
    # In single precision the sums of a covariance lose what small differences consist of.
    return torch.from_numpy(values.astype(np.float64))


def _check(real: NDArray[np.float32], fake: NDArray[np.float32]) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features must be [n, d] and [m, d] of one network, not {list(real.shape)} and {list(fake.shape)}")
    if min(len(real), len(fake)) < FEWEST:
        raise ValueError(f"at least {FEWEST} images are needed on each side, not {len(real)} real and {len(fake)} generated")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("features that are not finite numbers cannot be compared")
