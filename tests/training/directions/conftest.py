"""Model folders whose images change in a known way along known directions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.cli import convert

Z_DIM, SIDE = 16, 12


class Painter(nn.Module):
    """Grey images of one level, which is along `u` in the latent space, and a checkerboard of a contrast along `v`.

    With labels the level of each class is along a direction of its own.
    """

    def __init__(self, classes=None):
        super().__init__()
        random = np.random.default_rng(7)
        basis = np.linalg.qr(random.standard_normal((Z_DIM, Z_DIM)))[0].astype(np.float32)
        self.v = nn.Parameter(torch.from_numpy(basis[0]))
        self.u = nn.Parameter(torch.from_numpy(basis[1 : (classes or 1) + 1]))
        self.board = nn.Parameter(torch.from_numpy((np.indices((SIDE, SIDE)).sum(0) % 2 * 2 - 1).astype(np.float32)))

    def forward(self, z, label=None):
        u = self.u[0] if label is None else self.u[label]
        level, contrast = (z * u).sum(1), z @ self.v
        return (0.2 * level[:, None, None] + 0.1 * contrast[:, None, None] * self.board)[:, None].clamp(-1, 1)


def paint(folder: Path, classes=None, name="painter") -> tuple[Path, np.ndarray]:
    """The model folder, which has an ONNX file and no weights, and the directions of its level: [classes or 1, 16]."""
    network = Painter(classes).eval()
    inputs = (torch.zeros(1, Z_DIM),) if classes is None else (torch.zeros(1, Z_DIM), torch.zeros(1, dtype=torch.int64))
    names = ["z", "label"][: len(inputs)]
    axes = {axis: {0: "n"} for axis in (*names, "images")}
    file = folder / f"{name}.onnx"
    torch.onnx.export(network, inputs, file, input_names=names, output_names=["images"], dynamic_axes=axes, dynamo=False)
    flags = ["--name", name, "--models", str(folder / "models"), "--range=-1,1"]
    if classes is not None:
        (folder / "names.txt").write_text("\n".join(f"class-{number}" for number in range(classes)))
        flags += ["--classes", str(folder / "names.txt")]
    assert convert.main([str(file), *flags]) == 0
    return folder / "models" / name, network.u.detach().numpy()


@pytest.fixture
def painter(tmp_path):
    return paint(tmp_path)
