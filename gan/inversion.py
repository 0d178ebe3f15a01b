"""From a picture back to the latent vector that draws it best: Levenberg-Marquardt with finite differences.

A generator has few inputs and many outputs, so that the Jacobian by forward differences is one batch of as many images as a latent
vector has components; no gradients are needed, and any engine will do. Minimised is |G(z) - x|^2 + prior |z|^2, over pixel values
in [-1, 1] (Levenberg 1944; Marquardt 1963, doi 10.1137/0111030); the prior keeps z where a generator was trained.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gan.latents import Inputs, InputSpec, code_dtype, inputs_of_seeds, select

_PRIOR = 0.002
STEP, COARSE_STEP = 0.01, 0.3  # of the finite differences, where values are exact and where bfloat16 or float16 round them
_DAMPING = (1 / 9, 1 / 3, 1.0, 4.0)  # times the last good one, tried at once: an image is cheap beside a Jacobian
_MOST_DAMPING = 1e6
_FIRST_DAMPING = 1.0
_SEEDS, _SHORTENED = 64, 0.7  # images of seeds among which a search begins at the nearest, their latent vectors shortened
_CLASSES, _SCREENED = 4, 2  # candidates that are searched, those with the nearest images, and the iterations before one is kept
_MOST_CANDIDATES = 128  # of one picture
_LITTLE = 1e-3  # of the error: an iteration that gains less is the last

Stopped = Literal["converged", "iterations", "deadline"]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """What a picture may have been drawn with beside its latent vector, and where the search for that begins."""

    fixed: Inputs  # one row of label and codes; empty for a model without
    start: Floats | None = None  # [z_dim], unless that of some seeds is nearer


@dataclass(frozen=True)
class Inversion:
    """The best latent vector found for a picture."""

    z: Floats  # [z_dim]
    fixed: Inputs  # of the candidate that it was found with
    error: float  # mean squared difference of pixel values in [-1, 1]
    iterations: int
    stopped: Stopped

    @property
    def label(self) -> int | None:
        """The class; None for an unconditional model."""
        return int(self.fixed["label"][0]) if "label" in self.fixed else None

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB: 10 log10(2^2 / error)."""
        return float(10 * np.log10(4 / max(self.error, 1e-12)))

    @property
    def rows(self) -> Inputs:
        """The generator's inputs, one row."""
        return {"z": self.z[None], **self.fixed}


# Yields rows whose images are wanted, and is sent these, float32 [n, channels, height, width] in [-1, 1]
Drawing = Generator[Inputs, Floats, Inversion]


class TimeIsUpError(Exception):
    """Thrown into a `Drawing` so that it returns the best that it has found. It comes out again if nothing has been drawn yet."""


class _Search:
    """The search of one picture with one candidate."""

    def __init__(self, target: Floats, spec: InputSpec, candidate: Candidate, step: float) -> None:
        self._candidate, self._spec, self._step = candidate, spec, step
        self.iterations, self.damping, self.converged = 0, _FIRST_DAMPING, False
        self._prior = _PRIOR if spec.distribution == "normal" else 0.0
        self._target = target.ravel().astype(np.float64)
        self.z = np.zeros(spec.z_dim)
        self.values: NDArray[np.float64] | None = None  # pixel values of the image of z; None before the first is drawn

    def _rows(self, z: NDArray[np.float64]) -> Inputs:
        """Rows of inputs with these latent vectors, float [n, z_dim]."""
        return {"z": z.astype(np.float32), **{name: np.repeat(row, len(z)) for name, row in self._candidate.fixed.items()}}

    def _objective(self, z: NDArray[np.float64], values: NDArray[np.float64]) -> float:
        residual = values - self._target
        return float(residual @ residual + self._prior * z @ z)

    @property
    def objective(self) -> float:
        """What is minimised, at the best latent vector so far."""
        assert self.values is not None, "the first image has been drawn"
        return self._objective(self.z, self.values)

    @property
    def error(self) -> float:
        assert self.values is not None, "the first image has been drawn"
        return float(np.square(self.values - self._target).mean())

    def begin(self) -> Generator[Inputs, Floats, None]:
        """Begin where the candidate says, or at that of some seeds whose image is nearest."""
        starts = _SHORTENED * inputs_of_seeds(range(_SEEDS), self._spec)["z"].astype(np.float64)
        if self._candidate.start is not None:
            starts = np.concatenate([self._candidate.start[None].astype(np.float64), starts])
        images = _flat((yield self._rows(starts)))
        nearest = int(np.square(images - self._target).mean(1).argmin())
        self.z, self.values = starts[nearest], images[nearest]

    def iterate(self) -> Generator[Inputs, Floats, None]:
        """One iteration: a Jacobian, then steps of several dampings, of which the best is taken."""
        assert self.values is not None, "the first image has been drawn"
        before = self.objective
        moved = _flat((yield self._rows(self.z + self._step * np.eye(len(self.z)))))
        jacobian = (moved - self.values) / self._step  # [z_dim, pixels]
        normal = jacobian @ jacobian.T
        slope = jacobian @ (self.values - self._target) + self._prior * self.z
        self.iterations += 1
        while self.damping < _MOST_DAMPING:
            dampings = [self.damping * factor for factor in _DAMPING]
            steps = [np.linalg.solve(normal + (damping + self._prior) * np.eye(len(slope)), -slope) for damping in dampings]
            trials = self.z + np.stack(steps)
            if self._spec.distribution == "uniform":
                trials = trials.clip(-1, 1)
            images = _flat((yield self._rows(trials)))
            objectives = [self._objective(z, values) for z, values in zip(trials, images, strict=True)]
            best = int(np.argmin(objectives))
            if objectives[best] < before:
                self.z, self.values, self.damping = trials[best], images[best], dampings[best]
                self.converged = before - objectives[best] < _LITTLE * before
                return
            self.damping *= _DAMPING[-1] ** 2
        self.converged = True

    def found(self, stopped: Stopped) -> Inversion:
        """The best so far."""
        return Inversion(self.z.astype(np.float32), self._candidate.fixed, self.error, self.iterations, stopped)


def invert(
    target: Floats,  # [channels, height, width] in [-1, 1]
    spec: InputSpec,
    candidates: Sequence[Candidate],  # at least one, of which the best is kept
    iterations: int = 10,
    step: float = STEP,
) -> Drawing:
    """Find the latent vector, and the candidate of these, that draw a picture best.

    To be driven: it yields rows of inputs and is sent their images. Closing it early leaves nothing behind; `TimeIsUpError`
    thrown into it makes it return the best that it has found.
    """
    searches = [_Search(target, spec, candidate, step) for candidate in candidates]
    try:
        best = yield from _best(searches, iterations)
    except TimeIsUpError:
        begun = [search for search in searches if search.values is not None]
        if not begun:
            raise
        return min(begun, key=lambda search: search.objective).found("deadline")
    return best.found("converged" if best.converged else "iterations")


def _best(searches: list[_Search], iterations: int) -> Generator[Inputs, Floats, _Search]:
    for search in searches:
        yield from search.begin()
    searches = sorted(searches, key=lambda search: search.error)[:_CLASSES]
    for search in searches:
        for _ in range(min(_SCREENED, iterations) if len(searches) > 1 else iterations):
            if not search.converged:
                yield from search.iterate()
    best = min(searches, key=lambda search: search.objective)
    while best.iterations < iterations and not best.converged:
        yield from best.iterate()
    return best


def most_images(candidates: Sequence[Candidate], iterations: int, spec: InputSpec) -> int:
    """About how many images a search draws that does not converge early."""
    iterated = iterations + _SCREENED * (min(len(candidates), _CLASSES) - 1)
    return len(candidates) * (_SEEDS + 1) + iterated * (spec.z_dim + len(_DAMPING))


def candidates(given: Inputs, n: int, spec: InputSpec) -> list[list[Candidate]]:
    """What each of n pictures may have been drawn with: the labels and codes that are given, [n], and all of what is not.

    A code that is a number is 0 if it is not given. Raises ValueError if there are too many to try.
    """
    choices: dict[str, Sequence[float]] = {}
    if spec.classes is not None and "label" not in given:
        choices["label"] = range(spec.classes)
    for code in spec.codes:
        if code.name not in given:
            choices[code.name] = [0.0] if code.categories is None else range(code.categories)
    combinations = list(product(*choices.values()))
    if len(combinations) > _MOST_CANDIDATES:
        raise ValueError(f"must be given: there are {len(combinations)} to try, over {_MOST_CANDIDATES}")
    dtypes = {"label": np.int64, **{code.name: code_dtype(code) for code in spec.codes}}
    untold = [
        {name: np.array([value], dtypes[name]) for name, value in zip(choices, values, strict=True)} for values in combinations
    ]
    return [[Candidate(select(given, slice(place, place + 1)) | each) for each in untold] for place in range(n)]


def drive(drawing: Drawing, draw: Callable[[Inputs], Floats]) -> Inversion:
    """Run a search to its end: `draw` makes the images that it asks for."""
    rows = next(drawing)
    while True:
        try:
            rows = drawing.send(draw(rows))
        except StopIteration as end:
            found: Inversion = end.value
            return found


def _flat(images: Floats) -> NDArray[np.float64]:
    return images.reshape(len(images), -1).astype(np.float64)
