import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gan import model_folder, runtimes
from gan.errors import ModelFolderError
from gan.images.encoding import to_uint8_range
from gan.latents import InputSpec, count, inputs_of_seeds, select
from gan.manifest import IMAGES, generator_inputs
from gan.manifest_parts import Network
from gan.runtimes import base, onnx
from gan.runtimes.base import Runtime, run_inline
from gan.runtimes.network import ExportedNetwork, generator_of, rows_of_seeds
from tests.conftest import BACKENDS
from tests.references import alive, parts_of, without_garbage_collection

SHIPPED = Path(__file__).parents[3] / "models" / "fashion-mnist-dcgan"


def alone(drawer, rows):
    return np.concatenate([runtimes.generate_images(drawer, select(rows, slice(row, row + 1))) for row in range(count(rows))])


@pytest.fixture(scope="module")
def folder(trained):
    return model_folder.read(trained.model)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_image_is_the_same_bytes_whatever_is_beside_it(folder, backend):
    drawer = runtimes.load(folder, *backend, threads=2)
    rows = inputs_of_seeds(range(70), folder.manifest.input_spec)
    singly = alone(drawer, rows)
    assert singly.shape == (70, 32, 32, 1)
    assert singly.dtype == np.uint8
    assert singly.std() > 10
    for n in (2, 3, 7, 8, 16, 17, 33, 70):
        assert np.array_equal(runtimes.generate_images(drawer, select(rows, slice(-n, None))), singly[-n:])
    assert np.array_equal(runtimes.generate_images(drawer, select(rows, slice(None, None, -1))), singly[::-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reloaded_runtime_draws_the_same_bytes(folder, backend):
    rows = inputs_of_seeds(range(5), folder.manifest.input_spec)
    first, second = (runtimes.generate_images(runtimes.load(folder, *backend, threads=2), rows) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_runtimes_agree_within_one_grey_level(folder, backend):
    rows = inputs_of_seeds(range(64), folder.manifest.input_spec)
    expected = runtimes.generate_images(runtimes.load(folder, "onnx", "cpu", threads=2), rows).astype(int)
    assert np.abs(runtimes.generate_images(runtimes.load(folder, *backend, threads=2), rows) - expected).max() <= 1


@pytest.mark.parametrize("limits", [(-1.0, 1.0), (0.0, 2.0)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_the_images_before_they_are_rounded(folder, backend, limits):
    manifest = folder.manifest
    outputs = [manifest.outputs[0].model_copy(update={"range": limits})]
    drawer = runtimes.load(
        model_folder.ModelFolder(folder.path, manifest.model_copy(update={"outputs": outputs})), *backend, threads=2
    )
    rows = inputs_of_seeds(range(5), manifest.input_spec)
    values = drawer.values.start(rows)()[IMAGES]
    assert (values.dtype, values.shape) == (np.float32, (5, 1, 32, 32))
    levels = to_uint8_range(values).astype(np.uint8).transpose(0, 2, 3, 1)
    assert np.abs(levels.astype(int) - runtimes.generate_images(drawer, rows)).max() <= (limits != (-1.0, 1.0))
    assert len(np.unique(values)) > 256
    assert np.array_equal(drawer.values.start(select(rows, slice(2, 3)))()[IMAGES], values[2:3])


@pytest.mark.parametrize("backend", [*BACKENDS, ("openvino", "cpu")])
def test_one_that_nobody_needs_any_more_is_freed_at_once(folder, backend):
    """And not when garbage is collected next, which is seldom where a service has frozen its objects."""
    runtime = runtimes.load(folder, *backend, threads=2)
    runtimes.generate_images(runtime, inputs_of_seeds(range(5), folder.manifest.input_spec))
    runtime.values.start(inputs_of_seeds([1], folder.manifest.input_spec))()
    held = parts_of(runtime, folder)
    assert {"Runtime", "Values"} < set(alive(held))
    with without_garbage_collection():
        del runtime
        assert alive(held) == []


def test_a_runtime_whose_shapes_disagree_gets_one_shape(folder, monkeypatch):
    plain = onnx.OnnxEngine.start

    def batch_dependent(self, some):
        return lambda: {name: values + np.float32(0.1 * (count(some) == 5)) for name, values in plain(self, some)().items()}

    monkeypatch.setattr(onnx.OnnxEngine, "start", batch_dependent)
    drawer = runtimes.load(folder, "onnx", threads=1)
    assert drawer.batch_size == 16
    rows = inputs_of_seeds(range(5), folder.manifest.input_spec)
    assert np.array_equal(
        runtimes.generate_images(drawer, rows),
        np.concatenate([runtimes.generate_images(drawer, select(rows, slice(row, row + 1))) for row in range(count(rows))]),
    )


@pytest.mark.parametrize(
    ("name", "file"),
    [("onnx", model_folder.ONNX), ("openvino", model_folder.ONNX), ("torchscript", model_folder.TORCHSCRIPT)],
)
def test_a_file_that_cannot_be_run_is_named(folder, tmp_path, name, file):
    (tmp_path / file).write_bytes(b"no model")
    files = model_folder.digests(tmp_path, [file])
    broken = model_folder.ModelFolder(tmp_path, folder.manifest.model_copy(update={"files": files}))
    remedy = rf"export the model again \(python -m training.export {tmp_path}\)"
    with pytest.raises(ModelFolderError, match=rf"cannot run .*{file} \(.*: {remedy}"):
        runtimes.load(broken, name, "cpu", threads=1)
    other_inputs = {"inputs": generator_inputs(InputSpec(7), None)}
    other = model_folder.ModelFolder(folder.path, folder.manifest.model_copy(update=other_inputs))
    with pytest.raises(ModelFolderError, match=rf"cannot run .*{file} \(.*: export the model again") as error:
        runtimes.load(other, name, "cpu", threads=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["onnx", "openvino", "torchscript"])
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
    with pytest.raises(ModelFolderError, match="GAN_PRECISION=float16 needs GAN_RUNTIME=torchscript, not onnx"):
        runtimes.load(folder, "onnx", "cpu", "float16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_half_precision_is_not_for_torch_on_a_processor_either(folder):
    with pytest.raises(ModelFolderError, match="GAN_PRECISION=float16 needs a GPU"):
        runtimes.load(folder, "torchscript", "auto", "float16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_half_precision_draws_nearly_the_same_and_the_same_every_time(folder):
    rows = inputs_of_seeds(range(70), folder.manifest.input_spec)
    exact, half, again = (
        runtimes.generate_images(runtimes.load(folder, "torchscript", "cuda", precision), rows).astype(int)
        for precision in ("float32", "float16", "float16")
    )
    assert np.array_equal(half, again)
    assert np.abs(half - exact).mean() < 1


def test_one_thread_is_taken_where_more_gain_little_and_only_if_it_draws_the_same(folder, monkeypatch):
    monkeypatch.setattr(base, "usable_processors", lambda: 2)

    def threads(limit, differs=False):
        monkeypatch.setattr(base, "ONE_THREAD_SECONDS", limit)
        plain = onnx.OnnxEngine.start
        with monkeypatch.context() as patch:
            if differs:
                one = np.float32(1e-3)

                def start(self, some):
                    outputs = plain(self, some)()
                    return lambda: {name: values + one * (self.threads == 1) for name, values in outputs.items()}

                patch.setattr(onnx.OnnxEngine, "start", start)
            return onnx.load(generator_of(folder), "auto", "float32", None, run_inline).threads

    assert threads(limit=0) == 2
    assert threads(limit=1000) == 1
    assert threads(limit=1000, differs=True) == 2


class Doubling:
    """Returns twice z after `seconds` for each row, and notes the sizes of batches."""

    name, file, library = "doubling", "generator.onnx", "numpy"
    max_batch_size, in_flight, needs_fixed_batch_size, makes_uint8 = 16, 1, None, False

    def __init__(self, seconds=0.0):
        self.seconds, self.sizes = seconds, []

    def start(self, rows):
        self.sizes.append(count(rows))
        time.sleep(self.seconds * count(rows))
        return lambda: {"twice": 2 * rows["z"]}


class Spec:
    """An output that stays as it is."""

    name, uint8_source_range = "twice", None

    def __init__(self, values):
        self.values = values


def network_of(values):
    folder = SimpleNamespace(manifest=SimpleNamespace(networks={"generator": Network(files={})}))
    return ExportedNetwork(folder, "generator", ["z"], (Spec(values),), rows_of_seeds(InputSpec(3)))


def test_outputs_that_are_no_images_stay_numbers():
    runtime = Runtime(Doubling(), network_of(3))
    rows = inputs_of_seeds(range(40), InputSpec(3))
    (found,) = runtimes.generate(runtime, rows).values()
    assert found.dtype == np.float32
    assert np.array_equal(found, 2 * rows["z"])


@pytest.mark.parametrize(("values", "most"), [(3 * 64 * 64, 16), (3 * 128 * 128, 5), (3 * 256 * 256, 1), (3 * 1024 * 1024, 1)])
def test_batches_of_large_images_are_small(values, most):
    assert base.rows_in_a_batch(16, network_of(values)) == most


def test_batches_of_slow_networks_are_small(monkeypatch):
    monkeypatch.setattr(base, "_BATCH_SECONDS", 0.03)
    assert Runtime(Doubling(seconds=0.005), network_of(3)).batch_size in (2, 4)


def test_what_an_engine_does_not_foresee_is_the_models_fault_alone(folder):
    def load(*_):
        raise KeyError("pictures")

    runtimes.register("surprised", load, "for tests")
    try:
        with pytest.raises(ModelFolderError, match=r"cannot be run by GAN_RUNTIME=surprised \(KeyError: 'pictures'\): try another"):
            runtimes.load(folder, "surprised")
    finally:
        del runtimes.ENGINES["surprised"]


def test_an_engine_of_another_package_runs_a_model(folder):
    def load(network, device, precision, threads, on_device):
        return onnx.OnnxEngine(network, network.content("onnx"), 1)

    runtimes.register("another", load, "for tests")
    try:
        rows = inputs_of_seeds(range(3), folder.manifest.input_spec)
        found = runtimes.generate_images(runtimes.load(folder, "another"), rows)
        assert np.array_equal(found, runtimes.generate_images(runtimes.load(folder, "onnx"), rows))
        with pytest.raises(ValueError, match="there is an engine another already"):
            runtimes.register("another", load, "once more")
    finally:
        del runtimes.ENGINES["another"]
