"""Directions in the latent space along which images change in one way, and moves along them.

The unit of a move is a standard deviation of what moves, along the direction: a length of 1 for normal latent vectors, of 1/sqrt(3)
for uniform ones, and for styles, whose components are correlated, what was measured. So a move by up to 3 units ends where images
are drawn from, and a unit means the same in every model.
"""

from collections.abc import Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from gan.errors import ModelFolderError
from gan.latents import Distribution, Inputs, count
from gan.manifest import DIRECTIONS, STYLES
from gan.model_folder import ModelFolder

MOST = 3.0  # units of a move, either way
DEVIATION: dict[Distribution, float] = {"normal": 1.0, "uniform": 1 / sqrt(3)}  # of a latent vector's components

Amount = NDArray[np.float32] | float  # of a move, for all rows or one for each, [n]


class Directions:
    """The directions of a model, by name."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]], distribution: Distribution, on_sphere: bool = True) -> None:
        """Arrays as the file has them: float32 [size], or [classes, size] where each class has its own.

        `on_sphere` is whether moved latent vectors, if they are normal, keep their length.
        """
        self._arrays, self._distribution = {name: array.astype(np.float64) for name, array in arrays.items()}, distribution
        self._on_sphere = on_sphere and distribution == "normal"
        self.names = list(self._arrays)

    @classmethod
    def read(cls, folder: ModelFolder) -> "Directions":
        """Those that the manifest lists, in its order; none if it lists none.

        Raises ModelFolderError for a file that is damaged, or that has others or other sizes than the manifest.
        """
        manifest = folder.manifest
        on_sphere = not manifest.attributes  # another length of all would choose other values of attributes that nothing moves
        if not manifest.directions:
            return cls({}, manifest.latent, on_sphere)
        try:
            found = load(folder.content(DIRECTIONS))
        except SafetensorError as error:
            raise _unusable(folder, f"is no safetensors file ({error})") from error
        names = [direction.name for direction in manifest.directions]
        if found.keys() != set(names):
            raise _unusable(folder, f"has the directions {', '.join(sorted(found))}, and the manifest {', '.join(sorted(names))}")
        size = manifest.z_dim if manifest.styles is None else manifest.styles.size
        classes = manifest.input_spec.classes
        shapes = [(size,)] if classes is None else [(size,), (classes, size)]
        for name, array in found.items():
            if array.shape not in shapes or array.dtype != np.float32:
                raise _unusable(
                    folder, f"has {array.dtype} {list(array.shape)} for {name}, where float32 {list(shapes[-1])} belongs"
                )
            if not np.isfinite(array).all():
                raise _unusable(folder, f"has values for {name} that are not finite")
        return cls({name: found[name] for name in names}, manifest.latent, on_sphere)

    def of(self, name: str, label: int | None) -> NDArray[np.float64]:
        """A direction of a class, [size], whose length is the unit of a move."""
        array = self._arrays[name]
        own: NDArray[np.float64] = array if array.ndim == 1 else array[label]
        return own

    def has_effect(self, name: str, label: int | None) -> bool:
        """Whether a move along a direction changes images of a class: one that lacks the attribute has zeros."""
        return bool(self.of(name, label).any())

    def moved(self, rows: Inputs, moves: Mapping[str, Amount]) -> Inputs:
        """New rows, each moved by the sum of `moves`: direction -> units, in [-3, 3], for all rows or one for each, [n].

        Rows as `Runtime.complete` makes them. If there are styles "ws", float32 [n, layers, size], they are moved in every layer;
        else latent vectors "z", float32 [n, z_dim]. Normal ones are scaled back to the length that they had, since normal vectors
        lie close to a sphere, but not those of models with attributes; uniform ones are cut off at -1 and 1. A row whose moves are
        all 0 stays as it is, bit for bit. Raises ValueError for a direction that there is not, an amount out of range, and rows
        without "label" where each class has its own.
        """
        n = count(rows)
        step: NDArray[np.float64] | None = None
        for name, amount in moves.items():
            if name not in self._arrays:
                raise ValueError(f"there is no direction {name}: take {', '.join(self.names) or 'another model, which has some'}")
            units = np.broadcast_to(np.asarray(amount, np.float64), (n,))
            if not (np.abs(units) <= MOST).all():  # which is false for what is not a number too
                raise ValueError(f"a move along {name} goes from {-MOST:g} to {MOST:g}")
            part = units[:, None] * self._along(name, rows, n)
            step = part if step is None else step + part
        if step is None:
            return dict(rows)
        moving = np.any(step != 0, axis=1, keepdims=True)
        if STYLES in rows:
            styles = (rows[STYLES].astype(np.float64) + step[:, None, :]).astype(np.float32)
            return rows | {STYLES: np.where(moving[:, :, None], styles, rows[STYLES])}
        before = rows["z"].astype(np.float64)
        after = before + step
        if self._on_sphere:
            lengths, new = (np.sqrt(np.square(z).sum(1, keepdims=True)) for z in (before, after))
            after = after * (lengths / np.maximum(new, np.finfo(np.float64).tiny))
        elif self._distribution == "uniform":
            after = after.clip(-1, 1)
        return rows | {"z": np.where(moving, after.astype(np.float32), rows["z"])}

    def _along(self, name: str, rows: Inputs, n: int) -> NDArray[np.float64]:
        """The direction of each row, [n, size]."""
        array = self._arrays[name]
        if array.ndim == 1:
            return np.broadcast_to(array, (n, len(array)))
        if "label" not in rows:
            raise ValueError(f"each class has its own direction {name}: give the label")
        of_rows: NDArray[np.float64] = array[rows["label"]]
        return of_rows


def _unusable(folder: ModelFolder, reason: str) -> ModelFolderError:
    return ModelFolderError(
        f"{folder.path / DIRECTIONS} {reason}: copy the model folder again, or make it anew (python -m training.directions "
        f"{folder.path})"
    )
