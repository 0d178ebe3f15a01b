"""ONNX files of a quarter of the size: large weights are stored in 8 bits, and computed with in float32."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

_LARGE = 1000  # values
_LEVELS = 127  # on either side of 0


def store_in_eight_bits(file: Path) -> None:
    """Round the large weights of an ONNX file to 8 bits and store them so; ONNX Runtime widens them when it loads the file.

    A weight is int8 times a float32 scale for each of its rows, or each of its columns if that rounds it less. Only floating-point
    weights of two axes and more are rounded, and no table that values are looked up in: those are what others are compared with.
    """
    model = onnx.load(file)
    graph = model.graph
    tables = {node.input[0] for node in graph.node if node.op_type.startswith("Gather")}
    weights: list[TensorProto] = []
    widening: list[NodeProto] = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size <= _LARGE or values.ndim < 2 or weight.name in tables:
            weights.append(weight)
            continue
        rounded, scale = min((_rounded(values, axis) for axis in (0, 1)), key=lambda one: _error(values, *one))
        levels, scales, wide = (f"{weight.name}.{part}" for part in ("levels", "scales", "wide"))
        weights += [numpy_helper.from_array(rounded, levels), numpy_helper.from_array(scale, scales)]
        widening.append(helper.make_node("Cast", [levels], [wide], to=TensorProto.FLOAT))
        widening.append(helper.make_node("Mul", [wide, scales], [weight.name]))
    nodes = [*widening, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend(nodes)
    onnx.save(model, file)


def _rounded(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The nearest levels, like `values`, and their scales, of as many axes, of which one has more than one."""
    others = tuple(one for one in range(values.ndim) if one != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scales = np.where(largest > 0, largest / np.float32(_LEVELS), np.float32(1)).astype(np.float32)
    return np.rint(values / scales).astype(np.int8), scales


def _error(values: NDArray[np.float32], levels: NDArray[np.int8], scales: NDArray[np.float32]) -> float:
    return float(np.square(values - levels * scales).sum(dtype=np.float64))
