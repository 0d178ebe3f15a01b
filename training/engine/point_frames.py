"""What a run on points in the plane looks like at one moment: generated points, the discriminator's field, the manifold."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan import atomic
from gan.latents import InputSpec, inputs_of_seeds
from gan.networks.family import Generator
from training.config.schema import TrainingConfig
from training.data.points import WINDOW, point_set
from training.engine.checkpoint_quality import generate_nchw
from training.engine.state import TrainingState
from training.losses.adversarial import OBJECTIVES
from training.tracking import frames

_SHOWN, _MEASURED = 500, 2_500  # generated points that are drawn, and by which modes are counted
_SIDE = 41  # points a side at which the discriminator is asked
_LINES = 21  # of the manifold, in either direction
_TAIL = 0.01  # share of a normal latent variable beyond the first and the last of these lines


def write_frame(folder: Path, state: TrainingState, config: TrainingConfig) -> None:
    """Write the run's present frame, points-<points seen>.json. Changes no state."""
    generator = state.finished_generator(state.device)
    rows = inputs_of_seeds(range(_MEASURED), state.input_spec)
    points = generate_nchw(generator, rows, _MEASURED, dtype=np.float32).reshape(_MEASURED, 2)
    modes, good = point_set(config.data).coverage(points)
    frame: dict[str, Any] = {
        "pictures": state.seen,
        "modes": modes,
        "good": good,
        "points": frames.packed(points[:_SHOWN]),
        "field": base64.b64encode(_field(state, config, points).tobytes()).decode(),
    }
    if state.input_spec.z_dim == 2:  # the image of more dimensions cannot be drawn as a grid
        frame["manifold"] = frames.packed(_manifold(generator, state.input_spec))
    atomic.write_bytes_atomically(folder / frames.frame_name(state.seen), json.dumps(frame, separators=(",", ":")).encode())


def write_backdrop(folder: Path, config: TrainingConfig) -> None:
    """Write real-points.json, what stays the same in all frames: real points, the modes, and what of the plane is drawn."""
    chosen = point_set(config.data)
    backdrop = {
        "real": frames.packed(chosen.sample(_SHOWN, seed=2)),
        "modes": chosen.modes,
        "about": chosen.about,
        "window": WINDOW,
        "side": _SIDE,
        "lines": _LINES,
    }
    atomic.write_bytes_atomically(folder / frames.BACKDROP, json.dumps(backdrop, separators=(",", ":")).encode())


@torch.no_grad()
def _field(state: TrainingState, config: TrainingConfig, generated: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The discriminator over the plane, uint8 [side, side] from the lower left: 255 where it takes points for real.

    Where a logit is the log-odds of that, its probability; else the logistic function of how far the logit is from the middle
    between those of real and of generated points, in units of its standard deviation over the plane.
    """
    discriminator = copy.deepcopy(state.discriminator)  # each call changes the power iterations of spectral normalisation
    axis = np.linspace(-WINDOW, WINDOW, _SIDE, dtype=np.float32)
    lattice = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)

    def logits_of(points: NDArray[np.float32]) -> Tensor:
        logits: Tensor = discriminator(torch.from_numpy(points[:, :, None, None]).to(state.device))[0]
        return logits

    logits = logits_of(lattice)
    if not OBJECTIVES[config.objective].is_log_odds:
        middle = (logits_of(point_set(config.data).sample(_SHOWN, seed=2)).mean() + logits_of(generated).mean()) / 2
        logits = (logits - middle) / logits.std().clamp_min(1e-12)
    return (255 * logits.sigmoid()).round().to(torch.uint8).reshape(_SIDE, _SIDE).cpu().numpy()


@torch.no_grad()
def _manifold(generator: Generator, input_spec: InputSpec) -> NDArray[np.float32]:
    """What the generator makes of a square grid of latent vectors, [lines * lines, 2]: between two lines equally many lie."""
    if input_spec.distribution == "normal":
        axis = torch.special.ndtri(torch.linspace(_TAIL, 1 - _TAIL, _LINES))
    else:
        axis = torch.linspace(-1, 1, _LINES)
    across, up = torch.meshgrid(axis, axis, indexing="xy")
    z = torch.stack([across, up], -1).reshape(-1, 2).to(next(generator.parameters()).device)
    points: NDArray[np.float32] = generator(z).flatten(1).cpu().numpy()
    return points
