"""Directions of a model that need no images: those of SeFa, in units of moves."""

import numpy as np

from gan.latents import seed_range
from gan.manifest_parts import Direction
from training.directions import sefa
from training.directions.finding import Found
from training.directions.sampling import Sampler, latents_of
from training.export.again import build_generator

_STYLES, _CLASSES = 2000, 10  # styles of each class, and classes, that the unit of a move is measured on


def from_weights(sampler: Sampler, n: int) -> list[Found]:
    """The first n directions, one for all classes.

    Raises UsageError for a network whose first layer is not known, and ModelFolderError for a model without weights.
    """
    components = sefa.components(build_generator(sampler.folder), n)
    latents = np.zeros((0, sampler.size))
    if sampler.manifest.styles is not None:
        some = [sampler.rows(seed_range(0, _STYLES), label) for label in sampler.labels[:_CLASSES]]
        latents = np.concatenate([latents_of(rows) for rows in some])
    return [
        Found(
            Direction(
                name=f"sefa-{number}",
                kind="sefa",
                about=f"what the generator's first weights change most, number {number}: {component.strength:.1f} times the mean",
            ),
            (component.direction * sampler.deviation(latents, component.direction)).astype(np.float32),
        )
        for number, component in enumerate(components, 1)
    ]
