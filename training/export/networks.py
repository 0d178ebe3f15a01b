"""The networks that a generator is exported as: one, or two with styles between them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan.latents import Inputs
from gan.manifest import GENERATOR_FILES, IMAGES, STYLES
from gan.manifest_parts import Styles
from gan.networks import styled
from gan.networks.family import Generator
from gan.runtimes.network import rows_of_seeds
from gan.runtimes.styles import MEAN_STYLE, STYLE

_SYNTHESIS_FILES = GENERATOR_FILES | {"onnx": "synthesis.onnx", "torchscript": "synthesis.torchscript.pt"}
_MAPPING_FILES = {"onnx": "mapping.onnx", "torchscript": "mapping.torchscript.pt"}


@dataclass(frozen=True)
class NetworkToExport:
    """A network in eval mode, with the names of its inputs and outputs and of the files to be written."""

    name: str  # in a manifest
    module: nn.Module
    outputs: list[str]
    files: dict[str, str]
    rows: Callable[[int], Inputs]  # so many rows of inputs: those of the seeds from 0 on


def networks_of(generator: Generator) -> list[NetworkToExport]:
    """The networks of a finished generator, in the order in which images pass through them."""
    rows = rows_of_seeds(generator.input_spec)
    if not isinstance(generator, styled.Generator):
        return [NetworkToExport("generator", generator, [IMAGES], GENERATOR_FILES, rows)]
    mapping, layers = generator.mapping, generator.synthesis.layers

    @torch.no_grad()
    def styles(n: int) -> Inputs:
        found: Tensor = mapping(*(torch.from_numpy(values) for values in rows(n).values()))
        return {STYLES: found[:, None].repeat(1, layers, 1).numpy()}

    return [
        NetworkToExport("mapping", _WithMean(mapping).eval(), [STYLE, MEAN_STYLE], _MAPPING_FILES, rows),
        NetworkToExport("generator", _CutOff(generator.synthesis).eval(), [IMAGES], _SYNTHESIS_FILES, styles),
    ]


def styles_of(generator: Generator) -> Styles | None:
    """What the networks hand on to each other, for a manifest; None of a generator that is one network."""
    if not isinstance(generator, styled.Generator):
        return None
    return Styles(layers=generator.synthesis.layers, size=len(generator.mapping.w_avg))


class _WithMean(nn.Module):
    """A mapping network that gives the mean of all styles beside each style, so that one file has all that truncation needs."""

    def __init__(self, mapping: styled.Mapping) -> None:
        super().__init__()
        self.mapping = mapping

    def forward(self, z: Tensor, *label: Tensor) -> tuple[Tensor, Tensor]:
        w: Tensor = self.mapping(z, *label)
        return w, self.mapping.w_avg.expand(w.shape[0], -1)


class _CutOff(nn.Module):
    """A synthesis network whose images are cut off at -1 and 1."""

    def __init__(self, synthesis: styled.Synthesis) -> None:
        super().__init__()
        self.synthesis = synthesis

    def forward(self, ws: Tensor) -> Tensor:
        images: Tensor = self.synthesis(ws)
        return images.clamp(-1, 1)
