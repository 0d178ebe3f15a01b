"""The declaration of a network family: its two networks, their start weights, and the arguments they take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from gan.latents import InputSpec
from gan.networks.layers.norms import Norm


class Generator(nn.Module):
    """Base of all generators: inputs by name to images."""

    input_spec: InputSpec  # what `forward` takes, in the order of `input_spec.names`


class Discriminator(nn.Module):
    """Base of all discriminators: images, and labels if there are any, to logits."""

    feature_count: int  # length of the vectors that `forward_features` returns beside the logits

    def forward_features(self, images: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits as `forward` returns them, float [n], and the features that the last layer takes, float [n, feature_count]."""
        raise NotImplementedError

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """float [n, channels, height, width] in [-1, 1], labels int64 [n] -> logits, float [n].

        A logit is the unbounded score that an image is real and, with labels, shows what its label says; under objectives with
        `is_log_odds` the log-odds of that.
        """
        return self.forward_features(images, label)[0]


class WidthArguments(BaseModel):
    """Arguments that both networks of a family take beside what the data decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(gt=0)


@dataclass(frozen=True)
class Family:
    """One network family; `gan.networks.families` finds it by its name."""

    name: str
    generator: Callable[..., Generator]  # (input_spec, channels, size, **arguments)
    # What training needs beside that; None and nothing for a family that is only drawn from
    discriminator: Callable[..., Discriminator] | None = None  # (channels, size, classes=…, norm=…, **arguments)
    initialise: Callable[[nn.Module, torch.Generator], None] | None = None  # draws either network's start weights, in training mode
    norms: tuple[Norm, ...] = ()  # normalisations that the discriminator takes, its paper's own first
    arguments: type[BaseModel] = WidthArguments
    defaults: Mapping[str, Any] = field(default_factory=dict)  # settings of a run that the paper has otherwise than the reference
    discriminator_takes_label: bool = False  # its features depend on the label, so that no auxiliary head can learn from them

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, as the networks take them. Raises ValueError for a name or a value that they do not take."""
        if wrong := arguments.keys() - self.arguments.model_fields.keys():
            known = ", ".join(sorted(self.arguments.model_fields))
            raise ValueError(f"{self.name} networks take no {', '.join(sorted(wrong))}: they take {known}")
        return self.arguments.model_validate(arguments).model_dump(exclude_unset=True)
