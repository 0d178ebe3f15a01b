"""From what is asked for to complete rows of a generator's inputs, the same for the service and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan import latents, runtimes
from gan.directions import Directions
from gan.latents import Inputs, count
from gan.manifest import STYLES, Manifest
from gan.runtimes.base import Runtime

Span = tuple[float, float]  # of a move, from the first of its steps to the last; equal where there are no steps


@dataclass(frozen=True)
class Mix:
    """Styles of another seed for some layers of the generator (Karras et al. 2019, arXiv 1812.04948, section 3.1)."""

    seed: int
    layers: tuple[int, ...]  # from 0, the coarsest


def blend(
    runtime: Runtime,
    manifest: Manifest,
    weights: Sequence[tuple[int, float]],  # of seeds
    truncation: float | None,
    given: Inputs,  # labels and codes, one row for each seed
) -> Inputs:
    """One row between those of some seeds; of a model with styles, a blend of these, which no latent vector stands for."""
    seeds, shares = zip(*weights, strict=True)
    rows = runtimes.inputs_of_seeds(runtime, manifest, seeds, truncation, given)
    if manifest.styles is not None:
        rows.pop("z")
    return latents.blend(rows, shares, manifest.input_spec)


def interpolation(
    runtime: Runtime,
    manifest: Manifest,
    seeds: Sequence[int] | None,  # None: `given` has latent vectors
    frames: int,
    loop: bool,
    truncation: float | None,
    given: Inputs,  # labels and codes, one row for each stop
) -> Inputs:
    """Rows along a way from stop to stop, all of one class: that of the first seed, if none is given."""
    if seeds is None:
        stops = runtime.complete(given, truncation)
    else:
        if manifest.classes is not None and "label" not in given:
            # Of one class also where it goes from style to style, which are made of labels.
            own = latents.inputs_of_seeds(seeds[:1], manifest.input_spec)["label"]
            given = given | {"label": np.repeat(own, len(seeds))}
        stops = runtimes.inputs_of_seeds(runtime, manifest, seeds, truncation, given)
    return latents.interpolate(stops, frames, loop, manifest.input_spec)


def edited(
    runtime: Runtime,
    manifest: Manifest,
    directions: Directions,
    rows: Inputs,  # complete
    moves: Mapping[str, Span],
    mix: Mix | None,
    steps: int | None,  # of one row, from the first value of each span to the last; None: the rows alone
    truncation: float | None,  # of the styles that are mixed in
) -> Inputs:
    """Rows with styles mixed in, and moved along directions. Raises ValueError as `Directions.moved`."""
    if mix is not None:
        rows = _mixed(runtime, manifest, rows, mix, truncation)
    if steps is not None:
        rows = {name: np.repeat(values, steps, axis=0) for name, values in rows.items()}
    amounts = {name: np.linspace(start, end, count(rows), dtype=np.float32) for name, (start, end) in moves.items()}
    rows = directions.moved(rows, amounts)
    if manifest.styles is not None and (moves or mix):
        rows.pop("z")  # which no longer stands for the styles
    return rows


def _mixed(runtime: Runtime, manifest: Manifest, rows: Inputs, mix: Mix, truncation: float | None) -> Inputs:
    others = {name: values for name, values in rows.items() if name not in ("z", STYLES)}
    of_seed = latents.inputs_of_seeds([mix.seed] * count(rows), manifest.input_spec) | others
    layers = list(mix.layers)
    styles: NDArray[np.float32] = rows[STYLES].copy()
    styles[:, layers] = runtime.complete(of_seed, truncation)[STYLES][:, layers]
    return rows | {STYLES: styles}
