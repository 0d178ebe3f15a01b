"""R3GAN as its own program saves it, in pickles and state dicts: our r3gan with zeros beyond borders, in groups of any size."""

import re
from typing import Any

from gan.latents import InputSpec
from gan.networks.layers.resampling import Upsample
from gan.networks.r3gan import EXPANSION, Generator, ResidualBlock
from training.convert.files.sources import State
from training.convert.kinds.base import Account, Kind, Recognised
from training.errors import ConversionError

_MOST_STAGES = 10  # from 4x4 to 2048x2048
_LAYER = re.compile(r"((?:Model\.)?)MainLayers\.(\d+)\.Layers\.(\d+)\..+")


def _matches(state: State) -> bool:
    return any(name.removeprefix("Model.") == "MainLayers.0.Layers.0.Basis" for name in state.tensors)


def _build(state: State) -> Recognised:
    tensors = state.tensors
    found = [match for name in tensors if (match := _LAYER.fullmatch(name))]
    before, numbers = found[0][1], {int(match[2]) for match in found}
    stages, blocks = len(numbers), len({match[3] for match in found if match[2] == "0"}) - 1
    if numbers != set(range(stages)) or stages > _MOST_STAGES:
        raise ConversionError(f"an R3GAN has stages 0, 1, 2 …, at most {_MOST_STAGES}, and the file has {sorted(numbers)[:20]}")
    stage = [f"{before}MainLayers.{number}.Layers" for number in range(stages)]
    try:
        basis, last = tensors[f"{stage[0]}.0.Basis"], tensors[f"{before}AggregationLayer.Layer.weight"]
        expands = [tensors[f"{one}.1.LinearLayer1.Layer.weight"] for one in stage]
        groups = {tensors[f"{one}.1.LinearLayer2.Layer.weight"].shape[1] for one in stage}
        first = next(tensors[name] for name in _names_of_scale(stage[0]) if name in tensors)
    except (KeyError, StopIteration) as error:
        raise ConversionError(f"the file has no tensor {error}, which an R3GAN has") from error
    embedding = tensors.get(f"{before}EmbeddingLayer.weight")
    classes = None if embedding is None else embedding.shape[1]
    widths = [weight.shape[1] for weight in expands]
    if len(groups) > 1 or any(weight.shape[0] != EXPANSION * weight.shape[1] for weight in expands):
        raise ConversionError(
            "its blocks have groups or inner widths that cannot be drawn with here: equal groups, twice the width"
        )
    side, channels = basis.shape[1] << (stages - 1), last.shape[0]
    spec = InputSpec(first.shape[1] - (0 if embedding is None else embedding.shape[0]), classes=classes)
    arguments: dict[str, Any] = {"width": widths[0], "blocks": blocks, "group": groups.pop(), "border": "zeros", "widths": widths}
    try:
        generator = Generator(spec, channels, (side, side), **arguments)
    except ValueError as error:
        raise ConversionError(f"an R3GAN of {side}x{side} images cannot be built here: {error}") from error
    account = Account(tensors, generator, f"an R3GAN of {side}x{side} images")
    account.move(f"{stage[0]}.0.Basis", "basis")
    account.move(next(name for name in _names_of_scale(stage[0]) if name in tensors), "scale.weight")
    if classes is not None:
        account.move(f"{before}EmbeddingLayer.weight", "embedding.weight")
    account.move(f"{before}AggregationLayer.Layer.weight", f"layers.{len(generator.layers) - 1}.weight")
    number, block = 0, 0
    for place, layer in enumerate(generator.layers):
        if isinstance(layer, Upsample):
            number, block = number + 1, 0
            _move_upsampling(account, layer, f"{stage[number]}.0", f"layers.{place}")
        elif isinstance(layer, ResidualBlock):
            block += 1
            _move_block(account, f"{stage[number]}.{block}", f"layers.{place}")
    became = dict(account.close())
    notes = ("it was trained with stages in 16 bits; here all are computed in 32",)
    return Recognised("R3GAN", "r3gan", arguments, generator.eval(), channels, (side, side), became, notes)


def _names_of_scale(stage: str) -> list[str]:
    return [f"{stage}.0.LinearLayer.weight", f"{stage}.0.LinearLayer.Layer.weight"]


def _move_upsampling(account: Account, layer: Upsample, theirs: str, ours: str) -> None:
    if "change.weight" in layer.state_dict():
        account.move(f"{theirs}.LinearLayer.Layer.weight", f"{ours}.change.weight")
    account.leave_filter(f"{theirs}.Resampler.Kernel")


def _move_block(account: Account, theirs: str, ours: str) -> None:
    for number, name in enumerate(("expand", "grouped", "project"), 1):
        account.move(f"{theirs}.LinearLayer{number}.Layer.weight", f"{ours}.{name}.weight")
    for number, name in enumerate(("expand", "grouped"), 1):
        account.move(f"{theirs}.NonLinearity{number}.Bias", f"{ours}.{name}.bias")


KINDS = [Kind("r3gan", _matches, _build)]
