"""ONNX Runtime on the processor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

from gan.errors import ModelFolderError
from gan.latents import Inputs, inputs_of_seeds
from gan.model_folder import ONNX, ModelFolder, export_again_hint
from gan.processors import usable_processors
from gan.runtimes.base import DeviceName, Outputs, PrecisionName, RunExclusively, least_seconds, rows_agree, rows_in_a_batch

# A batch that one thread computes in less gains little from others, which are then left to the event loop and the encoders.
ONE_THREAD_SECONDS = 0.010


class OnnxEngine:
    """One session of ONNX Runtime."""

    name = "onnx-cpu"
    file, library = ONNX, "onnxruntime"
    max_batch_size = 16  # as fast for each image as larger batches, and sooner done
    in_flight = 1  # the processor computes while `start` is called
    needs_fixed_batch_size: bool | None = None
    makes_uint8 = False

    def __init__(self, content: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads of the pool that find no work would otherwise go on looking for it after the batch, and take the processor from
        # the event loop and the encoders.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.threads = threads
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """See `base.Engine`."""
        outputs = dict(zip(self._names, self.run(rows), strict=True))
        return lambda: outputs

    def run(self, rows: Inputs) -> list[Any]:
        """All outputs in the file's order."""
        found: list[Any] = self._session.run(None, rows)
        return found


def load(folder: ModelFolder, device: DeviceName, precision: PrecisionName, threads: int | None, _: RunExclusively) -> OnnxEngine:
    """Open the file, with one thread where more gain little and change no bit. Raises ModelFolderError."""
    if device == "cuda":
        raise ModelFolderError("GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: ONNX Runtime runs on the processor here")
    if precision != "float32":
        raise ModelFolderError(f"GAN_PRECISION={precision} needs a GPU: leave it unset")
    content = folder.content(ONNX)
    try:
        return _with_threads(folder, content, threads)
    except Exception as error:  # ONNX Runtime's own errors share no base class below Exception
        reason = str(error).partition("\n")[0]
        raise ModelFolderError(
            f"ONNX Runtime cannot run {folder.path / ONNX} ({reason}): {export_again_hint(folder.path)}"
        ) from error


def _with_threads(folder: ModelFolder, content: bytes, threads: int | None) -> OnnxEngine:
    engine = OnnxEngine(content, threads or usable_processors())
    manifest = folder.manifest
    probe = inputs_of_seeds(range(rows_in_a_batch(engine.max_batch_size, tuple(manifest.outputs))), manifest.input_spec)
    together = engine.run(probe)
    if threads is not None or usable_processors() == 1:
        return engine
    alone = OnnxEngine(content, 1)
    if least_seconds(alone, probe) > ONE_THREAD_SECONDS:
        return engine
    # The clock may choose otherwise after a restart, so both must compute the same in a batch of any size.
    same = all(map(np.array_equal, alone.run(probe), together))
    for one in (engine, alone):
        one.needs_fixed_batch_size = not rows_agree(one, probe)
    return alone if same and alone.needs_fixed_batch_size == engine.needs_fixed_batch_size else engine
