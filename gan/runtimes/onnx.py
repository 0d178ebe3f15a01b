"""ONNX Runtime on the processor."""

from collections.abc import Callable

import onnxruntime

from gan.errors import ModelFolderError
from gan.latents import Inputs
from gan.model_folder import export_again_hint
from gan.runtimes.base import DeviceName, Outputs, PrecisionName, RunExclusively, as_few_threads_as_help, rows_in_a_batch
from gan.runtimes.network import ExportedNetwork

_MAX_BATCH_SIZE = 16  # as fast for each image as larger batches, and sooner done


class OnnxEngine:
    """One session of ONNX Runtime."""

    name = "onnx-cpu"
    library = "onnxruntime"
    in_flight = 1  # the processor computes while `start` is called
    makes_uint8 = False

    def __init__(self, network: ExportedNetwork, content: bytes, threads: int) -> None:
        self.file = network.file("onnx")
        self.max_batch_size = rows_in_a_batch(_MAX_BATCH_SIZE, network)
        self.needs_fixed_batch_size = None if network.batch is None else True
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads of the pool that find no work would otherwise go on looking for it after the batch, and take the processor from
        # the event loop and the encoders.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # A session's arena keeps what intermediate results have once taken: for encoders and scorers, which few requests need, tens
        # of megabytes each. Taken anew for each batch they are computed as fast.
        options.enable_cpu_mem_arena = network.name == "generator"
        self.threads = threads
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """See `base.Engine`."""
        outputs = dict(zip(self._names, self._session.run(None, rows), strict=True))
        return lambda: outputs

    start_values = start


def load(
    network: ExportedNetwork, device: DeviceName, _precision: PrecisionName, threads: int | None, _: RunExclusively
) -> OnnxEngine:
    """Open the file, with one thread where more gain little and change no bit. Raises ModelFolderError."""
    if device == "cuda":
        raise ModelFolderError("GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: ONNX Runtime runs on the processor here")
    content, folder = network.content("onnx"), network.folder.path
    try:
        return as_few_threads_as_help(lambda n: OnnxEngine(network, content, n), threads, network)
    except Exception as error:  # ONNX Runtime's own errors share no base class below Exception
        reason = str(error).partition("\n")[0]
        raise ModelFolderError(
            f"ONNX Runtime cannot run {folder / network.file('onnx')} ({reason}): {export_again_hint(folder)}"
        ) from error
