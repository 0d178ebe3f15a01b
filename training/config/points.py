"""Recipes on points in the plane: what a recipe's defaults become there, and which settings have no meaning."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.data.points import POINT_SETS

if TYPE_CHECKING:
    from training.config.settings import Settings

_IMAGES = 1_000_000
# A network of a few thousand weights is trained in larger batches and steps than one for images. Two latent variables are as many
# as can be drawn as a grid.
_DEFAULTS: dict[str, Any] = {
    "arch": "mlp",
    "resolution": "1",
    "width": 128,
    "z_dim": 2,
    "latent": "normal",
    "batch_size": 256,
    "learning_rate": 1e-3,
    "images": _IMAGES,
    "sample_every": 20_000,
    "checkpoint_every": 100_000,
    "measure": 2_500,  # as many as the sources of the measures draw
    "precision": "float32",
    "threads": 1,  # which is fastest for so small networks
}
_OF_RECIPES: dict[str, dict[str, Any]] = {
    "wgan": {"learning_rate": 1e-4},
    "sngan": {"discriminator_norm": "spectral"},
    "wgan-gp": {"gradient_penalty": 0.1},  # as the authors' code for points has it (gan_toy.py in igul222/improved_wgan_training)
    "r3gan": {"r1": 1e-3, "r2": 1e-3},  # modes are narrow, so that slopes between them must be steep
}
# What the networks for points do not have, and its value where it is not asked for
_WITHOUT_MEANING = {
    "arch": ("mlp", "points are no images, so there is nothing to convolve: take mlp"),
    "resolution": ("1", "points have none: leave it out"),
    "conditional": (False, "points have no labels: leave it out"),
    "codes": ("", "points are drawn from a latent vector alone: leave it out"),
    "augment": ("none", "points are not augmented: leave it out"),
    "mirror": (False, "points are not augmented: leave it out"),
    "encoder_images": (None, "points make no model, and so no encoder: leave it out"),
}


def is_points(data: Any) -> bool:
    """Whether --data names a set of points in the plane."""
    return isinstance(data, str) and data in POINT_SETS


def on_points(name: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's defaults for points: its losses and steps, with networks and a length that suit them."""
    settings = {**recipe, **_DEFAULTS, **_OF_RECIPES.get(name, {})}
    return {**settings, "anneal_images": _IMAGES} if "anneal_images" in recipe else settings


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
