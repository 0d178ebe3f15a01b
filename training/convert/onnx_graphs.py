"""Generators in ONNX files of other programs -> ONNX files as ours are: inputs z and label, images [n, channels, height, width]."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, inliner, version_converter

from gan.latents import Inputs, InputSpec, count
from gan.manifest import IMAGES
from training.convert.files.sources import described
from training.convert.graphs import Graph, GraphOptions, difference, measured_range, notes, probe, takes_any_number
from training.errors import ConversionError
from training.export.export import TOLERANCE

_FLOATS: dict[int, type[np.floating[Any]]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
}
_INTEGERS: dict[int, type[np.integer[Any]]] = {TensorProto.INT64: np.int64, TensorProto.INT32: np.int32}
_PREFIX = "brought/"  # before the names of the file, which might be names of ours
HALF = 2**-6  # tolerance of networks in 16 bits: two grey levels
_OPSET = 13  # from which on the operators that are added have the form they are given here


def read(content: bytes, beside: Path, options: GraphOptions) -> Graph:
    """Read an ONNX file, and its weights if these lie in files in the folder `beside`. Raises ConversionError and ExportError."""
    model = _load(content, beside)
    inputs, output = _inputs(model, options), _output(model, options)
    brought = _session(model.SerializeToString())
    spec = InputSpec(inputs.z_dim, options.distribution, inputs.classes)
    draw = _drawer(brought, inputs, output.name)
    rows, images = probe(spec, lambda some: _channels_first(draw(some)))
    last = _channels_last(draw({name: values[:1] for name, values in rows.items()}))
    limits = options.range or measured_range(images, output.type.tensor_type.elem_type == TensorProto.UINT8)
    fixed = _fixed_batch(inputs.latent)
    batch = fixed or (None if takes_any_number(rows, images, lambda some: _channels_first(draw(some))) else 1)
    content = _wrapped(model, inputs, output, last, limits, batch, options.distribution)
    session = _session(content)
    found = np.concatenate([_run_padded(session, rows, place, batch) for place in range(count(rows))])
    return Graph(
        "an ONNX graph",
        spec,
        images.shape[1],
        (images.shape[2], images.shape[3]),
        limits,
        {"onnx": content},
        {"onnx": difference(found, images, limits, count(rows), HALF if _in_16_bits(model) else TOLERANCE)},
        batch,
        notes(options, limits, count(rows), batch),
    )


def _in_16_bits(model: onnx.ModelProto) -> bool:
    """Whether some weights are of 16 bits, with which engines round at places of their own choice."""
    return any(one.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16) for one in model.graph.initializer)


class _Inputs:
    """Which inputs of a graph the latent vector and the label are."""

    def __init__(self, latent: onnx.ValueInfoProto, label: onnx.ValueInfoProto | None, classes: int | None) -> None:
        self.latent, self.label, self.classes = latent, label, classes

    @property
    def z_dim(self) -> int:
        return _dims(self.latent)[1] or 0

    def feed(self, rows: Inputs) -> dict[str, NDArray[Any]]:
        """The rows as the graph takes them."""
        n = count(rows)
        shape = [n, self.z_dim, *[1] * (len(_dims(self.latent)) - 2)]
        found = {self.latent.name: rows["z"].reshape(shape).astype(_FLOATS[_type(self.latent)])}
        if self.label is not None:
            labels, kind = rows["label"], _type(self.label)
            if kind in _FLOATS:
                found[self.label.name] = np.eye(self.classes or 0, dtype=_FLOATS[kind])[labels]
            else:
                found[self.label.name] = labels.reshape([n, *[1] * (len(_dims(self.label)) - 1)]).astype(_INTEGERS[kind])
        return found


def _load(content: bytes, beside: Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(content)
        onnx.load_external_data_for_model(model, str(beside))
    except Exception as error:  # protobuf's and onnx's own errors, and those of the system for weights beside the file
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(
            f"its weights cannot be read ({reason}); fetch it again, with the files that lie beside it"
        ) from error
    if model.functions:
        model = inliner.inline_local_functions(model)
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < _OPSET:
        try:
            model = version_converter.convert_version(model, _OPSET)
        except Exception as error:
            raise ConversionError(
                f"it is of ONNX's opset {opset}, and cannot be brought to {_OPSET} ({error}): export it again"
            ) from error
    return model


def _session(content: bytes) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no base class below Exception
        reason = str(error).partition("\n")[0][:200]
        raise ConversionError(f"ONNX Runtime cannot run it ({reason}): export it without operators of its own program") from error


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    """The sides of a tensor; None for those that are open."""
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim]


def _type(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _fixed_batch(latent: onnx.ValueInfoProto) -> int | None:
    return _dims(latent)[0]


def _described(values: list[onnx.ValueInfoProto]) -> str:
    return ", ".join(map(described, values))


def _is_latent(value: onnx.ValueInfoProto) -> bool:
    sides = _dims(value)
    return _type(value) in _FLOATS and len(sides) >= 2 and bool(sides[1]) and all(side == 1 for side in sides[2:])


def _inputs(model: onnx.ModelProto, options: GraphOptions) -> _Inputs:
    """Raises ConversionError if it is not clear which input is the latent vector, or one is neither that nor a label."""
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    latents = [one for one in inputs if _is_latent(one) and options.input in (None, one.name)]
    if len(latents) != 1:
        problem = "several inputs that may be the latent vector" if latents else "no input that may be the latent vector [n, d]"
        remedy = "export it with [n, d], where d is a number" if options.input is not None else "say which it is by --input NAME"
        raise ConversionError(f"it has {problem}, of {_described(inputs)}: {remedy}")
    (latent,) = latents
    others = [one for one in inputs if one is not latent]
    if not others:
        return _Inputs(latent, None, None)
    (label, *more) = others
    sides, kind = _dims(label), _type(label)
    if more or not ((kind in _INTEGERS and len(sides) <= 2) or (kind in _FLOATS and len(sides) == 2 and sides[1])):
        raise ConversionError(
            f"beside the latent vector it takes {_described(others)}; only one label can be given: make the rest constants"
        )
    classes = sides[1] if kind in _FLOATS else options.classes
    if classes is None:
        raise ConversionError(
            f"it takes a label, {label.name}, and does not say of how many classes: give their names by --classes"
        )
    return _Inputs(latent, label, classes)


def _output(model: onnx.ModelProto, options: GraphOptions) -> onnx.ValueInfoProto:
    """Raises ConversionError if it is not clear which output is the images."""
    outputs: list[onnx.ValueInfoProto] = list(model.graph.output)
    images = [one for one in outputs if options.output in (None, one.name) and len(_dims(one)) in (0, 4)]
    if len(images) != 1:
        raise ConversionError(
            f"it is not clear which output is the images [n, channels, height, width], of {_described(outputs)}: "
            "say it by --output NAME"
        )
    return images[0]


def _drawer(session: onnxruntime.InferenceSession, inputs: _Inputs, output: str) -> Callable[[Inputs], NDArray[Any]]:
    fixed = _fixed_batch(inputs.latent)

    def draw(rows: Inputs) -> NDArray[Any]:
        n = count(rows)
        if fixed is not None and n < fixed:
            rows = {name: np.concatenate([values, np.repeat(values[-1:], fixed - n, 0)]) for name, values in rows.items()}
        try:
            found: NDArray[Any] = session.run([output], inputs.feed(rows))[0]
        except Exception as error:  # ONNX Runtime's own errors share no base class below Exception
            reason = str(error).partition("\n")[0][:200]
            remedy = "see that --classes names as many as it knows" if inputs.label is not None else "export it again"
            raise ConversionError(f"ONNX Runtime cannot run it ({reason}): {remedy}") from error
        return found[:n]

    return draw


def _run_padded(session: onnxruntime.InferenceSession, rows: Inputs, place: int, batch: int | None) -> NDArray[np.float32]:
    """The image of one row by our file, which may take a fixed number of rows."""
    one = {name: np.repeat(values[place : place + 1], batch or 1, 0) for name, values in rows.items()}
    found: NDArray[np.float32] = session.run(None, one)[0][:1]
    return found


def _channels_last(images: NDArray[Any]) -> bool:
    return images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3)


def _channels_first(images: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(images.transpose(0, 3, 1, 2) if _channels_last(images) else images, np.float32)


def _wrapped(
    model: onnx.ModelProto,
    inputs: _Inputs,
    output: onnx.ValueInfoProto,
    channels_last: bool,
    limits: tuple[float, float],
    batch: int | None,
    latent: str,  # what latent vectors are drawn from; written down, so that the file's digest differs where images do
) -> bytes:
    """The graph with our inputs before it and our output behind it."""
    made = compose.add_prefix(model, _PREFIX)
    graph, constants = made.graph, {}

    def constant(name: str, value: NDArray[Any]) -> str:
        constants[name] = onnx.numpy_helper.from_array(value, name)
        return name

    before: list[onnx.NodeProto] = []
    rank, latent_type = len(_dims(inputs.latent)), _type(inputs.latent)
    value = "z"
    if rank > 2:
        before.append(helper.make_node("Unsqueeze", [value, constant("z_axes", np.arange(2, rank))], ["z_raised"]))
        value = "z_raised"
    before.append(helper.make_node("Cast", [value], [_PREFIX + inputs.latent.name], to=latent_type))
    given = [helper.make_tensor_value_info("z", TensorProto.FLOAT, [batch or "n", inputs.z_dim])]
    if inputs.label is not None:
        given.append(helper.make_tensor_value_info("label", TensorProto.INT64, [batch or "n"]))
        value, kind = "label", _type(inputs.label)
        if kind in _FLOATS:
            depth, values = (
                constant("classes", np.array([inputs.classes])),
                constant("one_hot_values", np.array([0, 1], np.float32)),
            )
            before.append(helper.make_node("OneHot", [value, depth, values], ["label_one_hot"], axis=-1))
            value = "label_one_hot"
        elif len(_dims(inputs.label)) == 2:
            before.append(helper.make_node("Unsqueeze", [value, constant("label_axes", np.array([1]))], ["label_raised"]))
            value = "label_raised"
        before.append(helper.make_node("Cast", [value], [_PREFIX + inputs.label.name], to=kind))
    after, value = [], _PREFIX + output.name
    if channels_last:
        after.append(helper.make_node("Transpose", [value], ["channels_first"], perm=[0, 3, 1, 2]))
        value = "channels_first"
    low, high = (constant(name, np.array(side, np.float32)) for name, side in zip(("low", "high"), limits, strict=True))
    after.append(helper.make_node("Cast", [value], ["pictures_float"], to=TensorProto.FLOAT))
    after.append(helper.make_node("Clip", ["pictures_float", low, high], [IMAGES]))
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(given)
    graph.output.append(helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, [batch or "n", None, None, None]))
    graph.initializer.extend(constants.values())
    del made.metadata_props[:]
    helper.set_model_props(made, {"latent": latent})
    return bytes(made.SerializeToString())
