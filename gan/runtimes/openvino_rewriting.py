"""Transposed convolutions as ordinary ones, in OpenVINO's graph; `gan.runtimes.phases` says how."""

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops
from openvino.utils.node_factory import NodeFactory

from gan.runtimes.phases import phases_of

# Operations on each value by itself, or with one constant for each channel: they may be done before interleaving, where OpenVINO
# fuses them into the convolution.
_POINTWISE = frozenset({"Relu", "Tanh", "Sigmoid", "Clamp", "Elu", "Gelu"})
_BY_CHANNEL = frozenset({"Add", "Multiply", "Subtract", "Divide", "PRelu"})

_factory = NodeFactory("opset13")


def rewrite(model: openvino.Model) -> int:
    """Rewrite in place; returns how many transposed convolutions were. All sizes but that of the batch must be fixed.

    Rewritten are those with constant kernels, without groups or dilations: stride 2 where no padding comes out negative, and any
    stride on an input of one pixel, which is a matrix product. Others stay.
    """
    rewritten = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() == "ConvolutionBackpropData" and _is_plain(node):
            rewritten += _of_one_pixel(node) or _of_stride_two(node)
    if rewritten:
        model.validate_nodes_and_infer_types()
    return rewritten


def _is_plain(node: Any) -> bool:
    attributes = node.get_attributes()
    return (
        node.get_input_size() == 2
        and node.input_value(1).get_node().get_type_name() == "Constant"
        and len(node.get_output_partial_shape(0)) == 4
        and all(side.is_static for side in list(node.get_output_partial_shape(0))[1:])
        and list(attributes["dilations"]) == [1, 1]
        and attributes.get("auto_pad", "explicit") == "explicit"
    )


def _sizes(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    shapes = node.get_input_partial_shape(0), node.get_output_partial_shape(0)
    inputs, outputs = ((shape[2].get_length(), shape[3].get_length()) for shape in shapes)
    return inputs, outputs


def _of_one_pixel(node: Any) -> bool:
    """A matrix product: each output is a tap times the only input pixel."""
    (inputs, outputs), attributes = _sizes(node), node.get_attributes()
    kernel: NDArray[np.float32] = node.input_value(1).get_node().get_data()
    pads = list(attributes["pads_begin"])
    ends = [pad + output for pad, output in zip(pads, outputs, strict=True)]
    if inputs != (1, 1) or any(end > side for end, side in zip(ends, kernel.shape[2:], strict=True)):
        return False
    kernel = kernel[:, :, pads[0] : ends[0], pads[1] : ends[1]]
    matrix = np.ascontiguousarray(kernel.reshape(kernel.shape[0], -1))
    rows = ops.reshape(node.input_value(0), np.array([-1, kernel.shape[0]]), special_zero=False)
    product_of = ops.matmul(rows, ops.constant(matrix), False, False)
    images = ops.reshape(product_of, np.array([-1, *kernel.shape[1:]]), special_zero=False)
    node.output(0).replace(images.output(0))
    return True


def _of_stride_two(node: Any) -> bool:
    """Four convolutions, one for each parity of row and column, and what is done to each value, then interleaved."""
    (inputs, outputs), attributes = _sizes(node), node.get_attributes()
    if list(attributes["strides"]) != [2, 2]:
        return False
    kernel: NDArray[np.float32] = node.input_value(1).get_node().get_data()
    pads = list(attributes["pads_begin"])
    phases = phases_of(kernel, pads, inputs, outputs)
    if phases is None:
        return False
    tail = _pointwise_after(node)
    results = []
    for phase in phases:
        result = ops.convolution(
            node.input_value(0), ops.constant(phase.kernel), [1, 1], list(phase.pads_begin), list(phase.pads_end), [1, 1]
        )
        for operation in tail:
            result = _repeat(operation, result)
        results.append(result)
    interleaved = ops.depth_to_space(ops.concat(results, 1), "blocks_first", 2)
    if any(side % 2 for side in outputs):  # the last outputs of an odd side have one parity only
        interleaved = ops.slice(interleaved, np.array([0, 0]), np.array(outputs), np.array([1, 1]), np.array([2, 3]))
    (tail[-1] if tail else node).output(0).replace(interleaved.output(0))
    return True


def _pointwise_after(node: Any) -> list[Any]:
    """The operations on single values that follow, as long as nothing else needs what is between."""
    found: list[Any] = []
    while True:
        users = list((found[-1] if found else node).output(0).get_target_inputs())
        if len(users) != 1:
            return found
        after = users[0].get_node()
        if after.get_type_name() not in _POINTWISE and not _is_by_channel(after, users[0].get_index()):
            return found
        found.append(after)


def _is_by_channel(operation: Any, index: int) -> bool:
    if operation.get_type_name() not in _BY_CHANNEL or index != 0:
        return False
    other = operation.input_value(1).get_node()
    if other.get_type_name() != "Constant":
        return False
    shape = list(other.get_output_shape(0))
    if operation.get_type_name() == "PRelu":
        return len(shape) == 1
    return shape[-2:] == [1, 1] or np.prod(shape, initial=1) == 1


def _repeat(operation: Any, value: Any) -> Any:
    others = [operation.input_value(index) for index in range(1, operation.get_input_size())]
    return _factory.create(operation.get_type_name(), [value, *others], operation.get_attributes())
