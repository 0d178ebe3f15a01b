"""OpenVINO on the processor, in float32 or bfloat16."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gan.errors import ModelFolderError
from gan.latents import Inputs, count, inputs_of_seeds, select
from gan.manifest import Manifest, Output
from gan.model_folder import ONNX, ModelFolder, export_again_hint
from gan.processors import usable_processors
from gan.runtimes.base import (
    DeviceName,
    Outputs,
    PrecisionName,
    RunExclusively,
    as_few_threads_as_help,
    padded,
    rows_in_a_batch,
)

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # openvino reports to its maker where it can import this
import openvino  # noqa: E402

from gan.runtimes.openvino_rewriting import rewrite  # noqa: E402

_MAX_BATCH_SIZE = 16
_COMPARED_SEEDS = 64
_REWRITTEN_LEVELS = 0.02  # grey levels that the rewritten graph may differ by in float32, as exports may from the network
# Grey levels on average. The models that ship differ by 0.11 and 0.13; one that differs by so much more is not made for bfloat16.
BFLOAT16_LEVELS = 1.0

_PRECISIONS = {"float32": openvino.Type.f32, "bfloat16": openvino.Type.bf16}
_log = logging.getLogger(__name__)


class OpenVinoEngine:
    """A graph compiled for batches of 1, 2, 4, 8 … rows; others are padded to the next of these."""

    file, library = ONNX, "openvino"
    in_flight = 1  # the processor computes while `start` is called
    makes_uint8 = False

    def __init__(self, model: openvino.Model, precision: PrecisionName, threads: int, max_batch_size: int) -> None:
        self.name = "openvino-cpu" + ("" if precision == "float32" else f"-{precision}")
        self.needs_fixed_batch_size: bool | None = None
        self.max_batch_size = max_batch_size
        sizes = [2**power for power in range(max_batch_size.bit_length()) if 2**power < max_batch_size]
        self._graphs = {size: _Graph(model, size, precision, threads) for size in (*sizes, max_batch_size)}

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """See `base.Engine`."""
        outputs = next(graph for size, graph in self._graphs.items() if size >= count(rows)).run(rows)
        return lambda: outputs

    def properties(self, name: str) -> list[Any]:
        """A property of each compiled graph, as OpenVINO reports it."""
        return [graph.compiled.get_property(name) for graph in self._graphs.values()]


class _Graph:
    """One compiled graph, for one number of rows: with fixed sizes OpenVINO chooses faster kernels."""

    def __init__(self, model: openvino.Model, size: int, precision: PrecisionName, threads: int) -> None:
        fixed = model.clone()
        fixed.reshape({one.any_name: [size, *list(one.partial_shape)[1:]] for one in fixed.inputs})
        properties = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],  # always: by default OpenVINO takes bfloat16 where there is any
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the event loop and the encoders need the processors too
        }
        self._size = size
        self.compiled = _core.compile_model(fixed, "CPU", properties)
        self._request = self.compiled.create_infer_request()
        self._names = [output.any_name for output in self.compiled.outputs]

    def run(self, rows: Inputs) -> Outputs:
        """The outputs of at most as many rows as the graph is for."""
        found = self._request.infer(padded(rows, self._size), share_inputs=True)
        return {name: found[index][: count(rows)] for index, name in enumerate(self._names)}


_core = openvino.Core()


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16 (AVX-512 BF16 or AMX)."""
    return "BF16" in _core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def load(
    folder: ModelFolder, device: DeviceName, precision: PrecisionName, threads: int | None, _: RunExclusively
) -> OpenVinoEngine:
    """Read the ONNX file, rewrite it, compare it with the file as it is, and compile it. Raises ModelFolderError."""
    if device == "cuda":
        raise ModelFolderError("GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: OpenVINO runs on the processor here")
    if precision == "bfloat16" and not has_bfloat16():
        raise ModelFolderError("GAN_PRECISION=bfloat16 needs a processor with bfloat16 (AVX-512 BF16 or AMX): leave it unset")
    content = folder.content(ONNX)
    try:
        model = _core.read_model(content)
        return _compile(folder.manifest, model, precision, threads)
    except RuntimeError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise ModelFolderError(f"OpenVINO cannot run {folder.path / ONNX} ({reason}): {export_again_hint(folder.path)}") from error


def _compile(manifest: Manifest, model: openvino.Model, precision: PrecisionName, threads: int | None) -> OpenVinoEngine:
    size = rows_in_a_batch(_MAX_BATCH_SIZE, tuple(manifest.outputs))
    rows = inputs_of_seeds(range(_COMPARED_SEEDS), manifest.input_spec)
    every = threads or usable_processors()
    expected = _in_batches(_Graph(model, size, "float32", every).run, rows, size)
    rewritten = model.clone()
    if rewrite(rewritten):
        found = _in_batches(_Graph(rewritten, size, "float32", every).run, rows, size)
        if (levels := _levels(manifest, expected, found, np.max)) > _REWRITTEN_LEVELS:
            _log.warning("%s@%s is run as it was exported: rewritten it differs by %.3g", manifest.name, manifest.version, levels)
            rewritten = model
    engine = as_few_threads_as_help(lambda n: OpenVinoEngine(rewritten, precision, n, size), threads, manifest)
    if precision == "bfloat16":
        found = _in_batches(lambda some: engine.start(some)(), rows, size)
        if (levels := _levels(manifest, expected, found, np.mean)) > BFLOAT16_LEVELS:
            raise ModelFolderError(
                f"GAN_PRECISION=bfloat16: images of {manifest.name}@{manifest.version} differ from float32's by {levels:.2f} grey "
                f"levels on average, over {BFLOAT16_LEVELS:g}: serve it in float32"
            )
    return engine


def _in_batches(run: Callable[[Inputs], Outputs], rows: Inputs, size: int) -> Outputs:
    parts = [run(select(rows, slice(start, start + size))) for start in range(0, count(rows), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _levels(manifest: Manifest, expected: Outputs, found: Outputs, of: Callable[[Any], Any]) -> float:
    """The largest, over all outputs, of a statistic of absolute differences, in 255ths of the output's range."""

    def levels(spec: Output) -> float:
        low, high = spec.range
        return float(of(np.abs(found[spec.name] - expected[spec.name]))) * 255 / (high - low)

    return max(map(levels, manifest.outputs))
