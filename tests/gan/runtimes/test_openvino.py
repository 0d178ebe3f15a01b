"""The openvino runtime: the rewritten graph computes what the exported file does, in the precision that was asked for."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13 as ops

from gan import model_folder, runtimes
from gan.errors import ModelFolderError
from gan.latents import InputSpec, inputs_of_seeds, select
from gan.networks import families
from gan.runtimes import openvino as engine
from gan.runtimes.network import generator_of
from gan.runtimes.openvino_rewriting import rewrite
from training.export.export import export_onnx

ROOT = Path(__file__).parents[3]
MODELS = [ROOT / "models" / name for name in ("fashion-mnist", "fashion-mnist-dcgan")]

needs_bfloat16 = pytest.mark.skipif(not engine.has_bfloat16(), reason="no bfloat16 on this processor")


@pytest.fixture(params=MODELS, ids=lambda path: path.name)
def folder(request):
    return model_folder.read(request.param)


def kinds(model):
    return [node.get_type_name() for node in model.get_ordered_ops()]


def run(model, *values):
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return compiled(list(values))[0]


def transposed(kernel, stride, pad, more, sides, tail):
    """A graph of one transposed convolution, and what comes after it."""
    random = np.random.default_rng(0)
    x = ops.parameter([-1, 3, *sides], np.float32)
    weight = random.standard_normal((3, 6, kernel, kernel), np.float32)
    found = ops.convolution_backprop_data(
        x, ops.constant(weight), [stride] * 2, None, [pad] * 2, [pad] * 2, [1, 1], "explicit", [more] * 2
    )
    for name in tail:
        constant = ops.constant(random.standard_normal((1, 6, 1, 1), np.float32))
        slope = ops.constant(np.array([0.2], np.float32))
        found = {
            "add": lambda one, c=constant: ops.add(one, c),
            "multiply": lambda one, c=constant: ops.multiply(one, c),
            "relu": ops.relu,
            "leaky": lambda one, s=slope: ops.prelu(one, s),
            "tanh": ops.tanh,
        }[name](found)
    return openvino.Model([found], [x]), random.standard_normal((2, 3, *sides), np.float32)


@pytest.mark.parametrize("tail", [(), ("add", "relu"), ("multiply", "add", "leaky"), ("tanh",)], ids="-".join)
@pytest.mark.parametrize("sides", [(4, 4), (7, 7), (3, 5), (1, 1)], ids=str)
@pytest.mark.parametrize(("kernel", "pad", "more"), [(4, 1, 0), (2, 0, 0), (3, 1, 1), (3, 1, 0), (5, 2, 1), (5, 1, 0), (4, 0, 1)])
def test_rewritten_transposed_convolutions_compute_the_same(kernel, pad, more, sides, tail):
    model, x = transposed(kernel, 2, pad, more, sides, tail)
    expected, rewritten = run(model.clone(), x), model.clone()
    assert rewrite(rewritten) == 1
    assert "ConvolutionBackpropData" not in kinds(rewritten)
    found = run(rewritten, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_one_pixel_is_a_matrix_product_whatever_the_stride():
    for stride, pad in product((1, 2, 3), (0, 1)):
        model, x = transposed(4, stride, pad, 0, (1, 1), ("add",))
        expected = run(model.clone(), x)
        assert rewrite(model) == 1
        assert "MatMul" in kinds(model)
        np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "sides"),
    [(4, 1, 0, (4, 4)), (4, 3, 1, (4, 4)), (2, 2, 1, (4, 4))],
    ids=["stride1", "stride3", "cut"],
)
def test_what_gains_nothing_is_left_alone(kernel, stride, pad, sides):
    model, _ = transposed(kernel, stride, pad, 0, sides, ())
    before = kinds(model)
    assert rewrite(model) == 0
    assert kinds(model) == before


def test_what_others_need_is_not_moved():
    """A value between convolution and activation that is an output too."""
    x = ops.parameter([2, 3, 4, 4], np.float32)
    weight = np.random.default_rng(0).standard_normal((3, 6, 4, 4), np.float32)
    between = ops.convolution_backprop_data(x, ops.constant(weight), [2, 2], None, [1, 1], [1, 1], [1, 1])
    model = openvino.Model([ops.result(ops.relu(between)), ops.result(between)], [x])
    values = np.ones((2, 3, 4, 4), np.float32)
    core, hints = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    plain = core.compile_model(model.clone(), "CPU", hints)(values)
    expected = [plain[index].copy() for index in (0, 1)]
    assert rewrite(model) == 1
    found = core.compile_model(model, "CPU", hints)(values)
    for index in (0, 1):
        np.testing.assert_allclose(found[index], expected[index], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "size", "channels", "arguments"),
    [
        ("dcgan", (28, 28), 1, {"width": 8}),
        ("dcgan", (48, 64), 3, {"width": 10}),
        ("resnet", (32, 32), 3, {"width": 8}),
        ("r3gan", (32, 32), 3, {"width": 16}),
        ("mlp", (28, 28), 1, {"width": 40}),
    ],
)
def test_every_family_generates_what_onnx_runtime_generates(tmp_path, family, size, channels, arguments):
    import onnxruntime

    spec = InputSpec(16, classes=5)
    torch.manual_seed(0)
    generator = families.generator(family, spec, channels, size, arguments)
    families.initialise(family, generator, torch.Generator().manual_seed(0))
    export_onnx(generator.eval(), tmp_path / "generator.onnx", inputs_of_seeds(range(2), generator.input_spec))
    content = (tmp_path / "generator.onnx").read_bytes()
    rows = inputs_of_seeds(range(5), spec)
    (expected,) = onnxruntime.InferenceSession(content).run(None, rows)
    model = engine._core.read_model(content)
    rewritten = rewrite(model)
    assert rewritten > 0 if family == "dcgan" else rewritten == 0
    (found,) = engine._Graph(model, ["pictures"], 5, "float32", 1).run(rows).values()
    assert np.abs(found - expected).max() < 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_a_row_has_the_same_bytes_at_every_batch_size(folder, precision):
    runtime = runtimes.load(folder, "openvino", precision=precision, threads=1)
    rows = inputs_of_seeds(range(40), folder.manifest.input_spec)
    together = runtimes.generate_images(runtime, rows)
    assert together.std() > 10
    for size in range(1, runtime.batch_size + 1):
        assert np.array_equal(runtimes.generate_images(runtime, select(rows, slice(3, 3 + size))), together[3 : 3 + size]), size
    again = runtimes.load(folder, "openvino", precision=precision, threads=1)
    assert np.array_equal(runtimes.generate_images(again, rows), together)


def test_float32_is_onnx_runtimes_to_one_grey_level(folder):
    rows = inputs_of_seeds(range(40), folder.manifest.input_spec)
    ours, theirs = (runtimes.generate_images(runtimes.load(folder, name), rows).astype(int) for name in ("openvino", "onnx"))
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_the_compiled_graphs_have_the_precision_and_the_threads_that_were_asked_for(folder, precision):
    """OpenVINO's own default is bfloat16 where the processor has it."""
    loaded = engine.load(generator_of(folder), "auto", precision, 1, lambda work: work())
    assert {str(found.to_string()) for found in loaded.properties("INFERENCE_PRECISION_HINT")} == {
        {"float32": "f32", "bfloat16": "bf16"}[precision]
    }
    assert set(loaded.properties("INFERENCE_NUM_THREADS")) == {1}
    assert loaded.name == {"float32": "openvino-cpu", "bfloat16": "openvino-cpu-bfloat16"}[precision]


@needs_bfloat16
def test_bfloat16_differs_by_little_and_a_model_that_differs_by_more_is_refused(folder, monkeypatch):
    rows = inputs_of_seeds(range(64), folder.manifest.input_spec)
    plain, short = (
        runtimes.generate_images(runtimes.load(folder, "openvino", precision=name), rows).astype(int)
        for name in ("float32", "bfloat16")
    )
    assert 0 < np.abs(plain - short).mean() < 0.3
    monkeypatch.setattr(engine, "BFLOAT16_LEVELS", 0.01)
    with pytest.raises(ModelFolderError, match=r"differ from float32's by 0\.\d\d grey levels on average, over 0.01"):
        runtimes.load(folder, "openvino", precision="bfloat16")


def test_a_rewriting_that_computes_something_else_is_not_used(folder, monkeypatch, caplog):
    def wrong(model):
        last = model.outputs[0].get_node()
        last.input(0).replace_source_output(ops.negative(last.input_value(0)).output(0))
        return 1

    expected = runtimes.generate_images(
        runtimes.load(folder, "openvino"), rows := inputs_of_seeds(range(3), folder.manifest.input_spec)
    )
    monkeypatch.setattr(engine, "rewrite", wrong)
    found = runtimes.generate_images(runtimes.load(folder, "openvino"), rows)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert "is run as it was exported" in caplog.text


@pytest.mark.parametrize(
    ("name", "precision", "said"),
    [
        ("onnx", "bfloat16", "GAN_PRECISION=bfloat16 needs GAN_RUNTIME=openvino, not onnx"),
        ("onnx", "float16", "GAN_PRECISION=float16 needs GAN_RUNTIME=torchscript, not onnx"),
        ("torchscript", "bfloat16", "GAN_PRECISION=bfloat16 needs GAN_RUNTIME=openvino, not torchscript"),
        ("openvino", "float16", "GAN_PRECISION=float16 needs GAN_RUNTIME=torchscript, not openvino"),
    ],
)
def test_a_precision_that_the_runtime_does_not_have_is_refused(folder, name, precision, said):
    with pytest.raises(ModelFolderError, match=said):
        runtimes.load(folder, name, precision=precision)


def test_bfloat16_needs_a_processor_that_has_it(folder, monkeypatch):
    monkeypatch.setattr(engine, "has_bfloat16", lambda: False)
    with pytest.raises(ModelFolderError, match="GAN_PRECISION=bfloat16 needs a processor with bfloat16"):
        runtimes.load(folder, "openvino", precision="bfloat16")


def test_a_gpu_is_not_openvinos(folder):
    with pytest.raises(ModelFolderError, match="GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript"):
        runtimes.load(folder, "openvino", "cuda")


def test_nothing_is_reported_to_openvinos_maker(tmp_path):
    """The package that reports is not imported, even where it is installed."""
    (tmp_path / "openvino_telemetry").mkdir()
    (tmp_path / "openvino_telemetry" / "__init__.py").write_text("raise SystemExit('it was imported')\n")
    command = "import sys; sys.path.insert(0, sys.argv[1]); import gan.runtimes.openvino; print('loaded')"
    ran = subprocess.run([sys.executable, "-c", command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "loaded\n"), ran.stderr
    plain = command.replace("gan.runtimes.openvino", "openvino")
    ran = subprocess.run([sys.executable, "-c", plain, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "it was imported" in ran.stderr  # so this test would notice
