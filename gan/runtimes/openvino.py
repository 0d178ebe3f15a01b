"""OpenVINO on the processor, in float32 or bfloat16."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gan.errors import ModelFolderError
from gan.latents import Inputs, count
from gan.model_folder import export_again_hint
from gan.processors import usable_processors
from gan.runtimes.base import (
    DeviceName,
    Outputs,
    PrecisionName,
    RunExclusively,
    as_few_threads_as_help,
    padded,
    rows_in_a_batch,
    run_in_batches,
)
from gan.runtimes.network import ExportedNetwork, OutputSpec

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

    library = "openvino"
    in_flight = 1  # the processor computes while `start` is called
    makes_uint8 = False

    def __init__(self, network: ExportedNetwork, model: openvino.Model, precision: PrecisionName, threads: int) -> None:
        self.file = network.file("onnx")
        self.name = "openvino-cpu" + ("" if precision == "float32" else f"-{precision}")
        self.needs_fixed_batch_size = None if network.batch is None else True
        self.max_batch_size = largest = rows_in_a_batch(_MAX_BATCH_SIZE, network)
        sizes = [2**power for power in range(largest.bit_length()) if 2**power < largest and network.batch is None]
        names = [spec.name for spec in network.outputs]
        self._graphs = {size: _Graph(model, names, size, precision, threads) for size in (*sizes, largest)}

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """See `base.Engine`."""
        outputs = next(graph for size, graph in self._graphs.items() if size >= count(rows)).run(rows)
        return lambda: outputs

    start_values = start

    def properties(self, name: str) -> list[Any]:
        """A property of each compiled graph, as OpenVINO reports it."""
        return [graph.compiled.get_property(name) for graph in self._graphs.values()]


class _Graph:
    """One compiled graph, for one number of rows: with fixed sizes OpenVINO chooses faster kernels."""

    def __init__(self, model: openvino.Model, names: list[str], size: int, precision: PrecisionName, threads: int) -> None:
        """`names` are those of the outputs, in their order: OpenVINO gives one several names where operations change nothing."""
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
        self._names = names

    def run(self, rows: Inputs) -> Outputs:
        """The outputs of at most as many rows as the graph is for."""
        found = self._request.infer(padded(rows, self._size), share_inputs=True)
        return {name: found[index][: count(rows)] for index, name in enumerate(self._names)}


_core = openvino.Core()


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16 (AVX-512 BF16 or AMX)."""
    return "BF16" in _core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def load(
    network: ExportedNetwork, device: DeviceName, precision: PrecisionName, threads: int | None, _: RunExclusively
) -> OpenVinoEngine:
    """Read the ONNX file, rewrite it, compare it with the file as it is, and compile it. Raises ModelFolderError."""
    if device == "cuda":
        raise ModelFolderError("GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: OpenVINO runs on the processor here")
    if precision == "bfloat16" and not has_bfloat16():
        raise ModelFolderError("GAN_PRECISION=bfloat16 needs a processor with bfloat16 (AVX-512 BF16 or AMX): leave it unset")
    content, folder = network.content("onnx"), network.folder.path
    try:
        model = _core.read_model(content)
        return _compile(network, model, precision, threads)
    except RuntimeError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise ModelFolderError(
            f"OpenVINO cannot run {folder / network.file('onnx')} ({reason}): {export_again_hint(folder)}"
        ) from error


def _compile(network: ExportedNetwork, model: openvino.Model, precision: PrecisionName, threads: int | None) -> OpenVinoEngine:
    size = rows_in_a_batch(_MAX_BATCH_SIZE, network)
    # Fewer of large images, which take seconds each: they have as many values to differ in.
    rows = network.rows(min(_COMPARED_SEEDS, 4 * size))
    every, names = threads or usable_processors(), [spec.name for spec in network.outputs]
    expected = run_in_batches(_Graph(model, names, size, "float32", every).run, rows, size)
    rewritten = model.clone()
    if rewrite(rewritten):
        found = run_in_batches(_Graph(rewritten, names, size, "float32", every).run, rows, size)
        if (levels := _levels(network.outputs, expected, found, np.max)) > _REWRITTEN_LEVELS:
            _log.warning("%s is run as it was exported: rewritten it differs by %.3g", network.folder.title, levels)
            rewritten = model
    engine = as_few_threads_as_help(lambda n: OpenVinoEngine(network, rewritten, precision, n), threads, network)
    if precision == "bfloat16":
        found = run_in_batches(lambda some: engine.start(some)(), rows, size)
        if (levels := _levels(network.outputs, expected, found, np.mean)) > BFLOAT16_LEVELS:
            raise ModelFolderError(
                f"GAN_PRECISION=bfloat16: images of {network.folder.title} differ from float32's by {levels:.2f} grey "
                f"levels on average, over {BFLOAT16_LEVELS:g}: serve it in float32"
            )
    return engine


def _levels(outputs: tuple[OutputSpec, ...], expected: Outputs, found: Outputs, of: Callable[[Any], Any]) -> float:
    """The largest, over all outputs, of a statistic of absolute differences, in 255ths of the output's range."""

    def levels(spec: OutputSpec) -> float:
        low, high = spec.uint8_source_range or (0, 255)
        return float(of(np.abs(found[spec.name] - expected[spec.name]))) * 255 / (high - low)

    return max(map(levels, outputs))
