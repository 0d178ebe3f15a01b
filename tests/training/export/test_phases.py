"""Transposed convolutions of ONNX files, written as ordinary ones."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from gan.latents import InputSpec, inputs_of_seeds
from gan.networks import families
from training.export.export import export_onnx
from training.export.phases import rewrite_in_phases


def run(path, rows):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, rows)[0]


def operations(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def transposed(path, sides, kernel, pads, output_padding=(0, 0), after=(), bias=True, **attributes):
    """An ONNX file of one transposed convolution, 3 -> 5 channels, and what follows it."""
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(3, 5, *kernel)).astype(np.float32)}
    weights |= {"b": random.normal(size=5).astype(np.float32)} if bias else {}
    attributes = {"strides": [2, 2], "pads": [*pads, *pads], "output_padding": [*output_padding]} | attributes
    nodes = [helper.make_node("ConvTranspose", ["x", *weights], ["y0"], **attributes)]
    nodes += [helper.make_node(kind, [f"y{place}"], [f"y{place + 1}"]) for place, kind in enumerate(after)]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, *sides])],
        [helper.make_tensor_value_info(f"y{len(after)}", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return {"x": random.normal(size=(2, 3, *sides)).astype(np.float32)}


@pytest.mark.parametrize(
    ("sides", "kernel", "pads", "output_padding"),
    [
        ((4, 4), (4, 4), (1, 1), (0, 0)),  # as DCGAN's
        ((7, 5), (4, 4), (1, 1), (0, 0)),
        ((3, 4), (2, 2), (0, 0), (0, 0)),
        ((3, 4), (3, 3), (1, 1), (1, 1)),
        ((3, 4), (3, 3), (1, 1), (0, 0)),  # odd sides
        ((3, 4), (5, 5), (2, 2), (1, 0)),
        ((3, 4), (4, 2), (1, 0), (0, 0)),
    ],
)
@pytest.mark.parametrize("after", [(), ("Relu",), ("Relu", "Tanh"), ("Softmax",)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_numbers_stay(tmp_path, sides, kernel, pads, output_padding, after, bias):
    path = tmp_path / "a.onnx"
    rows = transposed(path, sides, kernel, pads, output_padding, after, bias)
    before = run(path, rows)
    assert rewrite_in_phases(path) == 1
    assert "ConvTranspose" not in operations(path)
    assert operations(path).count("Conv") == 4
    np.testing.assert_allclose(run(path, rows), before, atol=2e-6)
    assert "w" not in [one.name for one in onnx.load(path).graph.initializer]  # which no node reads any more


@pytest.mark.parametrize(
    ("kernel", "pads", "attributes"),
    [
        ((4, 4), (1, 1), {"strides": [1, 1]}),
        ((4, 4), (1, 1), {"strides": [2, 1]}),
        ((3, 3), (1, 1), {"dilations": [2, 2]}),
        ((1, 1), (0, 0), {}),  # outputs of one parity see nothing
        ((4, 4), (3, 3), {}),  # zeros would have to be taken away
    ],
)
def test_what_has_no_phases_is_left_alone(tmp_path, kernel, pads, attributes):
    path = tmp_path / "a.onnx"
    transposed(path, (5, 5), kernel, pads, **attributes)
    before = path.read_bytes()
    assert rewrite_in_phases(path) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("family", "size", "channels", "count"),
    [("dcgan", (32, 32), 1, 3), ("dcgan", (28, 28), 1, 2), ("dcgan", (48, 64), 3, 3), ("mlp", (16, 16), 1, 0)],
)
def test_generators_stay_what_they_are(tmp_path, family, size, channels, count):
    generator = families.generator(family, InputSpec(16), channels, size, {"width": 8})
    families.initialise(family, generator, torch.Generator().manual_seed(0))
    path = tmp_path / "generator.onnx"
    export_onnx(generator.eval(), path, inputs_of_seeds(range(2), generator.input_spec))
    rows = inputs_of_seeds(range(5), InputSpec(16))
    before = run(path, rows)
    assert rewrite_in_phases(path) == count
    np.testing.assert_allclose(run(path, rows), before, atol=1e-6)


def test_a_value_that_others_need_too_is_not_moved(tmp_path):
    path = tmp_path / "a.onnx"
    rows = transposed(path, (4, 4), (4, 4), (1, 1), after=("Relu",))
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Add", ["y0", "y1"], ["z"]))
    model.graph.output[0].name = "z"
    onnx.save(model, path)
    before = run(path, rows)
    assert rewrite_in_phases(path) == 1
    assert operations(path).count("Relu") == 1
    np.testing.assert_allclose(run(path, rows), before, atol=2e-6)
