"""Transposed convolutions as ordinary ones, in an ONNX file; `gan.runtimes.phases` says how.

ONNX Runtime runs wide networks faster so, and narrow ones more slowly.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from gan.runtimes.phases import Phase, phases_of

# Operations on each value by itself are done before interleaving, where runtimes fuse them into the convolution.
_POINTWISE = frozenset({"Relu", "LeakyRelu", "Tanh", "Sigmoid"})


def rewrite_in_phases(path: Path) -> int:
    """Rewrite an ONNX file in place; returns how many transposed convolutions were.

    Rewritten are those with stride 2 and weights in the file, without groups or dilations. Others stay.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    graph = _Graph(model.graph)
    rewritten = sum(graph.rewrite(node) for node in list(model.graph.node) if node.op_type == "ConvTranspose")
    if rewritten:
        graph.remove_unused_weights()
        onnx.checker.check_model(model)
        onnx.save(model, path)
    return rewritten


class _Graph:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._weights = {one.name: one for one in graph.initializer}
        values = (*graph.input, *graph.value_info, *graph.output)
        self._sides = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim][2:] for value in values}
        self._outputs = {value.name for value in graph.output}

    def rewrite(self, node: onnx.NodeProto) -> bool:
        """Put the phases of a transposed convolution in its place, if that can be."""
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        inputs, outputs = self._sides.get(node.input[0], []), self._sides.get(node.output[0], [])
        plain = attributes.get("group", 1) == 1 and list(attributes.get("dilations", [1, 1])) == [1, 1]
        fixed = len(inputs) == len(outputs) == 2 and all((*inputs, *outputs))
        if not (plain and fixed and list(attributes.get("strides", [])) == [2, 2] and node.input[1] in self._weights):
            return False
        kernel = numpy_helper.to_array(self._weights[node.input[1]])
        phases = phases_of(kernel, list(attributes.get("pads", [0, 0]))[:2], inputs, outputs)
        if phases is None:
            return False
        self._replace(node, phases, outputs)
        return True

    def _replace(self, node: onnx.NodeProto, phases: list[Phase], outputs: list[int]) -> None:
        replaced = [node, *self._pointwise_after(node)]
        stem, result = node.output[0], replaced[-1].output[0]
        new, parts = [], []
        for number, phase in enumerate(phases):
            weights, part = f"{stem}_phase{number}_weights", f"{stem}_phase{number}"
            self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(phase.kernel), weights))
            pads = [*phase.pads_begin, *phase.pads_end]
            new.append(helper.make_node("Conv", [node.input[0], weights, *node.input[2:]], [part], pads=pads))
            for after in replaced[1:]:
                copy = onnx.NodeProto()
                copy.CopyFrom(after)
                copy.name = f"{part}_{after.op_type}"
                copy.input[0], part = part, f"{part}_{after.op_type}"
                copy.output[0] = part
                new.append(copy)
            parts.append(part)
        odd = any(side % 2 for side in outputs)
        together, interleaved = f"{stem}_phases", f"{stem}_interleaved" if odd else result
        new.append(helper.make_node("Concat", parts, [together], axis=1))
        new.append(helper.make_node("DepthToSpace", [together], [interleaved], blocksize=2, mode="DCR"))
        if odd:  # the last outputs of an odd side have one parity only
            bounds = {"starts": [0, 0], "ends": outputs, "axes": [2, 3]}
            names = [f"{stem}_{name}" for name in bounds]
            for name, numbers in zip(names, bounds.values(), strict=True):
                self._graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
            new.append(helper.make_node("Slice", [interleaved, *names], [result]))
        place = list(self._graph.node).index(node)
        for one in replaced:
            self._graph.node.remove(one)
        for offset, one in enumerate(new):
            self._graph.node.insert(place + offset, one)

    def _pointwise_after(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The operations on single values that follow, as long as nothing else needs what is between."""
        found: list[onnx.NodeProto] = []
        while True:
            output = (found[-1] if found else node).output[0]
            users = [one for one in self._graph.node if output in one.input]
            if output in self._outputs or len(users) != 1 or users[0].op_type not in _POINTWISE:
                return found
            found.append(users[0])

    def remove_unused_weights(self) -> None:
        """Remove what no node reads any more."""
        used = {name for node in self._graph.node for name in node.input} | self._outputs
        for one in list(self._graph.initializer):
            if one.name not in used:
                self._graph.initializer.remove(one)
        kept = {name for node in self._graph.node for name in (*node.input, *node.output)}
        for value in list(self._graph.value_info):
            if value.name not in kept:
                self._graph.value_info.remove(value)
