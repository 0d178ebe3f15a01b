"""A generator that shows attributes, each value as often as the data does, as its latent vector chooses them.

Training teaches it to show what was chosen by an auxiliary classifier (Odena et al. 2017, arXiv 1610.09585).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gan.attribute_table import AttributeTable
from gan.latents import InputSpec
from gan.networks import family

ARGUMENT = "attributes"  # of a generator, beside those of its family


class Generator(family.Generator):
    """A generator of any family, which is given the sum of the embeddings of an image's values beside the latent vector.

    A component that chooses among several values says nothing else: to the generator of the family it is 0.
    """

    thresholds: Tensor
    firsts: Tensor
    counts: Tensor
    chooses: Tensor

    def __init__(
        self,
        input_spec: InputSpec,
        table: AttributeTable,
        build: Callable[[InputSpec], family.Generator],  # of the family, by the inputs that it is given
    ) -> None:
        """Raises ValueError for fewer components than attributes, or another number of classes."""
        super().__init__()
        if len(table.columns) > input_spec.z_dim:
            raise ValueError(
                f"{len(table.columns)} attributes need as many latent components, not {input_spec.z_dim}: raise --z-dim"
            )
        if len(table.shares) != (input_spec.classes or 1):
            raise ValueError(f"attributes of {len(table.shares)} classes, where there are {input_spec.classes or 1}")
        self.input_spec, self.table = input_spec, table
        self.register_buffer("thresholds", torch.from_numpy(table.thresholds(input_spec.distribution)))
        self.register_buffer("firsts", torch.from_numpy(table.firsts))
        self.register_buffer("counts", torch.from_numpy(table.counts), persistent=False)
        chooses = np.zeros((len(table.shares), input_spec.z_dim), bool)
        chooses[:, : len(table.columns)] = table.counts > 1
        self.register_buffer("chooses", torch.from_numpy(chooses), persistent=False)
        self.embedding = nn.Parameter(torch.zeros(table.size, table.embedding))
        self.generator = build(replace(input_spec, z_dim=input_spec.z_dim + table.embedding))

    def forward(self, z: Tensor, *label_and_codes: Tensor) -> Tensor:
        """See `family.Generator`."""
        label = label_and_codes[0] if self.input_spec.classes is not None else torch.zeros_like(z[:, 0], dtype=torch.int64)
        embedded = functional.embedding(self.firsts[label] + self.chosen(z, label), self.embedding).sum(1)
        rest = z.masked_fill(self.chooses[label], 0)
        images: Tensor = self.generator(torch.cat([rest, embedded.type_as(z)], 1), *label_and_codes)
        return images

    def chosen(self, z: Tensor, label: Tensor) -> Tensor:
        """The places of the values that latent vectors choose, as `attribute_table.chosen`: int64 [n, columns]."""
        ranks: Tensor = (z[:, : self.firsts.shape[1], None] > self.thresholds[label]).sum(-1)
        return ranks


def of_columns(logits: Tensor, first: Tensor, counts: Tensor, most: int) -> Tensor:
    """The logits of all values, [n, values of the table], by columns: [n, columns, most], -inf where a column has no more values.

    `first` and `counts`, int64 [n, columns], are those of the table for each image's class, and `most` is the largest count.
    """
    steps = torch.arange(most, device=logits.device)
    is_value = steps < counts[..., None]
    places = torch.where(is_value, first[..., None] + steps, 0)
    return logits.gather(1, places.flatten(1)).view(places.shape).masked_fill(~is_value, -torch.inf)


def arguments_of(generator: family.Generator) -> dict[str, Any]:
    """What `families.generator` takes for the attributes of a generator, beside the arguments of its family; {} without any."""
    return {ARGUMENT: generator.table.model_dump()} if isinstance(generator, Generator) else {}


@torch.no_grad()
def initialise(generator: Generator, random: torch.Generator) -> None:
    """Start weights of the embedding: those of all columns together have components of N(0, 1), as latent vectors have."""
    generator.embedding.normal_(0.0, len(generator.table.columns) ** -0.5, generator=random)
