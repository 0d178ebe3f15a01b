"""Seed -> latent vector, label and codes. Fixed for ever: a change here is a new major version of everything that ships.

NumPy's legacy stream is used because NumPy froze it (NEP 19) and because the StyleGAN tools use it, so a seed means the same
there and here. Every picture has a stream of its own: what it looks like never depends on what else was asked for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SEEDS = 2**32  # a seed is an integer in 0 ... SEEDS - 1

Distribution = Literal["normal", "uniform"]  # of a latent vector's components: N(0, 1) or U(-1, 1)


@dataclass(frozen=True)
class Code:
    """One named InfoGAN code (Chen et al. 2016, arXiv 1606.03657)."""

    name: str
    categories: int | None = None  # how many values it has; None: continuous in [-1, 1)


@dataclass(frozen=True)
class Draw:
    """All that one seed stands for."""

    z: NDArray[np.float32]  # [z_dim]
    label: int | None  # 0 ... classes - 1; None for an unconditional model
    codes: dict[str, int | float]  # a category, or a number in [-1, 1)


def seed_range(first: int, n: int) -> list[int]:
    """The n seeds from `first` on, wrapping round after 2^32 - 1."""
    return [(first + k) % SEEDS for k in range(n)]


def draw(
    seed: int,  # 0 ... 2^32 - 1
    z_dim: int,  # components of the latent vector
    distribution: Distribution = "normal",
    classes: int | None = None,  # how many labels; None: an unconditional model
    codes: Sequence[Code] = (),  # in the manifest's order
    truncation: float | None = None,  # 0 < t <= 1, normal latents only; None: none
) -> Draw:
    """The latent vector, the label and the codes of one seed.

    Label and codes come from the same stream after z, so that asking for one of them, or truncating, changes nothing else.

    Raises ValueError for a seed outside the range, a truncation outside (0, 1], or a truncation of uniform latents.
    """
    random = np.random.RandomState(seed)
    z = random.standard_normal(z_dim) if distribution == "normal" else random.uniform(-1, 1, z_dim)
    label = None if classes is None else int(random.randint(classes))
    drawn: dict[str, int | float] = {
        code.name: float(random.uniform(-1, 1)) if code.categories is None else int(random.randint(code.categories))
        for code in codes
    }
    if truncation is not None:
        if distribution != "normal":
            raise ValueError("truncation needs a model with normal latents")
        z = _truncate(z, seed, truncation)
    return Draw(z.astype(np.float32), label, drawn)


def latents(
    seeds: Sequence[int], z_dim: int, distribution: Distribution = "normal", truncation: float | None = None
) -> NDArray[np.float32]:
    """The latent vectors of many seeds, float32 [len(seeds), z_dim]; row i is that of seeds[i] alone. Raises as `draw`."""
    return np.stack([draw(seed, z_dim, distribution, truncation=truncation).z for seed in seeds])


def interpolate(stops: NDArray[np.float32], frames: int, loop: bool, distribution: Distribution = "normal") -> NDArray[np.float32]:
    """A way through latent vectors [stops, z_dim] -> float32 [frames, z_dim], in steps of equal length from stop to stop.

    Spherical for normal latents (Shoemake 1985), whose length hardly varies and would shrink on a straight line; straight for
    uniform ones. It begins at the first stop and ends at the last, or, in a loop, one step before the first. A frame that falls
    on a stop is that stop, bit for bit. Raises ValueError for fewer than two stops or frames.
    """
    if len(stops) < 2 or frames < 2:
        raise ValueError(f"an interpolation needs at least two stops and two frames, not {len(stops)} and {frames}")
    if loop:
        stops = np.concatenate([stops, stops[:1]])
    places = np.linspace(0, len(stops) - 1, frames, endpoint=not loop)
    return np.stack([_between(stops, float(place), spherical=distribution == "normal") for place in places])


def _between(stops: NDArray[np.float32], place: float, spherical: bool) -> NDArray[np.float32]:
    index = min(int(place), len(stops) - 2)
    t = place - index
    a: NDArray[np.float32] = stops[index]
    b: NDArray[np.float32] = stops[index + 1]
    if t == 0:
        return a.copy()
    if t == 1:
        return b.copy()
    share_a, share_b = 1 - t, t
    if spherical:
        cosine = float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
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
    random = np.random.RandomState([seed, 1])
    while (offenders := np.flatnonzero(np.abs(z) > 2)).size:
        z[offenders] = random.standard_normal(offenders.size)
    return truncation * z
