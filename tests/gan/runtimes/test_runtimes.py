import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gan import model_folder, runtimes
from gan.errors import ModelFolderError
from gan.latents import count, inputs, select
from gan.runtimes import onnx
from tests.conftest import BACKENDS

SHIPPED = Path(__file__).parents[3] / "models" / "fashion-mnist-dcgan"


def alone(drawer, rows):
    return np.concatenate([runtimes.generate(drawer, select(rows, slice(row, row + 1))) for row in range(count(rows))])


@pytest.fixture(scope="module")
def folder(trained):
    return model_folder.read(trained.model)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_image_is_the_same_bytes_whatever_is_beside_it(folder, backend):
    drawer = runtimes.load(folder, *backend, threads=2)
    rows = inputs(range(70), folder.manifest.space)
    singly = alone(drawer, rows)
    assert singly.shape == (70, 32, 32, 1)
    assert singly.dtype == np.uint8
    assert singly.std() > 10
    for n in (2, 3, 7, 8, 16, 17, 33, 70):
        assert np.array_equal(runtimes.generate(drawer, select(rows, slice(-n, None))), singly[-n:])
    assert np.array_equal(runtimes.generate(drawer, select(rows, slice(None, None, -1))), singly[::-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reloaded_runtime_draws_the_same_bytes(folder, backend):
    rows = inputs(range(5), folder.manifest.space)
    first, second = (runtimes.generate(runtimes.load(folder, *backend, threads=2), rows) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_runtimes_agree_within_one_grey_level(folder, backend):
    rows = inputs(range(64), folder.manifest.space)
    expected = runtimes.generate(runtimes.load(folder, "onnx", "cpu", threads=2), rows).astype(int)
    assert np.abs(runtimes.generate(runtimes.load(folder, *backend, threads=2), rows) - expected).max() <= 1


def test_a_runtime_whose_shapes_disagree_gets_one_shape(folder, monkeypatch):
    plain = onnx.OnnxRuntime._infer

    def batch_dependent(self, some):
        return plain(self, some) + np.float32(0.1 * (count(some) == 5))

    monkeypatch.setattr(onnx.OnnxRuntime, "_infer", batch_dependent)
    drawer = onnx.OnnxRuntime(folder, threads=1)
    rows = inputs(range(5), folder.manifest.space)
    assert np.array_equal(
        runtimes.generate(drawer, rows),
        np.concatenate([runtimes.generate(drawer, select(rows, slice(row, row + 1))) for row in range(count(rows))]),
    )


@pytest.mark.parametrize(("name", "file"), [("onnx", model_folder.ONNX), ("torchscript", model_folder.TORCHSCRIPT)])
def test_a_file_that_cannot_be_run_is_named(folder, tmp_path, name, file):
    (tmp_path / file).write_bytes(b"no model")
    files = model_folder.digests(tmp_path, [file])
    broken = model_folder.ModelFolder(tmp_path, folder.manifest.model_copy(update={"files": files}))
    remedy = rf"export the model again \(python -m training.export {tmp_path}\)"
    with pytest.raises(ModelFolderError, match=rf"cannot run .*{file} \(.*: {remedy}"):
        runtimes.load(broken, name, "cpu", threads=1)
    other = model_folder.ModelFolder(folder.path, folder.manifest.model_copy(update={"z_dim": 7}))
    with pytest.raises(ModelFolderError, match=rf"cannot run .*{file} \(.*: export the model again") as error:
        runtimes.load(other, name, "cpu", threads=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_a_folder_exchanged_after_it_was_checked_draws_nothing_under_the_old_name(folder, tmp_path, name):
    shutil.copytree(folder.path, tmp_path / "shoes")
    checked = model_folder.read(tmp_path / "shoes")
    for file in (model_folder.ONNX, model_folder.TORCHSCRIPT):
        shutil.copy(SHIPPED / file, tmp_path / "shoes" / file)
    with pytest.raises(ModelFolderError, match="is damaged"):
        runtimes.load(checked, name, "cpu", threads=1)


def test_onnx_does_not_claim_a_gpu(folder):
    with pytest.raises(ModelFolderError, match="GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript"):
        runtimes.load(folder, "onnx", "cuda", threads=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_missing_gpu_is_said(folder):
    with pytest.raises(ModelFolderError, match="GAN_DEVICE=cuda: torch sees no GPU"):
        runtimes.load(folder, "torchscript", "cuda", threads=1)


def test_half_precision_needs_a_gpu(folder):
    with pytest.raises(ModelFolderError, match="GAN_PRECISION=float16 needs a GPU"):
        runtimes.load(folder, "onnx", "cpu", "float16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_half_precision_is_not_for_torch_on_a_processor_either(folder):
    with pytest.raises(ModelFolderError, match="GAN_PRECISION=float16 needs a GPU"):
        runtimes.load(folder, "torchscript", "auto", "float16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_half_precision_draws_nearly_the_same_and_the_same_every_time(folder):
    rows = inputs(range(70), folder.manifest.space)
    exact, half, again = (
        runtimes.generate(runtimes.load(folder, "torchscript", "cuda", precision), rows).astype(int)
        for precision in ("float32", "float16", "float16")
    )
    assert np.array_equal(half, again)
    assert np.abs(half - exact).mean() < 1


def test_one_thread_is_taken_where_more_gain_little_and_only_if_it_draws_the_same(folder, monkeypatch):
    monkeypatch.setattr(onnx, "usable_processors", lambda: 2)

    def threads(limit, differs=False):
        monkeypatch.setattr(onnx.OnnxRuntime, "_ONE_THREAD_SECONDS", limit)
        plain = onnx.OnnxRuntime._infer
        with monkeypatch.context() as patch:
            if differs:
                one = np.float32(1e-3)
                patch.setattr(onnx.OnnxRuntime, "_infer", lambda self, some: plain(self, some) + one * (threads_of(self) == 1))
            return threads_of(onnx.OnnxRuntime(folder))

    def threads_of(drawer):
        return drawer._session.get_session_options().intra_op_num_threads

    assert threads(limit=0) == 2
    assert threads(limit=1000) == 1
    assert threads(limit=1000, differs=True) == 2
