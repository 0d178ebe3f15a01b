"""Most of what a short training takes is to finish and to export its generator: in the tests both are done with less work.

Batch statistics are estimated over fewer images, and each process traces each architecture once.
"""

import copy
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch.onnx import ONNXProgram
from torch.onnx._internal.exporter import _decomp, _registration

from training.engine import state

CALIBRATION_BATCHES = state._CALIBRATION_BATCHES
_export = torch.onnx.export
_traced: dict[tuple[Any, ...], ONNXProgram] = {}
_OF_EVERY_MODULE = vars(torch.nn.Module()).keys()


def _architecture(network: torch.nn.Module) -> tuple[Any, ...]:
    """All of a network that its graph depends on: the layers with their settings, and the names and shapes of the weights."""
    settings = (
        (name, type(module), *((key, repr(value)) for key, value in sorted(vars(module).items()) if key not in _OF_EVERY_MODULE))
        for name, module in network.named_modules()
    )
    buffers = ((name, buffer.numpy().tobytes()) for name, buffer in network.named_buffers() if name not in network.state_dict())
    weights = ((name, tuple(tensor.shape), tensor.dtype) for name, tensor in network.state_dict().items())
    return repr(network), *settings, *buffers, *weights


def _weights(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def _holds(model: ir.Model, weights: dict[str, np.ndarray]) -> bool:
    """Whether a graph that is not optimised yet has the weights that it uses as they are."""
    used = {name: one.const_value.numpy() for name, one in model.graph.initializers.items() if name in weights}
    return bool(used) and all(np.array_equal(values, weights[name]) for name, values in used.items())


def export_once(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], *others: Any, **options: Any) -> ONNXProgram | None:
    """As torch.onnx.export, but that the graph may be one that was traced with other weights of the same architecture.

    What does not fit would be noticed: whoever exports a model compares the file with the network.
    """
    if others or not options.get("dynamo") or len({"f", "kwargs"} & options.keys()):
        return _export(network, inputs, *others, **options)
    weights = _weights(network)
    key = (*_architecture(network), *((one.shape[1:], one.dtype) for one in inputs), repr(sorted(options.items())))
    if key not in _traced:
        program = _export(network, inputs, optimize=False, **options)
        if not _holds(program.model, weights):
            return _export(network, inputs, **options)
        _traced[key] = program
    program = copy.copy(_traced[key])
    program.model = _traced[key].model.clone()
    # New nodes are numbered from the same number on, so that the file is the one that the exporter itself would write.
    program.model.graph._name_authority = copy.deepcopy(_traced[key].model.graph._name_authority)
    for name, initializer in program.model.graph.initializers.items():
        if name in weights:
            initializer.const_value = ir.tensor(weights[name], name=name)
    program.optimize()
    return program


@cache
def quicken() -> None:
    """Let generators be finished and exported quickly in this process."""
    # Batch statistics are estimated over an eighth of the images, but where they are tested themselves.
    state._CALIBRATION_BATCHES = CALIBRATION_BATCHES // 8
    torch.onnx.export = export_once
    # For each export torch finds anew all of its operators, reads from their source how they are written in ONNX, and makes a
    # table of those that are made of others, which takes as long as the rest. Once for each process will do here.
    _registration.ONNXRegistry.from_torchlib = staticmethod(cache(_registration.ONNXRegistry.from_torchlib))
    of_operators = cache(_decomp.create_onnx_friendly_decomposition_table)
    _decomp.create_onnx_friendly_decomposition_table = lambda operators: dict(of_operators(frozenset(operators)))
    torch._export.utils._materialize_cpp_cia_ops = cache(torch._export.utils._materialize_cpp_cia_ops)
