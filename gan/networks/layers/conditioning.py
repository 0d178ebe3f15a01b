"""Label and codes as numbers that a network can take beside its other input."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gan.latents import InputSpec, inputs


def tensors(seeds: Sequence[int], space: InputSpec) -> list[Tensor]:
    """What these seeds give a network, in the order in which it takes it."""
    return [torch.from_numpy(values) for values in inputs(seeds, space).values()]


def size(space: InputSpec) -> int:
    """Components of the vector that `vector` makes."""
    return (space.classes or 0) + sum(code.categories or 1 for code in space.codes)


def vector(space: InputSpec, conditions: tuple[Tensor, ...], like: Tensor) -> Tensor:
    """Label and codes, in the order of `space.names`, each [n] -> [n, size]: whole numbers one-hot, others as they are.

    Of the type of `like`, whichever that is when a traced network runs: `.to(like.dtype)` would write today's into the trace.
    """
    categories = [*([space.classes] if space.classes is not None else []), *(code.categories for code in space.codes)]
    parts = [
        values[:, None].type_as(like) if k is None else functional.one_hot(values, k).type_as(like)
        for values, k in zip(conditions, categories, strict=True)
    ]
    return torch.cat(parts, 1)
