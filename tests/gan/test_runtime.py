import numpy as np
import pytest
import torch

from gan import artifact, runtime
from gan.artifact import ModelFolderError
from gan.latents import latents
from gan.runtime import in_batches

BACKENDS = [
    ("onnx", "cpu"),
    ("torchscript", "cpu"),
    pytest.param("torchscript", "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")),
]


@pytest.fixture(scope="module")
def folder(trained):
    return artifact.read(trained.model)


@pytest.mark.parametrize(("name", "device"), BACKENDS)
def test_a_picture_is_the_same_bytes_whatever_is_beside_it(folder, name, device):
    drawer = runtime.load(folder, name, device, threads=2)
    z = latents(range(70), folder.manifest.z_dim)
    alone = np.concatenate([drawer.draw(row[np.newaxis]) for row in z])
    assert alone.shape == (70, 32, 32, 1)
    assert alone.dtype == np.uint8
    assert alone.std() > 10
    for n in (2, 3, 7, 8, 16, 17, 33, 70):
        assert np.array_equal(drawer.draw(z[-n:]), alone[-n:])
    assert np.array_equal(drawer.draw(z[::-1]), alone[::-1])


@pytest.mark.parametrize(("name", "device"), BACKENDS)
def test_a_reloaded_runtime_draws_the_same_bytes(folder, name, device):
    z = latents(range(5), folder.manifest.z_dim)
    first, second = (runtime.load(folder, name, device, threads=2).draw(z) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(("name", "device"), BACKENDS[1:])
def test_runtimes_agree_within_one_grey_level(folder, name, device):
    z = latents(range(64), folder.manifest.z_dim)
    expected = runtime.load(folder, "onnx", "cpu", threads=2).draw(z).astype(int)
    assert np.abs(runtime.load(folder, name, device, threads=2).draw(z) - expected).max() <= 1


def test_batches_are_padded_to_one_shape_and_cut_again():
    shapes = []

    def run(z):
        shapes.append(z.shape)
        return z.astype(np.uint8).reshape(-1, 1, 1, 1)

    z = np.arange(10, dtype=np.float32)[:, np.newaxis]
    assert in_batches(run, z, 4, pad=True).ravel().tolist() == list(range(10))
    assert in_batches(run, z, 4, pad=False).ravel().tolist() == list(range(10))
    assert shapes == [(4, 1), (4, 1), (4, 1), (4, 1), (4, 1), (2, 1)]


def test_a_runtime_whose_shapes_disagree_gets_one_shape(folder, monkeypatch):
    plain = runtime.OnnxRuntime._infer

    def batch_dependent(self, z):
        return plain(self, z) + np.float32(0.1 * (len(z) == 5))

    monkeypatch.setattr(runtime.OnnxRuntime, "_infer", batch_dependent)
    drawer = runtime.OnnxRuntime(folder, threads=1)
    z = latents(range(5), folder.manifest.z_dim)
    assert np.array_equal(drawer.draw(z), np.concatenate([drawer.draw(row[np.newaxis]) for row in z]))


@pytest.mark.parametrize(("name", "file"), [("onnx", artifact.ONNX), ("torchscript", artifact.TORCHSCRIPT)])
def test_a_file_that_cannot_be_run_is_named(folder, tmp_path, name, file):
    (tmp_path / file).write_bytes(b"no model")
    broken = artifact.ModelFolder(tmp_path, folder.manifest)
    with pytest.raises(ModelFolderError, match=rf"cannot run .*{file} \(.*: export the model again"):
        runtime.load(broken, name, "cpu", threads=1)
    other = artifact.ModelFolder(folder.path, folder.manifest.model_copy(update={"z_dim": 7}))
    with pytest.raises(ModelFolderError, match=rf"cannot run .*{file} \(.*: export the model again") as error:
        runtime.load(other, name, "cpu", threads=1)
    assert "\n" not in str(error.value)


def test_onnx_does_not_claim_a_gpu(folder):
    with pytest.raises(ModelFolderError, match="GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript"):
        runtime.load(folder, "onnx", "cuda", threads=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_missing_gpu_is_said(folder):
    with pytest.raises(ModelFolderError, match="GAN_DEVICE=cuda: torch sees no GPU"):
        runtime.load(folder, "torchscript", "cuda", threads=1)
