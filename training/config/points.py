"""Recipes on points in the plane: what a recipe's defaults become there, and which settings have no meaning."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.data.points import POINT_SETS

if TYPE_CHECKING:
    from training.config.settings import Settings

POINTS_SEEN = 800_000  # by a run of the default length
# Found by trying, see docs/training.md. A network of some thousand weights takes larger steps than one for images, and two latent
# variables are as many as can be drawn as a grid.
_DEFAULTS: dict[str, Any] = {
    "arch": "mlp",
    "resolution": "1",
    "width": 256,
    "z_dim": 2,
    "latent": "normal",
    "batch_size": 128,
    "learning_rate": 2e-3,
    "images": POINTS_SEEN,
    "sample_every": 20_000,
    "checkpoint_every": 100_000,
    "measure": 2_500,  # as many as the source of the measures draws
    "precision": "float32",
    "threads": 1,  # which is fastest for so small networks
}
_OF_RECIPES: dict[str, dict[str, Any]] = {
    "wgan": {"learning_rate": 2e-4},
    "sngan": {"discriminator_norm": "spectral"},
    # As the authors' code has it for points (gan_toy.py in igul222/improved_wgan_training)
    "wgan-gp": {"gradient_penalty": 0.1},
    # Modes are narrow, so that slopes between them must be steep; without momentum the generator leaves some of them thin.
    "r3gan": {"r1": 1e-3, "r2": 1e-3, "beta1": 0.5, "beta2": 0.999, "beta2_end": None},
}
# What the networks for points do not have, and its value where it is not asked for
_WITHOUT_MEANING = {
    "arch": ("mlp", "points are no images, so there is nothing to convolve: take mlp"),
    "resolution": ("1", "points have none: leave it out"),
    "conditional": (False, "points have no labels: leave it out"),
    "attributes": (None, "points show none: leave it out"),
    "codes": ("", "points are drawn from a latent vector alone: leave it out"),
    "augment": ("none", "points are not augmented: leave it out"),
    "mirror": (False, "points are not augmented: leave it out"),
    "encoder_images": (None, "points make no model, and so no encoder: leave it out"),
}


def is_points(data: Any) -> bool:
    """Whether --data names a set of points in the plane."""
    return isinstance(data, str) and data in POINT_SETS


def things_of(data: Any) -> str:
    """What a run on such data generates, in a word for people."""
    return "points" if is_points(data) else "images"


def on_points(name: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's defaults for points: its losses and steps, with networks and a length that suit them."""
    settings = {**recipe, **_DEFAULTS, **_OF_RECIPES.get(name, {})}
    return {**settings, "anneal_images": POINTS_SEEN} if "anneal_images" in recipe else settings


def contradiction(config: "Settings") -> str | None:
    """A sentence on a setting that has no meaning for points; None where all have one."""
    for field, (value, why) in _WITHOUT_MEANING.items():
        if getattr(config, field) != value:
            by = (
                f" (as --recipe {config.recipe} has it; take another)"
                if field in ("conditional", "codes", "encoder_images")
                else ""
            )
            return f"--{field.replace('_', '-')} {getattr(config, field)} with --data {config.data}: {why}{by}"
    return None
