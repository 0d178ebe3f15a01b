"""Searches for latent vectors by a loaded model, the same for the service and for programs."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gan.encoder import PictureEncoder
from gan.inversion import COARSE_STEP, STEP, Candidate, Drawing, invert
from gan.latents import Inputs
from gan.manifest import Manifest
from gan.runtimes.base import Runtime


def search(
    runtime: Runtime,
    encoder: PictureEncoder | None,  # where the search begins, if the model has one
    manifest: Manifest,
    target: NDArray[np.float32],  # [channels, height, width] in [-1, 1]
    candidates: Sequence[Candidate],
    iterations: int,
) -> Drawing:
    """The search of a picture by a model; see `gan.inversion.invert`. Its rows are still to be completed by `complete`."""
    step = COARSE_STEP if runtime.is_half_precision else STEP
    return invert(target, manifest.input_spec, _with_starts(encoder, target, candidates), iterations, step)


def complete(runtime: Runtime, manifest: Manifest, rows: Inputs) -> Inputs:
    """Rows of latent vectors with their styles, which the model's own truncation acts on; latent vectors are not truncated."""
    return runtime.complete(rows, manifest.sampling.truncation if manifest.truncates == "w" else None)


def _with_starts(
    encoder: PictureEncoder | None,
    target: NDArray[np.float32],  # [channels, height, width] in [-1, 1]
    candidates: Sequence[Candidate],
) -> list[Candidate]:
    """The candidates of a picture, each beginning where the model's encoder says, if it has one."""
    if encoder is None:
        return list(candidates)
    labels = np.concatenate([one.fixed["label"] for one in candidates]) if "label" in candidates[0].fixed else None
    starts = encoder.starts(np.repeat(target[None], len(candidates), axis=0), labels)
    return [replace(one, start=start) for one, start in zip(candidates, starts, strict=True)]
