"""Memorisation: distances of generated images to the nearest training images, compared with those of held-out images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from training.evaluation.subsets import fixed_subset

PERCENTILE = 1.0  # of the held-out images' distances: nearer than that is suspicious, and happens to 1 in 100 by chance

_QUERIES, _REFERENCES = 500, 4000  # rows compared at once: some tens of megabytes for 32x32 images


Shrink = Callable[[NDArray[np.generic]], NDArray[np.generic]]


def _unchanged(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    return rows


@dataclass(frozen=True)
class Pair:
    """A generated image and the training image nearest to it."""

    generated: int  # index among the generated images
    training: int  # index among the training images
    ratio: float  # of their distance to the threshold: below 1 is suspicious, 0 is a copy


@dataclass(frozen=True)
class Memorisation:
    """How near generated images come to training images."""

    share: float  # of generated images nearer to a training image than the threshold; about 0.01 without memorisation
    threshold: float  # the distance that 1 % of held-out images stay below, in the units of what was compared
    median: float  # of the generated images' distances
    median_real: float  # of the held-out images' distances
    pairs: tuple[Pair, ...]  # the nearest, nearest first


def nearest(
    queries: NDArray[np.generic],  # [q, ...], uint8 images or float32 features
    references: NDArray[np.generic],  # [n, ...] of the same shape
    *,
    exclude: NDArray[np.int64] | None = None,  # [q]: for each query the index of a reference to ignore, such as itself
    shrink: Shrink = _unchanged,  # applied to a chunk of rows before they are compared
    progress: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Euclidean distance of each query to its nearest reference, and the index of that one: [q] and [q].

    In chunks, so that memory stays small. The nearest is found in float32; its distance is then computed in float64, so that
    the distance of an exact copy is 0.
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
    train: NDArray[np.generic],  # [n, ...], uint8 images or float32 features: the training images
    held_out: NDArray[np.generic] | None,  # [h, ...], held-out images; None: see below
    *,
    shrink: Shrink = _unchanged,  # applied to a chunk of rows before they are compared
    progress: bool = False,
) -> NDArray[np.float64]:
    """The distance of each held-out image to the nearest training image, [h].

    Without held-out images up to 2,000 training images take their place, each compared with all others. Raises ValueError if
    there are none to compare with.
    """
    if len(train) < 2 or (held_out is not None and not len(held_out)):
        raise ValueError("memorisation needs at least 2 training images, and held-out ones if they are given")
    if held_out is not None:
        return nearest(held_out, train, shrink=shrink, progress=progress)[0]
    subset = fixed_subset(len(train), 2000, seed=0)
    return nearest(train[subset], train, exclude=subset, shrink=shrink, progress=progress)[0]


def memorisation(
    generated: NDArray[np.generic],  # [q, ...], uint8 images or float32 features
    train: NDArray[np.generic],  # [n, ...], the training images
    real: NDArray[np.float64],  # [h], of `distances_of_real`
    *,
    pairs: int = 16,  # how many of the nearest are returned
    shrink: Shrink = _unchanged,  # applied to a chunk of rows before they are compared
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
