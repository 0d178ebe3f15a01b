"""Label and codes as numbers that a network can take beside its other input."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gan.latents import InputSpec, inputs_of_seeds


def inputs_as_tensors(seeds: Sequence[int], input_spec: InputSpec) -> list[Tensor]:
    """The inputs of these seeds, in the order in which a network takes them."""
    return [torch.from_numpy(values) for values in inputs_of_seeds(seeds, input_spec).values()]


def condition_size(input_spec: InputSpec) -> int:
    """Length of the vector that `condition_vector` returns for one image."""
    return (input_spec.classes or 0) + sum(code.categories or 1 for code in input_spec.codes)


def condition_vector(input_spec: InputSpec, conditions: tuple[Tensor, ...], like: Tensor) -> Tensor:
    """Label and codes, in the order of `input_spec.names`, each [n] -> [n, condition_size]; whole numbers one-hot.

    Of the type of `like`, whichever that is when a traced network runs: `.to(like.dtype)` would write today's into the trace.
    """
    classes = [] if input_spec.classes is None else [input_spec.classes]
    categories = [*classes, *(code.categories for code in input_spec.codes)]
    parts = [
        values[:, None].type_as(like) if k is None else functional.one_hot(values, k).type_as(like)
        for values, k in zip(conditions, categories, strict=True)
    ]
    return torch.cat(parts, 1)
