"""Model folders become files that other programs read."""

import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch_fidelity.generative_model_onnx import GenerativeModelONNX

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
from tests.training.convert.official import pickled, stylegan2
from training.cli.convert import main

MODELS = Path(__file__).parents[3] / "models"
DCGAN, LABELLED = MODELS / "fashion-mnist-dcgan", MODELS / "fashion-mnist"


def tutorial(z_dim, width, channels, doublings):
    """The class of PyTorch's tutorial, for images of 4 x 2^doublings pixels."""
    layers, before = [], z_dim
    for level in range(doublings):
        after = width * 2 ** (doublings - 1 - level)
        layers += [nn.ConvTranspose2d(before, after, 4, 1 if not level else 2, 0 if not level else 1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU(True)]
        before = after
    network = nn.Module()
    network.main = nn.Sequential(*layers, nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=False), nn.Tanh())
    return network.eval()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_dcgan_goes_back_into_the_tutorials_class(tmp_path, capsys, ending):
    manifest = model_folder.read(DCGAN).manifest
    out = tmp_path / "new" / f"netG.{ending}"
    assert main([str(DCGAN), "--to", "state-dict", "--out", str(out)]) == 0
    assert "names as in PyTorch's DCGAN tutorial" in capsys.readouterr().out
    state = torch.load(out, weights_only=True) if ending == "pth" else load_file(out)
    network = tutorial(manifest.z_dim, manifest.architecture.arguments["width"], manifest.channels, 3)
    network.load_state_dict(state)
    rows = inputs_of_seeds(range(16), manifest.input_spec)
    with torch.no_grad():
        drawn = network.main(torch.from_numpy(rows["z"])[:, :, None, None])
    levels = (drawn * 127.5 + 128).clamp(0, 255).floor().numpy().transpose(0, 2, 3, 1)
    runtime = runtimes.load(model_folder.read(DCGAN), "onnx", threads=1)
    assert np.abs(runtimes.generate_images(runtime, rows) - levels).max() <= 1
    assert main([str(DCGAN), "--to", "state-dict", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("styled", [False, True])
def test_one_onnx_file_draws_the_services_levels(tmp_path, styled, capsys):
    model = LABELLED
    if styled:
        (tmp_path / "file").write_bytes(pickled({"G_ema": stylegan2(c_dim=3)}))
        assert main([str(tmp_path / "file"), "--name", "x", "--models", str(tmp_path)]) == 0
        model = tmp_path / "x"
    assert main([str(model), "--to", "onnx-uint8", "--out", str(tmp_path / "g.onnx")]) == 0
    assert "z, label -> uint8 [n, " in capsys.readouterr().out
    folder = model_folder.read(model)
    rows = inputs_of_seeds(range(10), folder.manifest.input_spec)
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, rows)
    assert found.dtype == np.uint8
    expected = runtimes.generate_images(runtimes.load(folder, "onnx", threads=1), rows).transpose(0, 3, 1, 2)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 1e-3
    judged = GenerativeModelONNX(str(tmp_path / "g.onnx"), folder.manifest.z_dim, "normal", folder.manifest.input_spec.classes or 0)
    theirs = judged(*(torch.from_numpy(column) for column in rows.values()))
    assert torch.equal(theirs, torch.from_numpy(found))


def test_what_is_missing_is_said(tmp_path, capsys):
    for flags, said in (
        ([], "is a folder: give a file, or --to"),
        (["--to", "onnx-uint8"], "--to needs --out"),
        (["--to", "state-dict", "--out", str(tmp_path)], "exists already"),
    ):
        assert main([str(DCGAN), *flags]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b"x")
    assert main([str(tmp_path / "file"), "--to", "state-dict", "--out", str(tmp_path / "new")]) in (1, 2)
    assert not (tmp_path / "new").exists()


def test_the_lines_of_the_documentation_draw_images(tmp_path, monkeypatch):
    text = (MODELS.parent / "docs" / "convert.md").read_text()
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "netG.pth" in block)
    monkeypatch.chdir(tmp_path)
    assert main([str(DCGAN), "--to", "state-dict", "--out", "netG.pth"]) == 0
    found = {}
    exec(lines, found)
    assert found["images"].shape == (16, 1, 32, 32)
    assert found["images"].std() > 0.2
