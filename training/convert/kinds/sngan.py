"""SNGAN and its relatives (SSGAN, InfoMax-GAN, cGAN with projection) of torch_mimicry: our resnet, with bilinear upsampling."""

import re
from math import isqrt

from gan.latents import InputSpec
from gan.networks.resnet import Generator
from training.convert.files.sources import State
from training.convert.kinds.base import Account, Kind, Recognised
from training.errors import ConversionError

_CONVOLUTION = re.compile(r"block(\d+)\.c1\.weight")


def _matches(state: State) -> bool:
    return "l1.weight" in state.tensors and any(_CONVOLUTION.fullmatch(name) for name in state.tensors)


def _build(state: State) -> Recognised:
    tensors = state.tensors
    blocks = sorted(int(match[1]) for name in tensors if (match := _CONVOLUTION.fullmatch(name)))
    last = blocks[-1] + 1
    if blocks != list(range(2, last)) or f"c{last}.weight" not in tensors:
        raise ConversionError(f"an SNGAN has blocks from block2 on and then a layer c{last}; the file has the blocks {blocks}")
    widths = [tensors["block2.c1.weight"].shape[1], *(tensors[f"block{number}.c1.weight"].shape[0] for number in blocks)]
    cells, z_dim = tensors["l1.weight"].shape
    grid = isqrt(cells // widths[0])
    side, channels = grid << len(blocks), tensors[f"c{last}.weight"].shape[0]
    if grid * grid * widths[0] != cells:
        raise ConversionError(f"l1.weight has {cells} rows, which are no square of {widths[0]} channels")
    embedding = tensors.get("block2.b1.embed.weight")
    classes = None if embedding is None else len(embedding)
    arguments = {"width": max(widths[0] // 2, 1), "upsampling": "bilinear", "widths": widths}
    try:
        generator = Generator(InputSpec(z_dim, classes=classes), channels, (side, side), **arguments)
    except ValueError as error:
        raise ConversionError(f"an SNGAN of {side}x{side} images cannot be built here: {error}") from error
    account = Account(tensors, generator, f"an SNGAN of {side}x{side} images")
    for part in ("weight", "bias"):
        account.move(f"l1.{part}", f"first.{part}")
        account.move(f"c{last}.{part}", f"last.{part}")
    _move_norm(account, f"b{last}", "norm")
    for place, number in enumerate(blocks):
        theirs, ours = f"block{number}", f"blocks.{place}"
        for layer, name in (("c1", "first"), ("c2", "second"), ("c_sc", "shortcut")):
            for part in ("weight", "bias"):
                account.move(f"{theirs}.{layer}.{part}", f"{ours}.{name}.{part}")
        for layer, name in (("b1", "first_norm"), ("b2", "second_norm")):
            _move_norm(account, f"{theirs}.{layer}", f"{ours}.{name}.norm", f"{ours}.{name}" if classes else None)
    became = dict(account.close())
    return Recognised("SNGAN of torch_mimicry", "resnet", arguments, generator.eval(), channels, (side, side), became)


def _move_norm(account: Account, theirs: str, ours: str, conditional: str | None = None) -> None:
    """A batch normalisation; a class-conditional one has a row for each class, first of gains, then of biases."""
    statistics = theirs if conditional is None else f"{theirs}.bn"
    for part in ("running_mean", "running_var"):
        account.move(f"{statistics}.{part}", f"{ours}.{part}")
    account.fill(f"{ours}.num_batches_tracked")
    account.leave(f"{statistics}.num_batches_tracked", "only training uses it")
    if conditional is None:
        for part in ("weight", "bias"):
            account.move(f"{theirs}.{part}", f"{ours}.{part}")
        return
    rows = account.take(f"{theirs}.embed.weight", f"{conditional}.gain.weight and bias.weight")
    half = rows.shape[1] // 2
    account.put(f"{conditional}.gain.weight", rows[:, :half], f"{theirs}.embed.weight")
    account.put(f"{conditional}.bias.weight", rows[:, half:], f"{theirs}.embed.weight")


KINDS = [Kind("sngan", _matches, _build)]
