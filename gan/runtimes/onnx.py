"""ONNX Runtime on the processor."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gan.errors import ModelFolderError
from gan.images.encoding import Images, to_uint8_range
from gan.latents import Inputs, InputSpec, count, inputs, select
from gan.model_folder import ONNX, ModelFolder, export_again
from gan.processors import usable_processors
from gan.runtimes.base import padded


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class OnnxRuntime:
    """ONNX Runtime on the processor."""

    name = "onnx-cpu"
    batch_size = 16  # as fast for each image as larger batches, and sooner done
    in_flight = 1  # the processor draws while `start` is called

    # A batch that one thread draws in less gains little from others, which are then left to the event loop and the encoders.
    _ONE_THREAD_SECONDS = 0.010

    def __init__(self, folder: ModelFolder, threads: int | None = None) -> None:
        """Raises ModelFolderError."""
        content = folder.content(ONNX)
        try:
            self._choose_session(content, folder.manifest.space, threads)
        except Exception as error:  # ONNX Runtime's own errors share no base class below Exception
            raise ModelFolderError(
                f"ONNX Runtime cannot run {folder.path / ONNX} ({_first_line(error)}): {export_again(folder.path)}"
            ) from error

    def start(self, rows: Inputs) -> Callable[[], Images]:
        """See Runtime."""
        n = count(rows)
        images = self._infer(padded(rows, self.batch_size) if self._pad else rows)[:n]
        levels: Images = to_uint8_range(images).astype(np.uint8).transpose(0, 2, 3, 1)
        return lambda: levels

    def _choose_session(self, content: bytes, space: InputSpec, threads: int | None) -> None:
        """Open the file, with one thread where more of them gain little and change nothing."""
        probe = inputs(range(self.batch_size), space)
        self._session = session = _open(content, threads or usable_processors())
        together = self._infer(probe)
        self._pad = not self._shapes_agree(probe)
        if threads is None and usable_processors() > 1:
            self._session = _open(content, 1)
            too_long = self._least_seconds(probe) > self._ONE_THREAD_SECONDS
            # The clock may choose otherwise after a restart, so both must draw the same in a batch of any size.
            if too_long or not np.array_equal(self._infer(probe), together) or self._pad == self._shapes_agree(probe):
                self._session = session

    def _least_seconds(self, probe: Inputs) -> float:
        """That a batch takes; other work on the machine only ever makes it more."""
        seconds = []
        for _ in range(4):
            started = time.perf_counter()
            self._infer(probe)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    def _infer(self, rows: Inputs) -> NDArray[np.float32]:
        images: NDArray[np.float32] = self._session.run(None, rows)[0]
        return images

    def _shapes_agree(self, probe: Inputs) -> bool:
        """Whether the network's numbers come out the same, bit for bit, in a batch of any size; else all batches get one size."""
        n = count(probe)
        alone = np.concatenate([self._infer(select(probe, slice(row, row + 1))) for row in range(n)])
        return all(np.array_equal(self._infer(select(probe, slice(-size, None))), alone[-size:]) for size in range(2, n + 1))


def _open(content: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads of the pool that find no work would otherwise go on looking for it after the batch, and take the processor from the
    # event loop and the encoders.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
