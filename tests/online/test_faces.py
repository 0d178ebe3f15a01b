"""The face generator of the package gan-face-generate (MIT), as it is published: fetched, converted, and drawn from.

Run by `make test-online`, since it needs the network; where that is missing it fails, and says so.
"""

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
from training.cli.convert import main

PACKAGE = "gan-face-generate==1.1.1"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, fetched without what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], capture_output=True, text=True
    )
    if fetched.returncode:
        pytest.fail(f"{PACKAGE} cannot be fetched here, so that nothing was tested: {fetched.stderr[-500:]}")
    (found,) = folder.glob("*.whl")
    return found


def tutorial():
    """The tutorial's generator of 64x64 images, as its text has it."""
    layers: list[nn.Module] = []
    for before, after in ((100, 512), (512, 256), (256, 128), (128, 64)):
        layers += [nn.ConvTranspose2d(before, after, 4, 1 if before == 100 else 2, 0 if before == 100 else 1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh()).eval()


def test_the_wheel_becomes_a_model_that_draws_its_faces(wheel, tmp_path, capsys):
    assert main([str(wheel), "--name", "faces", "--licence", "MIT", "--models", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(" -> layers.") == 25
    folder = model_folder.read(tmp_path / "faces")
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read("gan_face_generate/weights.tar")
    state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    while "main.0.weight" not in state:
        state = next(value for value in state.values() if isinstance(value, dict) and any(key.startswith("main.") for key in value))
    network = tutorial()
    network.load_state_dict({name.removeprefix("main."): tensor for name, tensor in state.items()})
    rows = inputs_of_seeds(range(256), folder.manifest.input_spec)
    with torch.no_grad():
        drawn = network(torch.from_numpy(rows["z"])[:, :, None, None])
    levels = (drawn * 127.5 + 128).clamp(0, 255).floor().numpy().transpose(0, 2, 3, 1)
    found = runtimes.generate_images(runtimes.load(folder, "onnx"), rows)
    assert found.std() > 40  # there is something to see
    assert np.abs(found - levels).max() <= 1
    assert all(export.largest_difference < 1e-4 and export.latents == 256 for export in folder.manifest.exports.values())
