"""Pickles in the layout of NVIDIA's code, written without it: modules are named by their text, and made anew by a function."""

import io
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import torch

SOURCE = "raise SystemExit('the source text in a pickle was run')"


class Persistent:
    """A module, which pickles as torch_utils.persistence has it: a call with class name, source text and state."""

    def __init__(self, name, parameters=None, buffers=None, modules=None, **attributes):
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": name,
            "state": {
                "training": False,
                "_parameters": OrderedDict(
                    (key, torch.nn.Parameter(torch.as_tensor(value))) for key, value in (parameters or {}).items()
                ),
                "_buffers": OrderedDict(
                    (key, None if value is None else torch.as_tensor(value)) for key, value in (buffers or {}).items()
                ),
                "_modules": OrderedDict(modules or {}),
                "_init_args": (),
                "_init_kwargs": {},
                **attributes,
            },
        }

    def __reduce__(self):
        return _function(), (self.meta,)


def _function():
    return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj


def pickled(content):
    """The bytes of a pickle, as NVIDIA's code writes it."""

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("nothing here reads with Python's own unpickler")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    names = ["torch_utils", "torch_utils.persistence"]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    try:
        written = io.BytesIO()
        _Pickler(written).dump(content)
    finally:
        for name in names:
            del sys.modules[name]
    return written.getvalue()


class _Pickler(pickle.Pickler):
    """Writes storages as torch's own __reduce__ does outside of torch.save: as nested torch files."""


def linear(random, inputs, outputs, rate=1.0, bias=0.0, activation="linear"):
    """FullyConnectedLayer, whose weights are multiplied by `weight_gain` at run time."""
    return Persistent(
        "FullyConnectedLayer",
        {"weight": _normal(random, outputs, inputs) / rate, "bias": np.full(outputs, bias, np.float32) / np.float32(rate)},
        activation=activation,
        weight_gain=float(rate / np.sqrt(inputs)),
        bias_gain=rate,
    )


def mapping(random, z_dim, c_dim, w_dim, layers):
    """MappingNetwork."""
    modules = {}
    if c_dim:
        modules["embed"] = linear(random, c_dim, w_dim)
    for number in range(layers):
        inputs = (z_dim + w_dim if c_dim else z_dim) if number == 0 else w_dim
        modules[f"fc{number}"] = linear(random, inputs, w_dim, rate=0.01, activation="lrelu")
    w_avg = 0.1 * _normal(random, w_dim)
    return Persistent(
        "MappingNetwork", buffers={"w_avg": w_avg}, modules=modules, z_dim=z_dim, c_dim=c_dim, w_dim=w_dim, num_layers=layers
    )


def fir():
    """The filter [1, 3, 3, 1] as a square."""
    line = np.array([1, 3, 3, 1], np.float32) / 8
    return np.outer(line, line)


def stylegan2(c_dim=0, z_dim=8, w_dim=12, widths=(16, 16, 8, 4), channels=3, clamp=256, layers=2, **changed):
    """A StyleGAN2-ADA generator with random weights, of 32x32 images."""
    random = np.random.default_rng(1)
    blocks = {}
    for level, width in enumerate(widths):
        side, before = 4 << level, widths[max(level - 1, 0)]
        modules = {}
        if level:
            modules["conv0"] = _synthesis_layer(random, w_dim, before, width, side, 2, clamp)
        modules["conv1"] = _synthesis_layer(random, w_dim, width, width, side, 1, clamp)
        modules["torgb"] = Persistent(
            "ToRGBLayer",
            {"weight": _normal(random, channels, width, 1, 1), "bias": 0.1 * _normal(random, channels)},
            modules={"affine": linear(random, w_dim, width, bias=1.0)},
            conv_clamp=clamp,
            weight_gain=float(1 / np.sqrt(width)),
        )
        blocks[f"b{side}"] = Persistent(
            "SynthesisBlock",
            {} if level else {"const": _normal(random, width, 4, 4)},
            {"resample_filter": fir()},
            modules,
            architecture=changed.get("architecture", "skip"),
            resolution=side,
        )
    side = 4 << (len(widths) - 1)
    return Persistent(
        "Generator",
        modules={
            "synthesis": Persistent("SynthesisNetwork", modules=blocks, w_dim=w_dim, img_resolution=side, img_channels=channels),
            "mapping": mapping(random, z_dim, c_dim, w_dim, layers),
        },
        z_dim=z_dim,
        c_dim=c_dim,
        w_dim=w_dim,
        img_resolution=side,
        img_channels=channels,
    )


def _synthesis_layer(random, w_dim, before, after, side, up, clamp):
    return Persistent(
        "SynthesisLayer",
        {
            "weight": _normal(random, after, before, 3, 3),
            "noise_strength": np.float32(0.3),
            "bias": 0.1 * _normal(random, after),
        },
        {"resample_filter": fir(), "noise_const": _normal(random, side, side)},
        {"affine": linear(random, w_dim, before, bias=1.0)},
        up=up,
        use_noise=True,
        activation="lrelu",
        conv_clamp=clamp,
        padding=1,
        act_gain=float(np.sqrt(2)),
    )


def stylegan3(radial=False, c_dim=0, z_dim=8, w_dim=12, side=16):
    """A StyleGAN3 generator with random weights: three layers and the one that draws, with small filters.

    Sizes, factors and paddings follow NVIDIA's formulas: 10 pixels around, the nonlinearity at twice the rate, a last layer
    that cuts the border off.
    """
    random = np.random.default_rng(2)
    rates = [(8, 8), (8, 16), (16, 16), (16, 16)]  # of input and output
    sizes = [(18, 18), (18, 26), (26, side), (side, side)]
    widths = [12, 10, 8, 6, 3]
    modules = {"input": _fourier(random, w_dim, widths[0], 18, 8.0, 2.0)}
    for number, ((rate_in, rate_out), (size_in, size_out)) in enumerate(zip(rates, sizes, strict=True)):
        last = number == len(rates) - 1
        modules[f"L{number}_{size_out}_{widths[number + 1]}"] = _layer3(
            random, w_dim, widths[number], widths[number + 1], size_in, size_out, rate_in, rate_out, last, radial
        )
    synthesis = Persistent(
        "SynthesisNetwork",
        modules=modules,
        w_dim=w_dim,
        img_resolution=side,
        img_channels=3,
        output_scale=0.25,
        layer_names=[name for name in modules if name != "input"],
    )
    return Persistent(
        "Generator", modules={"synthesis": synthesis, "mapping": mapping(random, z_dim, c_dim, w_dim, 2)}, z_dim=z_dim
    )


def _fourier(random, w_dim, channels, size, rate, bandwidth):
    affine = linear(random, w_dim, 4)
    affine.meta["state"]["_parameters"]["bias"].data = torch.tensor([1.0, 0, 0, 0])  # as it starts: neither turned nor moved
    affine.meta["state"]["_parameters"]["weight"].data *= 0.2
    return Persistent(
        "SynthesisInput",
        {"weight": _normal(random, channels, channels)},
        {
            "transform": np.eye(3, dtype=np.float32) + 0.05 * np.triu(_normal(random, 3, 3), 1),
            "freqs": _normal(random, channels, 2),
            "phases": random.random(channels).astype(np.float32) - np.float32(0.5),
        },
        {"affine": affine},
        w_dim=w_dim,
        channels=channels,
        size=np.broadcast_to(np.asarray(size), [2]),
        sampling_rate=np.float64(rate),
        bandwidth=np.float64(bandwidth),
    )


def _layer3(random, w_dim, before, after, size_in, size_out, rate_in, rate_out, last, radial):
    kernel = 1 if last or radial else 3
    middle = max(rate_in, rate_out) * (1 if last else 2)
    up, down = middle // rate_in, middle // rate_out
    up_taps, down_taps = (4 * up if up > 1 and not last else 1), (4 * down if down > 1 and not last else 1)
    total = (size_out - 1) * down + 1 - (size_in + kernel - 1) * up + up_taps + down_taps - 2
    low = (total + up) // 2
    padding = [np.int64(low), np.int64(total - low)] * 2
    return Persistent(
        "SynthesisLayer",
        {"weight": (8 if last else 1) * _normal(random, after, before, kernel, kernel), "bias": 0.1 * _normal(random, after)},
        {
            "up_filter": _lowpass(up_taps, radial=False),
            "down_filter": _lowpass(down_taps, radial=radial),
            "magnitude_ema": np.float32(1.7),
        },
        {"affine": linear(random, w_dim, before, bias=1.0)},
        is_torgb=last,
        in_channels=before,
        out_channels=after,
        up_factor=up,
        down_factor=down,
        padding=padding,
        conv_kernel=kernel,
        conv_clamp=256,
    )


def _lowpass(taps, radial):
    """Some filter, not symmetrical, so that its direction shows; None for one tap."""
    if taps == 1:
        return None
    line = np.hanning(taps + 2)[1:-1] + 0.1 * np.arange(taps) / taps
    line = (line / line.sum()).astype(np.float32)
    return np.outer(line, line[::-1]).astype(np.float32) if radial else line


def _normal(random, *shape):
    return random.standard_normal(shape).astype(np.float32)
