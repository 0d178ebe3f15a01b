"""ONNX files of half the size: large weights are stored in float16, and computed with in float32."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_LARGE = 1000  # values


def store_in_half(file: Path) -> None:
    """Round the large weights of an ONNX file to float16 and store them so; ONNX Runtime widens them when it loads the file.

    Weights beyond float16's range, of 65,504, stay as they are.
    """
    model = onnx.load(file)
    graph = model.graph
    weights, casts = [], []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size <= _LARGE or np.abs(values).max() > np.finfo(np.float16).max:
            weights.append(weight)
            continue
        name = f"{weight.name}.half"
        weights.append(numpy_helper.from_array(values.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [weight.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend(nodes)
    onnx.save(model, file)
