"""Points in the plane: data on which a recipe shows within a minute whether it works, and on which a GAN can be watched."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, HeldOut

POINT_SETS = ("ring", "grid", "spiral")  # the names that --data takes
SIZE = (1, 1)  # a point stands for an image of one pixel, whose two channels are x and y
WINDOW = 1.1  # what is drawn of the plane: x and y from -WINDOW to WINDOW

_TRAINING, _HELD_OUT = 50_000, 10_000
_GOOD = 3.0  # standard deviations
_RADIUS = 0.8  # of the ring, and half of the grid's side, so that all points lie within the tanh of a generator
_STRETCHES = 20  # that a spiral is cut into, of equal length


@dataclass(frozen=True, eq=False)
class PointSet:
    """A mixture of normal distributions with equal weights, all as wide, that belong to modes."""

    about: str  # for people
    modes: int
    centres: NDArray[np.float64]  # [m, 2]
    mode_of: NDArray[np.int64]  # [m], 0 to modes - 1, of each centre
    deviation: float  # in x and in y

    def sample(self, count: int, seed: int) -> NDArray[np.float32]:
        """Points drawn from the mixture, [count, 2]; the same for a seed under any version of NumPy."""
        random = np.random.RandomState(seed)
        centres = self.centres[random.randint(len(self.centres), size=count)]
        return (centres + self.deviation * random.standard_normal((count, 2))).astype(np.float32)

    def coverage(self, points: NDArray[np.float32]) -> tuple[int, float]:
        """The number of modes that generated points [n, 2] cover, and the share of the points that are good.

        A point is good within three standard deviations of the nearest centre, and a mode is covered if a centre of it is nearest
        to at least one good point (Srivastava et al. 2017, VEEGAN, arXiv 1705.07761, who draw 2,500 points).
        """
        distances = np.linalg.norm(points[:, None].astype(np.float64) - self.centres, axis=2)
        good = distances.min(1) <= _GOOD * self.deviation
        return len(np.unique(self.mode_of[distances.argmin(1)[good]])), float(good.mean())


@cache
def point_set(name: str) -> PointSet:
    """The set of this name, one of POINT_SETS."""
    return {"ring": _ring, "grid": _grid, "spiral": _spiral}[name]()


@cache
def load(name: str) -> Dataset:
    """The points of a set as a dataset, float32 [50,000, 2, 1, 1] in [-1, 1], and 10,000 others held out."""
    chosen = point_set(name)
    training, held_out = (_as_images(chosen.sample(count, seed)) for seed, count in enumerate((_TRAINING, _HELD_OUT)))
    note = f"{_TRAINING:,} points in the plane, of {chosen.about}; {_HELD_OUT:,} others held out"
    return Dataset(name, training, licence="none is needed", held_out=HeldOut(held_out), notes=(note,))


def _as_images(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return points.reshape(len(points), 2, *SIZE)


def _ring() -> PointSet:
    """Eight modes, as Metz et al. 2017 (arXiv 1611.02163, appendix A) have them, but for the scale and a larger deviation."""
    angles = 2 * np.pi * np.arange(8) / 8
    centres = _RADIUS * np.stack([np.cos(angles), np.sin(angles)], 1)
    return PointSet("8 normal distributions in a ring", 8, centres, np.arange(8), deviation=0.02)


def _grid() -> PointSet:
    """25 modes in five rows, as Srivastava et al. 2017 have them, at a scale and with a deviation of our own."""
    side = np.linspace(-_RADIUS, _RADIUS, 5)
    centres = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    return PointSet("25 normal distributions in a grid", 25, centres, np.arange(25), deviation=0.02)


def _spiral() -> PointSet:
    """A curve, Archimedes's spiral of two turns, whose stretches stand for modes."""
    angles = np.linspace(0.5 * np.pi, 4.5 * np.pi, 20_001)
    curve = _RADIUS * (angles / angles[-1])[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    lengths = np.concatenate([[0.0], np.linalg.norm(np.diff(curve, axis=0), axis=1).cumsum()])
    wanted = (np.arange(400) + 0.5) / 400
    centres = np.stack([np.interp(wanted * lengths[-1], lengths, curve[:, axis]) for axis in (0, 1)], 1)
    return PointSet("a spiral of two turns", _STRETCHES, centres, (wanted * _STRETCHES).astype(np.int64), deviation=0.02)
