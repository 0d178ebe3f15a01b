"""Generators in TorchScript files -> TorchScript and ONNX as ours are. A TorchScript file is a program, and reading it runs it."""

import io
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gan.latents import Inputs, InputSpec, count, select
from gan.manifest import IMAGES
from training.convert.graphs import Graph, GraphOptions, difference, measured_range, notes, probe, takes_any_number
from training.errors import ConversionError

_ONNX_OPSET = 17  # the newest that torch's exporter for TorchScript writes well


class _Wrapped(nn.Module):
    """A scripted network with our inputs before it and our output behind it."""

    def __init__(self, brought: torch.jit.ScriptModule, tail: list[int], classes: int | None, channels_last: bool) -> None:
        super().__init__()
        self.brought, self._tail, self._classes, self._channels_last = brought, tail, classes, channels_last
        self.one_hot, self.limits = False, (-torch.inf, torch.inf)

    def forward(self, z: Tensor, *label: Tensor) -> Tensor:
        given = z.reshape(-1, *self._tail)
        if label and self.one_hot:
            assert self._classes is not None
            label = (functional.one_hot(label[0], self._classes).to(z.dtype),)
        drawn = self.brought(given, *label)
        images: Tensor = drawn[0] if isinstance(drawn, tuple | list) else drawn  # images and styles, as StyleGANs return them
        images = images.permute(0, 3, 1, 2) if self._channels_last else images
        return images.to(torch.float32).clamp(*self.limits)


def read(content: bytes, options: GraphOptions) -> Graph:
    """Read, and run, a TorchScript file. Raises ConversionError and ExportError."""
    tail = _latent_shape(options.input)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            brought = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise ConversionError(f"torch cannot load it ({reason}): fetch it again") from error
    z_dim = int(np.prod(tail))
    spec = InputSpec(z_dim, options.distribution, options.classes)
    network = _Wrapped(brought, tail, options.classes, channels_last=False).eval()
    rows, images = _probe(network, spec)
    limits = options.range or measured_range(images, whole_numbers=False)
    network.limits = limits

    def draw(some: Inputs) -> NDArray[np.float32]:
        return _run(network, some)

    batch = None if takes_any_number(rows, np.clip(images, *limits), draw) else 1
    files = {"torchscript": _traced(network, select(rows, slice(batch or 2)), options.distribution)}
    exports = {"torchscript": difference(_of_torchscript(files["torchscript"], rows), images, limits, count(rows))}
    remarks = notes(options, limits, count(rows), batch)
    try:
        found = _as_onnx(network, select(rows, slice(batch or 2)), batch)
        exports["onnx"] = difference(_of_onnx(found, rows), images, limits, count(rows))
        files["onnx"] = found
    except Exception as error:  # whatever an exporter meets in the code of another program
        reason = " ".join(str(error).split())[:150]
        remarks.append(f"it has no ONNX form ({type(error).__name__}: {reason}): serve it with GAN_RUNTIME=torchscript")
    size = images.shape[2], images.shape[3]
    return Graph("a TorchScript program", spec, images.shape[1], size, limits, files, exports, batch, remarks)


def _latent_shape(given: str | None) -> list[int]:
    """The shape of a latent vector, such as 512 or 100x1x1. Raises ConversionError."""
    if given is None or not re.fullmatch(r"\d{1,6}(x1)*", given):
        raise ConversionError(
            "a TorchScript file does not say what it takes: give the shape of its latent vector without the batch, such as "
            "--input 512, or --input 100x1x1 for [n, 100, 1, 1]"
        )
    return [int(side) for side in given.split("x")]


def _probe(network: _Wrapped, spec: InputSpec) -> tuple[Inputs, NDArray[np.float32]]:
    """Rows and their images; finds out whether labels are one-hot and whether channels come last. Raises ConversionError."""
    errors = []
    for network.one_hot in (False, True) if spec.classes is not None else (False,):
        for network._channels_last in (False, True):
            try:
                return probe(spec, lambda some: _run(network, some))
            except ConversionError as error:
                errors.append(error)
            except Exception as error:  # whatever the program raises
                reason = " ".join(str(error).split())[-200:]
                errors.append(
                    ConversionError(
                        f"it cannot be run with a latent vector of {network._tail} ({reason}): see --input and --classes"
                    )
                )
    raise next((error for error in errors if "not finite" in str(error)), errors[0])


@torch.no_grad()
def _run(network: nn.Module, rows: Inputs) -> NDArray[np.float32]:
    images: NDArray[np.float32] = network(*(torch.from_numpy(column) for column in rows.values())).numpy()
    return images


def _traced(network: _Wrapped, rows: Inputs, latent: str) -> bytes:
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        values = tuple(torch.from_numpy(column) for column in rows.values())
        traced = torch.jit.trace(network, values, check_trace=False)  # type: ignore[no-untyped-call]
        # Written down, so that the file's digest differs where images do
        torch.jit.save(traced, written, _extra_files={"latent": latent})
    return written.getvalue()


def _of_torchscript(content: bytes, rows: Inputs) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
    return np.concatenate([_run(module, select(rows, slice(place, place + 1))) for place in range(count(rows))])


def _as_onnx(network: _Wrapped, rows: Inputs, batch: int | None) -> bytes:
    values = tuple(torch.from_numpy(column) for column in rows.values())
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        written = Path(folder) / "generator.onnx"
        torch.onnx.export(
            torch.jit.trace(network, values, check_trace=False),  # type: ignore[no-untyped-call]
            values,
            written,
            input_names=list(rows),
            output_names=[IMAGES],
            dynamic_axes=None if batch else {name: {0: "n"} for name in (*rows, IMAGES)},
            opset_version=_ONNX_OPSET,
            dynamo=False,  # the one of torch's exporters that takes programs in TorchScript
        )
        return written.read_bytes()


def _of_onnx(content: bytes, rows: Inputs) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, select(rows, slice(place, place + 1)))[0] for place in range(count(rows))])
