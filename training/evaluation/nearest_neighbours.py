"""Does a model draw its training images again? Distances to the nearest ones, beside those of real images it never saw."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

PERCENTILE = 1.0  # of the held-out images' distances: nearer than that is suspicious, and happens to 1 in 100 by chance

_QUERIES, _REFERENCES = 500, 4000  # rows compared at once: some tens of megabytes for 32x32 images


Shrink = Callable[[NDArray[np.generic]], NDArray[np.generic]]


def _as_they_are(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    return rows


@dataclass(frozen=True)
class Pair:
    """A generated image and the training image nearest to it."""

    generated: int  # place among the generated images
    training: int  # place among the training images
    ratio: float  # of their distance to the threshold: below 1 is suspicious, 0 is a copy


@dataclass(frozen=True)
class Memorisation:
    """How near generated images come to training images."""

    share: float  # of generated images nearer to a training image than the threshold; an honest model has about 0.01
    threshold: float  # the distance that 1 % of real images not trained on stay below, in the units of what was compared
    median: float  # of the generated images' distances
    median_real: float  # the same of the real ones
    pairs: tuple[Pair, ...]  # the nearest, nearest first


def nearest(
    queries: NDArray[np.generic],  # [q, ...], uint8 images or float32 features
    references: NDArray[np.generic],  # [n, ...] of the same shape
    *,
    exclude: NDArray[np.int64] | None = None,  # [q]: a reference for each query that does not count, such as itself
    shrink: Shrink = _as_they_are,  # what is done to some rows before they are compared
    progress: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Euclidean distance of each query to its nearest reference, and that one's place: [q] and [q].

    In chunks, so that memory stays small. The nearest is found in float32; its distance is then computed in float64, so that that
    of an exact copy is 0.
    """
    best = np.full(len(queries), np.inf, np.float32)
    places = np.zeros(len(queries), np.int64)
    total = -(-len(queries) // _QUERIES) * -(-len(references) // _REFERENCES)
    with tqdm(total=total, desc="nearest training images", unit="chunk", leave=False, disable=None if progress else True) as bar:
        for first in range(0, len(references), _REFERENCES):
            chunk = _rows(shrink(references[first : first + _REFERENCES]), np.float32)
            for start in range(0, len(queries), _QUERIES):
                rows = slice(start, start + _QUERIES)
                distances = torch.cdist(torch.from_numpy(_rows(shrink(queries[rows]), np.float32)), torch.from_numpy(chunk)).numpy()
                if exclude is not None:
                    inside = np.flatnonzero((exclude[rows] >= first) & (exclude[rows] < first + len(chunk)))
                    distances[inside, exclude[rows][inside] - first] = np.inf
                columns = distances.argmin(1)
                found = distances[np.arange(len(distances)), columns]
                nearer = found < best[rows]
                best[rows] = np.where(nearer, found, best[rows])
                places[rows] = np.where(nearer, columns + first, places[rows])
                bar.update()
    exact = np.empty(len(queries))
    for start in range(0, len(queries), _QUERIES):
        rows = slice(start, start + _QUERIES)
        difference = _rows(shrink(queries[rows]), np.float64) - _rows(shrink(references[places[rows]]), np.float64)
        exact[rows] = np.sqrt((difference**2).sum(1))
    return exact, places


def distances_of_real(
    train: NDArray[np.generic],  # [n, ...], uint8 images or float32 features: what a model was trained on
    held_out: NDArray[np.generic] | None,  # [h, ...], real ones it was not trained on; None: see below
    *,
    shrink: Shrink = _as_they_are,  # what is done to some rows before they are compared
    progress: bool = False,
) -> NDArray[np.float64]:
    """The distance of each held-out image to the nearest training image, [h].

    Without held-out images up to 2,000 training images stand in, each compared with all others. Raises ValueError if there are
    none to compare with.
    """
    if len(train) < 2 or (held_out is not None and not len(held_out)):
        raise ValueError("memorisation needs at least 2 training images, and held-out ones if they are given")
    if held_out is not None:
        return nearest(held_out, train, shrink=shrink, progress=progress)[0]
    some = np.sort(np.random.RandomState(0).permutation(len(train))[:2000])
    return nearest(train[some], train, exclude=some, shrink=shrink, progress=progress)[0]


def memorisation(
    generated: NDArray[np.generic],  # [q, ...], uint8 images or float32 features
    train: NDArray[np.generic],  # [n, ...], what the model was trained on
    real: NDArray[np.float64],  # [h], of `distances_of_real`
    *,
    pairs: int = 16,  # how many of the nearest are returned
    shrink: Shrink = _as_they_are,  # what is done to some rows before they are compared
    progress: bool = False,
) -> Memorisation:
    """The share of generated images that are nearer to a training image than 99 % of the held-out ones are to theirs.

    After Meehan et al. 2020 (arXiv 2004.05675), who compare the two sets of distances by ranks. Raises ValueError if there is
    nothing to compare.
    """
    if not len(generated):
        raise ValueError("memorisation needs generated images")
    distances, places = nearest(generated, train, shrink=shrink, progress=progress)
    threshold = float(np.percentile(real, PERCENTILE))
    order = np.argsort(distances, kind="stable")[:pairs]
    return Memorisation(
        # A set with many doubles has a threshold of 0, which only a copy reaches.
        share=float(((distances < threshold) | (distances == 0)).mean()),
        threshold=threshold,
        median=float(np.median(distances)),
        median_real=float(np.median(real)),
        pairs=tuple(Pair(int(place), int(places[place]), _ratio(float(distances[place]), threshold)) for place in order),
    )


def _ratio(distance: float, threshold: float) -> float:
    return distance / threshold if threshold else float("inf") if distance else 0.0


def _rows(values: NDArray[np.generic], dtype: type[np.floating]) -> NDArray[np.floating]:
    return values.reshape(len(values), -1).astype(dtype)
