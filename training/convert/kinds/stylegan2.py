"""StyleGAN2 and StyleGAN2-ADA, as NVIDIA's PyTorch code writes them, and StyleGAN2 as rosinality's stylegan2-pytorch does.

Both multiply weights by constants at run time (equalised learning rates); here these become part of the weights.
"""

import re
from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan.networks.stylegan2 import Generator
from training.convert.files.records import Module
from training.convert.files.sources import State
from training.convert.kinds.base import Account, Kind, Recognised
from training.convert.kinds.styles import mapping_sizes, mean_style, move_linear, move_mapping, plain
from training.errors import ConversionError

_CLAMP = 256.0  # that NVIDIA's training sets where it computes in 16 bits; a state dict does not say it
_LARGEST = 2048  # pixels of a side


def _of_nvidia(state: State) -> Recognised:
    tensors, module = state.tensors, state.module
    sides = _sides(state, r"synthesis\.b(\d+)\.conv1\.weight")
    _refuse_variants(module, state)
    spec, w_dim, layers = mapping_sizes(tensors, "mapping.fc{}.weight".format, "mapping.embed.weight")
    widths = [tensors[f"synthesis.b{side}.conv1.weight"].shape[0] for side in sides]
    channels, clamp = tensors["synthesis.b4.torgb.weight"].shape[0], plain(module, "synthesis.b4.conv1", "conv_clamp", _CLAMP)
    arguments: dict[str, Any] = {"w_dim": w_dim, "layers": layers, "widths": widths, "clamp": clamp}
    generator = Generator(spec, channels, (sides[-1], sides[-1]), **arguments)
    account = Account(tensors, generator, f"a StyleGAN2 of {sides[-1]}x{sides[-1]} images")
    move_mapping(account, module, generator.mapping)
    account.move("synthesis.b4.const", "synthesis.const")
    convolutions = [f"synthesis.b{side}.conv{number}" for side in sides for number in (0, 1) if side > 4 or number]
    for place, name in enumerate(convolutions):
        ours = f"synthesis.convolutions.{place}"
        for part in ("weight", "bias"):
            account.move(f"{name}.{part}", f"{ours}.{part}")
        move_linear(account, module, f"{name}.affine", f"{ours}.affine")
        _move_noise(account, module, name, ours)
    for place, side in enumerate(sides):
        name, ours = f"synthesis.b{side}.torgb", f"synthesis.to_rgb.{place}"
        for part in ("weight", "bias"):
            account.move(f"{name}.{part}", f"{ours}.{part}")
        gain = plain(module, name, "weight_gain", 1 / sqrt(tensors[f"{name}.weight"].shape[1]))
        move_linear(account, module, f"{name}.affine", f"{ours}.affine", gain=gain)
    for name in tensors:
        if name.endswith(".resample_filter"):
            account.leave_filter(name)
    became = dict(account.close())
    return Recognised("StyleGAN2 or StyleGAN2-ADA", "stylegan2", arguments, generator.eval(), channels, (sides[-1],) * 2, became)


def _sides(state: State, blocks: str) -> list[int]:
    """Sides of the images of all blocks. Raises ConversionError if one is missing."""
    sides = sorted(int(match[1]) for name in state.tensors if (match := re.fullmatch(blocks, name)))
    if len(sides) < 2 or sides != [4 << level for level in range(len(sides))] or sides[-1] > _LARGEST:
        raise ConversionError(f"a StyleGAN2 has blocks of 4, 8, 16 … pixels, up to {_LARGEST}, and the file has {sides[:20]}")
    return sides


def _refuse_variants(module: Module | None, state: State) -> None:
    """Raises ConversionError for a network that computes in another way than the one that is drawn here."""
    for path, name, wanted in (
        ("synthesis.b8", "architecture", "skip"),
        ("synthesis.b8.conv0", "activation", "lrelu"),
        ("mapping.fc0", "activation", "lrelu"),
    ):
        if (found := plain(module, path, name, wanted)) != wanted:
            raise ConversionError(f"its {path} has the {name} {found!r}; only {wanted!r} can be drawn here")
    if "synthesis.b4.torgb.weight" not in state.tensors:
        raise ConversionError("its synthesis network draws no image at 4x4; only the architecture 'skip' can be drawn here")


def _move_noise(account: Account, module: Module | None, theirs: str, ours: str) -> None:
    """The constant noise, times its strength; zeros where a network is made without."""
    if plain(module, theirs, "use_noise", otherwise=True):
        noise = account.take(f"{theirs}.noise_const", f"{ours}.noise")
        strength = account.take(f"{theirs}.noise_strength", f"{ours}.noise, as a factor")
        account.put(f"{ours}.noise", noise * strength, f"{theirs}.noise_const")
    else:
        account.fill(f"{ours}.noise")


def _of_rosinality(state: State) -> Recognised:
    tensors = state.tensors
    spec, w_dim, layers = mapping_sizes(tensors, lambda number: f"style.{number + 1}.weight", "")
    blocks = 1 + sum(re.fullmatch(r"to_rgbs\.\d+\.bias", name) is not None for name in tensors)
    names = ["conv1", *(f"convs.{number}" for number in range(2 * (blocks - 1)))]
    side = 4 << min(blocks - 1, 20)
    if side > _LARGEST:
        raise ConversionError(f"a StyleGAN2 has images of up to {_LARGEST} pixels a side, and the file {blocks} sizes of them")
    try:
        widths = [tensors[name].shape[1] for name in ("conv1.conv.weight", *(f"{one}.conv.weight" for one in names[2::2]))]
        channels = tensors["to_rgb1.conv.weight"].shape[1]
    except (KeyError, IndexError) as error:
        raise ConversionError(f"a StyleGAN2 of {side}x{side} images has a tensor {error} of five dimensions") from error
    arguments: dict[str, Any] = {"w_dim": w_dim, "layers": layers, "widths": widths, "clamp": None}
    generator = Generator(spec, channels, (side, side), **arguments)
    account = Account(tensors, generator, f"a StyleGAN2 of {side}x{side} images")
    for number in range(layers):
        move_linear(account, None, f"style.{number + 1}", f"mapping.layers.{number}", rate=0.01)
    _put(account, "input.input", "synthesis.const", lambda values: values[0])
    has_noise = "noises.noise_0" in tensors
    for place, name in enumerate(names):
        ours = f"synthesis.convolutions.{place}"
        _put(account, f"{name}.conv.weight", f"{ours}.weight", lambda values: values[0] / np.float32(sqrt(values[0, 0].size)))
        account.move(f"{name}.activate.bias", f"{ours}.bias")
        move_linear(account, None, f"{name}.conv.modulation", f"{ours}.affine")
        strength = account.take(f"{name}.noise.weight", f"{ours}.noise, as a factor")
        if has_noise:
            _put(account, f"noises.noise_{place}", f"{ours}.noise", lambda values: values[0, 0])
            account.scale(f"{ours}.noise", strength)
        else:
            account.fill(f"{ours}.noise")
    for place, name in enumerate(["to_rgb1", *(f"to_rgbs.{number}" for number in range(blocks - 1))]):
        ours = f"synthesis.to_rgb.{place}"
        _put(account, f"{name}.conv.weight", f"{ours}.weight", lambda values: values[0] / np.float32(sqrt(values.shape[2])))
        _put(account, f"{name}.bias", f"{ours}.bias", lambda values: values.reshape(-1))
        move_linear(account, None, f"{name}.conv.modulation", f"{ours}.affine")
    for name in tensors:
        if name.endswith(".kernel"):
            account.leave_filter(name)
    notes = [] if has_noise else ["it has no constant noise: images are drawn without noise"]
    mean = state.beside.get("latent_avg")
    account.fill("mapping.w_avg")
    became = dict(account.close())
    if not isinstance(mean, np.ndarray) or mean.size != w_dim:
        mean = mean_style(generator.mapping, spec)
        notes.append("it does not say the mean style, from which truncation goes: that of 10,000 seeds is taken")
    generator.load_state_dict({"mapping.w_avg": torch.from_numpy(mean.reshape(-1).astype(np.float32))}, strict=False)
    return Recognised(
        "StyleGAN2 of rosinality's stylegan2-pytorch",
        "stylegan2",
        arguments,
        generator.eval(),
        channels,
        (side, side),
        became,
        tuple(notes),
    )


def _put(account: Account, theirs: str, ours: str, made: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """Give a tensor of ours what is made of one of the file. Raises ConversionError."""
    values = account.take(theirs, ours)
    try:
        found = made(values)
    except IndexError as error:
        raise ConversionError(f"{theirs} has the shape {list(values.shape)}, which has too few dimensions") from error
    account.put(ours, found, theirs)


KINDS = [
    Kind("stylegan2", lambda state: {"synthesis.b4.const", "mapping.fc0.weight"} <= state.tensors.keys(), _of_nvidia),
    Kind(
        "stylegan2-rosinality",
        lambda state: {"input.input", "style.1.weight", "conv1.conv.weight"} <= state.tensors.keys(),
        _of_rosinality,
    ),
]
