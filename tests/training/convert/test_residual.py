"""SNGAN of torch_mimicry and R3GAN of its own program: what is drawn of a file is what their layers draw."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
from training.cli.convert import main


def normal(random, *shape, scale=1.0):
    return nn.Parameter(scale * torch.from_numpy(random.standard_normal(shape).astype(np.float32)))


class ConditionalNorm(nn.Module):
    """torch_mimicry's ConditionalBatchNorm2d: one row for each class, gains before biases."""

    def __init__(self, random, channels, classes):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, affine=False)
        self.embed = nn.Embedding(classes, 2 * channels)
        self.embed.weight.data = torch.from_numpy(random.normal(0.5, 0.3, (classes, 2 * channels)).astype(np.float32))

    def forward(self, x, y):
        gain, bias = self.embed(y).chunk(2, 1)
        return gain[:, :, None, None] * self.bn(x) + bias[:, :, None, None]


class GBlock(nn.Module):
    """torch_mimicry's GBlock, with upsampling."""

    def __init__(self, random, before, after, classes):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        if classes:
            self.b1, self.b2 = ConditionalNorm(random, before, classes), ConditionalNorm(random, after, classes)
        else:
            self.b1, self.b2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.c_sc = nn.Conv2d(before, after, 1)

    def forward(self, x, y):
        def up(values):
            return functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)

        h = self.b1(x) if y is None else self.b1(x, y)
        h = self.c1(up(torch.relu(h)))
        h = self.b2(h) if y is None else self.b2(h, y)
        return self.c2(torch.relu(h)) + self.c_sc(up(x))


class Sngan(nn.Module):
    """SNGANGenerator32 (equal widths) and 48 (halved): l1, block2 …, b5, c5."""

    def __init__(self, widths, grid, classes=None, z_dim=12):
        super().__init__()
        torch.manual_seed(3)
        random = np.random.default_rng(3)
        self.l1 = nn.Linear(z_dim, widths[0] * grid * grid)
        for number, (before, after) in enumerate(pairwise(widths), 2):
            self.add_module(f"block{number}", GBlock(random, before, after, classes))
        self.last = len(widths) + 1
        self.add_module(f"b{self.last}", nn.BatchNorm2d(widths[-1]))
        self.add_module(f"c{self.last}", nn.Conv2d(widths[-1], 3, 3, padding=1))
        self.grid, self.widths = grid, widths
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.5)

    def forward(self, z, y=None):
        h = self.l1(z).view(len(z), -1, self.grid, self.grid)
        for number in range(2, self.last):
            h = getattr(self, f"block{number}")(h, y)
        return torch.tanh(getattr(self, f"c{self.last}")(torch.relu(getattr(self, f"b{self.last}")(h))))


class Layer(nn.Module):
    """R3GAN's Convolution, MSRInitializer and the like: the weights lie one name deeper."""

    def __init__(self, weight):
        super().__init__()
        self.Layer = nn.Module()
        self.Layer.weight = weight


class Biased(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.Bias = bias


class Stage(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.Layers = nn.ModuleList(layers)


class R3gan(nn.Module):
    """R3GAN's Networks.Generator, by the names of its weights; `group` channels are convolved together."""

    def __init__(self, widths=(32, 32, 16), group=32, blocks=2, classes=None, z_dim=64, deep=True):
        super().__init__()
        random = np.random.default_rng(4)
        condition = 64 if classes else 0
        self.group, self.classes = group, classes
        stages = []
        for number, width in enumerate(widths):
            first = nn.Module()
            if number == 0:
                first.Basis = normal(random, width, 4, 4)
                weight = normal(random, width, z_dim + condition, scale=(z_dim + condition) ** -0.5)
                first.LinearLayer = Layer(weight) if deep else nn.Module()
                if not deep:
                    first.LinearLayer.weight = weight
            else:
                first.Resampler = nn.Module()
                line = torch.tensor([1.0, 3, 3, 1]) / 8
                first.Resampler.register_buffer("Kernel", torch.outer(line, line))
                if widths[number - 1] != width:
                    first.LinearLayer = Layer(normal(random, width, widths[number - 1], 1, 1, scale=widths[number - 1] ** -0.5))
            layers = [first]
            for _ in range(blocks):
                block = nn.Module()
                block.LinearLayer1 = Layer(normal(random, 2 * width, width, 1, 1, scale=width**-0.5))
                block.LinearLayer2 = Layer(normal(random, 2 * width, group, 3, 3, scale=(9 * group) ** -0.5))
                block.LinearLayer3 = Layer(normal(random, width, 2 * width, 1, 1, scale=0.5 * width**-0.5))
                block.NonLinearity1, block.NonLinearity2 = (Biased(normal(random, 2 * width, scale=0.1)) for _ in range(2))
                layers.append(block)
            stages.append(Stage(layers))
        self.Model = nn.Module()
        self.Model.MainLayers = nn.ModuleList(stages)
        self.Model.AggregationLayer = Layer(normal(random, 3, widths[-1], 1, 1, scale=0.5 * widths[-1] ** -0.5))
        if classes:
            self.Model.EmbeddingLayer = nn.Linear(classes, 64, bias=False)
            self.Model.EmbeddingLayer.weight = normal(random, 64, classes)

    def forward(self, z, y=None):
        if y is not None:
            z = torch.cat([z, self.Model.EmbeddingLayer(functional.one_hot(y, self.classes).float())], 1)
        x = None
        for stage in self.Model.MainLayers:
            first, *blocks = stage.Layers
            if x is None:
                scale = first.LinearLayer.Layer.weight if hasattr(first.LinearLayer, "Layer") else first.LinearLayer.weight
                x = first.Basis * functional.linear(z, scale)[:, :, None, None]
            else:
                if hasattr(first, "LinearLayer"):
                    x = functional.conv2d(x, first.LinearLayer.Layer.weight)
                n, c, h, w = x.shape
                spread = torch.zeros(n, c, 2 * h, 2 * w)
                spread[:, :, ::2, ::2] = x
                kernel = 4 * first.Resampler.Kernel.expand(c, 1, 4, 4)
                x = functional.conv2d(functional.pad(spread, (2, 1, 2, 1)), kernel, groups=c)
            for block in blocks:
                h = functional.conv2d(x, block.LinearLayer1.Layer.weight) + block.NonLinearity1.Bias[:, None, None]
                h = functional.conv2d(
                    functional.leaky_relu(h, 0.2), block.LinearLayer2.Layer.weight, padding=1, groups=h.shape[1] // self.group
                )
                h = functional.leaky_relu(h + block.NonLinearity2.Bias[:, None, None], 0.2)
                x = x + functional.conv2d(h, block.LinearLayer3.Layer.weight)
        return functional.conv2d(x, self.Model.AggregationLayer.Layer.weight).clamp(-1, 1)


CASES = {
    "SNGAN of 32x32": lambda: Sngan([16, 16, 16, 16], 4),
    "SNGAN of 48x48": lambda: Sngan([32, 16, 8, 4], 6),
    "projection cGAN": lambda: Sngan([16, 16, 16, 16], 4, classes=5),
    "R3GAN": R3gan,
    "R3GAN with labels": lambda: R3gan(widths=(48, 32, 32), group=16, blocks=1, classes=5, deep=False),
}


def torch_file(content):
    written = io.BytesIO()
    torch.save(content, written)
    return written.getvalue()


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_a_file_draws_what_its_layers_draw(tmp_path, name, capsys):
    theirs = CASES[name]().eval()
    content = {"model_state_dict": theirs.state_dict(), "global_step": 7} if "R3GAN" not in name else {"G_ema": theirs}
    (tmp_path / "file").write_bytes(torch_file(content))
    assert main([str(tmp_path / "file"), "--name", "x", "--models", str(tmp_path / "models")]) == 0
    assert capsys.readouterr().out.count(" -> ") == len(theirs.state_dict())
    folder = model_folder.read(tmp_path / "models" / "x")
    rows = inputs_of_seeds(range(256), folder.manifest.input_spec)
    drawn = theirs(*(torch.from_numpy(column) for column in rows.values()))
    assert drawn.std() > 0.05
    levels = (drawn * 127.5 + 128).clamp(0, 255).floor().permute(0, 2, 3, 1).numpy().astype(int)
    for engine in ("onnx", "torchscript"):
        found = runtimes.generate_images(runtimes.load(folder, engine, "cpu", threads=1), rows).astype(int)
        assert np.abs(found - levels).max() <= 1
        assert (found != levels).mean() < 1e-3
    assert all(export.largest_difference < 1e-4 for export in folder.manifest.exports.values())


def changed(name, **tensors):
    return torch_file({**CASES[name]().state_dict(), **tensors})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda: changed("SNGAN of 32x32", **{"block9.c1.weight": torch.ones(3, 3, 3, 3)}), "has the blocks [2, 3, 4, 9]"),
        (lambda: changed("SNGAN of 32x32", **{"l1.weight": torch.ones(200, 12)}), "200 rows, which are no square of 16 channels"),
        (lambda: changed("SNGAN of 32x32", more=torch.ones(3)), "does not: more"),
        (lambda: changed("R3GAN", more=torch.ones(3)), "does not: more"),
        (
            lambda: changed("R3GAN", **{"Model.MainLayers.1.Layers.1.LinearLayer2.Layer.weight": torch.ones(64, 16, 3, 3)}),
            "cannot be drawn with here: equal groups",
        ),
        (
            lambda: changed("R3GAN", **{"Model.MainLayers.1.Layers.0.Resampler.Kernel": torch.ones(4, 4)}),
            "another filter than [1, 3, 3, 1]",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, capsys, content, expected):
    (tmp_path / "file").write_bytes(content())
    assert main([str(tmp_path / "file"), "--name", "x", "--models", str(tmp_path / "models")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
