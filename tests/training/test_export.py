import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from gan import artifact, imaging, runtime
from gan.artifact import MANIFEST, ONNX, SAMPLES, TORCHSCRIPT
from gan.latents import Space, inputs
from gan.networks import dcgan
from gan.networks.conditions import tensors
from training import export
from training.export import ExportError


@pytest.fixture
def generator():
    network = dcgan.Generator(width=4).eval()
    dcgan.initialise(network, torch.Generator().manual_seed(0))
    return network


def test_exports_take_any_number_of_latents_and_stand_alone(generator, tmp_path):
    export.export_onnx(generator, tmp_path / ONNX)
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ONNX, TORCHSCRIPT]  # no weights beside them
    model = onnx.load(tmp_path / ONNX)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["z", "pictures"]
    z = tensors(range(5), Space(100))[0]
    alone = torch.jit.load(tmp_path / TORCHSCRIPT)(z[:1])
    torch.testing.assert_close(torch.jit.load(tmp_path / TORCHSCRIPT)(z)[:1], alone)


def test_the_largest_difference_is_measured(generator, tmp_path):
    export.export_onnx(generator, tmp_path / ONNX)
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT)
    for found in export.compare(generator, tmp_path).values():
        assert 0 <= found.largest_difference < 1e-5
        assert found.latents == 256


@pytest.mark.parametrize("file", [ONNX, TORCHSCRIPT])
def test_an_export_that_draws_something_else_is_refused(generator, tmp_path, file):
    export.export_onnx(generator, tmp_path / ONNX)
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT)
    with torch.no_grad():
        generator.layers[0].weight[0, 0, 0, 0] += 1
    {ONNX: export.export_torchscript, TORCHSCRIPT: export.export_onnx}[file](
        generator, tmp_path / (TORCHSCRIPT if file == ONNX else ONNX)
    )
    with pytest.raises(ExportError, match=f"{file} differs from the network in memory by .*: not exported"):
        export.compare(generator, tmp_path)


def test_not_a_number_is_refused(generator, tmp_path):
    with torch.no_grad():
        generator.layers[0].weight[0, 0, 0, 0] = float("nan")
    export.export_onnx(generator, tmp_path / ONNX)
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT)
    with pytest.raises(ExportError, match="differs from the network in memory by nan"):
        export.compare(generator, tmp_path)


def test_the_manifest_says_where_the_model_came_from(trained):
    manifest = artifact.read(trained.model).manifest
    origin = manifest.origin
    assert (manifest.z_dim, manifest.channels, manifest.height, manifest.width) == (100, 1, 32, 32)
    assert (origin.dataset, origin.dataset_pictures, origin.pictures_seen) == ("fashion-mnist", 512, 2048)
    assert origin.config["images"] == 2000
    assert set(manifest.exports) == {ONNX, TORCHSCRIPT}
    assert manifest.licence == "MIT (Fashion-MNIST, Zalando SE)"
    assert json.loads((trained.model / MANIFEST).read_text())["files"].keys() == {ONNX, TORCHSCRIPT, "generator.safetensors"}


def test_the_exported_model_draws_what_the_last_grid_of_the_run_showed(trained):
    (last,) = sorted(trained.run.glob("samples-*.png"))[-1:]
    shown, shipped = (np.asarray(Image.open(path)).astype(int) for path in (last, trained.model / SAMPLES))
    assert np.array_equal(shown, shipped)
    served = imaging.grid(runtime.draw(runtime.load(artifact.read(trained.model), "onnx", "cpu"), inputs(range(64), Space(100))))
    assert np.abs(shown - served[..., 0]).max() <= 1


def test_the_model_in_the_run_and_the_one_in_models_are_the_same(trained):
    names = sorted(path.name for path in trained.model.iterdir())
    assert names == sorted(path.name for path in (trained.run / "model").iterdir())
    assert all((trained.model / name).read_bytes() == (trained.run / "model" / name).read_bytes() for name in names)
    assert shutil.which("git") is None or artifact.read(trained.model).manifest.origin.environment.git_revision
