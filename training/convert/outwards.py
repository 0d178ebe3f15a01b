"""A model folder -> files for other programs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper
from safetensors.torch import load, save

from gan import atomic
from gan.manifest import IMAGES, STYLES, Manifest
from gan.model_folder import WEIGHTS, ModelFolder
from training.errors import ConversionError

_W, _LAYER_AXIS = "w", 1


def write_state_dict(folder: ModelFolder, out: Path) -> str:
    """Write the weights as a file of torch.save, or of safetensors by its ending; returns what they are named after.

    Those of a DCGAN have the names of PyTorch's tutorial. Raises ConversionError for a model that was imported without weights.
    """
    if WEIGHTS not in folder.manifest.files:
        raise ConversionError(f"{folder.path} was imported without weights: its {folder.manifest.source_file} holds them")
    state = load(folder.content(WEIGHTS))
    architecture = folder.manifest.architecture
    names = "names as in this program's network"
    if architecture is not None and architecture.name == "dcgan":
        state = {name.replace("layers.", "main.", 1): tensor for name, tensor in state.items()}
        names = "names as in PyTorch's DCGAN tutorial"
    if out.suffix == ".safetensors":
        atomic.write_bytes_atomically(out, save(state))
    else:
        written = io.BytesIO()
        torch.save(state, written)
        atomic.write_bytes_atomically(out, written.getvalue())
    return f"{len(state)} tensors, {names}"


def write_onnx_uint8(folder: ModelFolder, out: Path) -> str:
    """Write one ONNX file: latent vectors, and labels, to uint8 images [n, channels, height, width]; returns a description.

    This is what torch-fidelity takes as a generator. Levels are those of the service. Raises ConversionError.
    """
    manifest = folder.manifest
    files = manifest.networks["generator"].files
    if "onnx" not in files:
        raise ConversionError(f"{folder.path} has no ONNX file: it was imported from TorchScript alone")
    model = onnx.load_model_from_string(folder.content(files["onnx"]))
    if manifest.styles is not None:
        mapping = onnx.load_model_from_string(folder.content(manifest.networks["mapping"].files["onnx"]))
        model = _joined(mapping, model, manifest)
    _append_levels(model, manifest)
    atomic.write_bytes_atomically(out, model.SerializeToString())
    inputs = ", ".join(one.name for one in model.graph.input)
    return f"{inputs} -> uint8 [n, {manifest.channels}, {manifest.height}, {manifest.width}]"


def _joined(mapping: onnx.ModelProto, synthesis: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """Both networks as one, with the style of the mapping network for every layer."""
    assert manifest.styles is not None, "the caller has seen that there are styles"
    first = compose.add_prefix(mapping, "mapping/", rename_inputs=False)
    second = compose.add_prefix(synthesis, "synthesis/", rename_inputs=False, rename_outputs=False)
    graph = first.graph
    graph.initializer.append(_constant("style_axis", np.array([_LAYER_AXIS])))
    graph.initializer.append(_constant("style_repeats", np.array([1, manifest.styles.layers, 1])))
    graph.node.append(helper.make_node("Unsqueeze", [f"mapping/{_W}", "style_axis"], ["style"]))
    graph.node.append(helper.make_node("Tile", ["style", "style_repeats"], ["styles"]))
    del graph.output[:]
    shape: list[str | int | None] = ["n", manifest.styles.layers, manifest.styles.size]
    graph.output.append(helper.make_tensor_value_info("styles", TensorProto.FLOAT, shape))
    return compose.merge_models(first, second, io_map=[("styles", STYLES)])


def _append_levels(model: onnx.ModelProto, manifest: Manifest) -> None:
    """The step to grey levels, as `gan.images.encoding.to_uint8_range` takes it, behind the images."""
    (output,) = manifest.outputs
    low, high = output.range
    graph = model.graph
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == IMAGES:
                node.output[place] = "pictures_float"
        for place, name in enumerate(node.input):
            if name == IMAGES:
                node.input[place] = "pictures_float"
    values = {"low": low, "levels": 255 / (high - low), "half": 0.5, "black": 0, "white": 255}
    for name, value in values.items():
        graph.initializer.append(_constant(f"uint8_{name}", np.array(value, np.float32)))
    steps = [("Sub", "low"), ("Mul", "levels"), ("Add", "half")]
    at = "pictures_float"
    for operator, name in steps:
        graph.node.append(helper.make_node(operator, [at, f"uint8_{name}"], [f"uint8_after_{name}"]))
        at = f"uint8_after_{name}"
    graph.node.append(helper.make_node("Clip", [at, "uint8_black", "uint8_white"], ["uint8_cut"]))
    graph.node.append(helper.make_node("Floor", ["uint8_cut"], ["uint8_floor"]))
    graph.node.append(helper.make_node("Cast", ["uint8_floor"], [IMAGES], to=TensorProto.UINT8))
    del graph.output[:]
    shape = [manifest.networks["generator"].batch or "n", manifest.channels, manifest.height, manifest.width]
    graph.output.append(helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, shape))


def _constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(value, name)
