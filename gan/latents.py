"""Seed -> latent vector, label and codes. Fixed for ever: a change here is a new major version of everything that ships.

NumPy's legacy stream is used because NumPy froze it (NEP 19) and because the StyleGAN tools use it, so a seed means the same
there and here. Every image has a stream of its own: what it looks like never depends on what else was asked for.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SEEDS = 2**32  # a seed is an integer in 0 ... SEEDS - 1

# A stream that is seeded again gives what a new one gives, at a thirtieth of the cost: a new one asks the system for entropy first.
_of_thread = threading.local()

Distribution = Literal["normal", "uniform"]  # of a latent vector's components: N(0, 1) or U(-1, 1)


# Inputs of a generator by name, one row for each image: z float32 [n, z_dim]; label int64 [n] if it is conditional; and
# every code by its own name, int64 [n] if it is categorical, else float32 [n].
Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Code:
    """One named InfoGAN code (Chen et al. 2016, arXiv 1606.03657)."""

    name: str
    categories: int | None = None  # how many values it has; None: continuous in [-1, 1)


@dataclass(frozen=True)
class InputSpec:
    """The inputs of a generator: latent vector, label and codes."""

    z_dim: int  # components of the latent vector
    distribution: Distribution = "normal"
    classes: int | None = None  # how many labels; None: an unconditional model
    codes: tuple[Code, ...] = ()  # in the manifest's order

    @property
    def names(self) -> list[str]:
        """Names of the inputs, in the order in which networks take them."""
        return ["z", *(["label"] if self.classes is not None else []), *(code.name for code in self.codes)]


@dataclass(frozen=True)
class SeedInputs:
    """The inputs of a generator for one seed."""

    z: NDArray[np.float32]  # [z_dim]
    label: int | None  # 0 ... classes - 1; None for an unconditional model
    codes: dict[str, int | float]  # a category, or a number in [-1, 1)


def seed_range(first: int, n: int) -> list[int]:
    """The n seeds from `first` on, wrapping round after 2^32 - 1."""
    return [(first + k) % SEEDS for k in range(n)]


def inputs_of_seed(
    seed: int,  # 0 ... 2^32 - 1
    input_spec: InputSpec,
    truncation: float | None = None,  # 0 < t <= 1, normal latents only; None: none
) -> SeedInputs:
    """The latent vector, the label and the codes of one seed.

    Label and codes come from the same stream after z, so that asking for one of them, or truncating, changes nothing else.

    Raises ValueError for a seed outside the range, a truncation outside (0, 1], or a truncation of uniform latents.
    """
    random = _stream(seed)
    z = random.standard_normal(input_spec.z_dim) if input_spec.distribution == "normal" else random.uniform(-1, 1, input_spec.z_dim)
    label = None if input_spec.classes is None else int(random.randint(input_spec.classes))
    drawn: dict[str, int | float] = {
        code.name: float(random.uniform(-1, 1)) if code.categories is None else int(random.randint(code.categories))
        for code in input_spec.codes
    }
    if truncation is not None:
        if input_spec.distribution != "normal":
            raise ValueError("truncation needs a model with normal latents")
        z = _truncate(z, seed, truncation)
    return SeedInputs(z.astype(np.float32), label, drawn)


def inputs_of_seeds(seeds: Sequence[int], input_spec: InputSpec, truncation: float | None = None) -> Inputs:
    """The inputs of these seeds; row i depends on seeds[i] alone. Raises as `inputs_of_seed`."""
    draws = [inputs_of_seed(seed, input_spec, truncation) for seed in seeds]
    found: Inputs = {"z": np.array([one.z for one in draws])}
    if input_spec.classes is not None:
        found["label"] = np.array([one.label for one in draws], np.int64)
    for code in input_spec.codes:
        found[code.name] = np.array([one.codes[code.name] for one in draws], code_dtype(code))
    return found


def code_dtype(code: Code) -> type[np.int64] | type[np.float32]:
    """NumPy type of a code's values."""
    return np.float32 if code.categories is None else np.int64


def count(rows: Inputs) -> int:
    """Number of rows, one for each image."""
    return len(next(iter(rows.values())))


def select(rows: Inputs, which: slice) -> Inputs:
    """Some of the rows."""
    return {name: values[which] for name, values in rows.items()}


def join(parts: Sequence[Inputs]) -> Inputs:
    """Concatenate the rows of inputs of one `InputSpec`."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interpolate(stops: Inputs, frames: int, loop: bool, input_spec: InputSpec) -> Inputs:
    """A way from stop to stop, in steps of equal length -> as many rows as `frames`.

    Spherical for normal latents (Shoemake 1985), whose length hardly varies and would shrink on a straight line; straight for
    uniform ones and for continuous codes. Label and categorical codes stay those of the first stop. It begins at the first stop
    and ends at the last, or, in a loop, one step before the first. A frame that falls on a stop has that stop's vector, bit for
    bit. Raises ValueError for fewer than two stops or frames.
    """
    if count(stops) < 2 or frames < 2:
        raise ValueError(f"an interpolation needs at least two stops and two frames, not {count(stops)} and {frames}")
    if loop:
        stops = join([stops, select(stops, slice(1))])
    places = np.linspace(0, count(stops) - 1, frames, endpoint=not loop).tolist()
    found: Inputs = {}
    for name, values in stops.items():
        if values.dtype == np.int64:
            found[name] = np.repeat(values[:1], frames)
        else:
            spherical = name == "z" and input_spec.distribution == "normal"
            found[name] = np.stack([_between(values, place, spherical) for place in places])
    return found


def blend(rows: Inputs, weights: Sequence[float], input_spec: InputSpec) -> Inputs:
    """One row between some rows, by their weights, which are 0 or more, and not all 0.

    A normal latent vector gets the mean of their lengths, since a mean of vectors is shorter than those that a generator has seen.
    Label and categorical codes are those of the row with the largest weight, the first of several. Raises ValueError for other
    weights.
    """
    shares = np.array(weights, np.float64)
    if len(shares) != count(rows) or not shares.size or shares.min() < 0 or not 0 < shares.sum() < math.inf:
        raise ValueError(f"a blend of {count(rows)} rows needs as many weights of 0 or more, and one over 0, not {list(weights)}")
    shares /= shares.sum()
    heaviest = int(shares.argmax())
    if shares[heaviest] == 1:
        return select(rows, slice(heaviest, heaviest + 1))
    found: Inputs = {}
    for name, values in rows.items():
        if values.dtype == np.int64:
            found[name] = values[heaviest : heaviest + 1]
            continue
        mean = np.tensordot(shares, values.astype(np.float64), 1)
        if name == "z" and input_spec.distribution == "normal":
            mean *= shares @ np.linalg.norm(values.astype(np.float64), axis=1) / max(float(np.linalg.norm(mean)), 1e-12)
        found[name] = mean.astype(np.float32)[None]
    return found


def _between(stops: NDArray[np.float32], place: float, spherical: bool) -> NDArray[np.float32]:
    index = min(int(place), len(stops) - 2)
    t = place - index
    a, b = np.array(stops[index]), np.array(stops[index + 1])
    if t == 0:
        return a
    if t == 1:
        return b
    share_a, share_b = 1 - t, t
    if spherical:
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        cosine = float(np.dot(a, b) / lengths) if lengths else 1.0  # from no length at all there is no arc either
        angle = math.acos(min(max(cosine, -1.0), 1.0))
        # Parallel vectors span no arc; between them the straight line is the way.
        if math.sin(angle) > 1e-6:
            share_a, share_b = math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
    between: NDArray[np.float64] = share_a * a.astype(np.float64) + share_b * b
    return between.astype(np.float32)


def _truncate(z: NDArray[np.float64], seed: int, truncation: float) -> NDArray[np.float64]:
    """The truncation of BigGAN's released sampler (Brock et al. 2019, section 3.1): t times a normal cut off at +-2."""
    if not 0 < truncation <= 1:
        raise ValueError(f"truncation must be over 0 and at most 1, not {truncation}")
    z = z.copy()
    random = _stream([seed, 1])
    while (offenders := np.flatnonzero(np.abs(z) > 2)).size:
        z[offenders] = random.standard_normal(offenders.size)
    return truncation * z


def _stream(seed: int | list[int]) -> np.random.RandomState:
    """The stream of RandomState(seed). The next call in this thread reuses the object that is returned."""
    if not hasattr(_of_thread, "random"):
        _of_thread.random = np.random.RandomState(0)
    random: np.random.RandomState = _of_thread.random
    random.seed(seed)
    return random
