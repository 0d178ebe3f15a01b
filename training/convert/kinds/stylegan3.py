"""StyleGAN3, both configurations, as NVIDIA's code pickles them; its filters and factors are attributes, which state dicts lack."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from gan.networks.stylegan3 import Generator
from training.convert.files.records import Module
from training.convert.files.sources import State
from training.convert.kinds.base import Account, Kind, Recognised
from training.convert.kinds.styles import mapping_sizes, move_linear, move_mapping
from training.errors import ConversionError


def _matches(state: State) -> bool:
    return {"synthesis.input.freqs", "mapping.fc0.weight"} <= state.tensors.keys()


def _build(state: State) -> Recognised:
    tensors, module = state.tensors, state.module
    synthesis = None if module is None else module.module("synthesis")
    if synthesis is None or module is None:
        raise ConversionError("a StyleGAN3 is read from its pickle alone: a state dict does not say its filters' paddings")
    names = [str(name) for name in synthesis.attribute("layer_names") or []]
    layers = [_layer(module, f"synthesis.{name}") for name in names]
    width, height = _numbers(_wanted(module, "synthesis.input", "size"), 2)
    spec, w_dim, mapping_layers = mapping_sizes(tensors, "mapping.fc{}.weight".format, "mapping.embed.weight")
    arguments: dict[str, Any] = {
        "w_dim": w_dim,
        "mapping_layers": mapping_layers,
        "input": {
            "channels": len(tensors["synthesis.input.freqs"]),
            "width": int(width),
            "height": int(height),
            "sampling_rate": float(_wanted(module, "synthesis.input", "sampling_rate")),
            "bandwidth": float(_wanted(module, "synthesis.input", "bandwidth")),
        },
        "layers": layers,
        "output_scale": float(_wanted(module, "synthesis", "output_scale")),
    }
    if not layers or not layers[-1]["to_rgb"]:
        raise ConversionError("its synthesis network names no last layer that draws an image")
    side, channels = int(_wanted(module, "synthesis", "img_resolution")), layers[-1]["outputs"]
    generator = Generator(spec, channels, (side, side), **arguments)
    account = Account(tensors, generator, f"a StyleGAN3 of {side}x{side} images")
    move_mapping(account, module, generator.mapping)
    _move_input(account, module)
    for place, name in enumerate(names):
        _move_layer(account, module, f"synthesis.{name}", f"synthesis.steps.{place}", layers[place])
    became = dict(account.close())
    title = f"StyleGAN3-{'T' if layers[0]['kernel'] > 1 else 'R'}"
    return Recognised(title, "stylegan3", arguments, generator.eval(), channels, (side, side), became)


def _layer(module: Module, path: str) -> dict[str, Any]:
    """The arguments of one layer, from its attributes and the shapes of its tensors. Raises ConversionError."""
    inner = module.module(path)
    tensors = {} if inner is None else inner.tensors()
    if "weight" not in tensors or tensors["weight"].ndim != 4:
        raise ConversionError(f"the file has no weights of four dimensions for {path}")
    outputs, inputs, kernel, _ = tensors["weight"].shape
    clamp = _wanted(module, path, "conv_clamp")
    return {
        "inputs": inputs,
        "outputs": outputs,
        "kernel": kernel,
        "up": int(_wanted(module, path, "up_factor")),
        "down": int(_wanted(module, path, "down_factor")),
        **{name: list(tensors[name].shape) if name in tensors else None for name in ("up_filter", "down_filter")},
        "padding": [int(side) for side in _numbers(_wanted(module, path, "padding"), 4)],
        "to_rgb": bool(_wanted(module, path, "is_torgb")),
        "clamp": None if clamp is None else float(clamp),
    }


def _move_input(account: Account, module: Module) -> None:
    theirs, ours = "synthesis.input", "synthesis.input"
    for name in ("freqs", "phases", "transform"):
        account.move(f"{theirs}.{name}", f"{ours}.{name}")
    weight = account.take(f"{theirs}.weight", f"{ours}.weight")
    account.put(f"{ours}.weight", weight / np.float32(np.sqrt(len(weight))), f"{theirs}.weight")
    move_linear(account, module, f"{theirs}.affine", f"{ours}.affine")


def _move_layer(account: Account, module: Module, theirs: str, ours: str, about: dict[str, Any]) -> None:
    for name in ("weight", "bias"):
        account.move(f"{theirs}.{name}", f"{ours}.{name}")
    for name in ("up_filter", "down_filter"):
        if about[name] is not None:
            account.move(f"{theirs}.{name}", f"{ours}.{name}")
    magnitude = account.take(f"{theirs}.magnitude_ema", f"{ours}.input_gain, as 1 / sqrt")
    account.put(f"{ours}.input_gain", np.asarray(1 / np.sqrt(magnitude), np.float32), f"{theirs}.magnitude_ema")
    gain = 1 / np.sqrt(about["inputs"] * about["kernel"] ** 2) if about["to_rgb"] else 1.0
    move_linear(account, module, f"{theirs}.affine", f"{ours}.affine", gain=gain)


def _wanted(module: Module, path: str, name: str) -> Any:
    """An attribute of an inner module. Raises ConversionError if it is not there."""
    inner = module.module(path)
    missing = object()
    found = missing if inner is None else inner.attribute(name, missing)
    if found is missing:
        raise ConversionError(f"the file does not say the {name} of {path}: it is damaged, or of a changed program")
    return found


def _numbers(values: Any, count: int) -> list[float]:
    """So many numbers in a list or an array. Raises ConversionError for something else."""
    found = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(found, Iterable) or isinstance(found, str | dict):
        raise ConversionError("the file has something else where a list of numbers belongs: it is damaged, or of a changed program")
    numbers = [value for value in found if isinstance(value, int | float)]
    if len(numbers) != count:
        raise ConversionError(f"the file has {len(numbers)} numbers where {count} belong: it is damaged, or of a changed program")
    return numbers


KINDS = [Kind("stylegan3", _matches, _build)]
