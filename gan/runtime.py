"""Model folder -> a function from a generator's inputs to uint8 pictures. ONNX Runtime here; torch in `gan.torch_runtime`."""

import time
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gan.artifact import ONNX, ModelFolder, ModelFolderError, export_again
from gan.imaging import Pictures, grey_levels
from gan.latents import Inputs, Space, count, inputs, select
from gan.processors import usable_processors

RuntimeName = Literal["onnx", "torchscript"]
DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["float32", "float16"]


T = TypeVar("T")


class OnDevice(Protocol):
    """Runs something where, and when, the device can be had alone; gives back what that gives, raises what that raises."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Blocks until the work is done."""
        ...


def at_once(work: Callable[[], T], /) -> T:
    """Run it here and now, as does for programs in which nothing else uses the device."""
    return work()


class Runtime(Protocol):
    """Draws pictures. The same row gives the same bytes whatever else is in the batch."""

    name: str  # which runtime, on which device
    batch_size: int  # the most rows that can be drawn at once
    in_flight: int  # batches that may be started before the first of them is waited for

    def start(self, rows: Inputs) -> Callable[[], Pictures]:
        """Begin to draw 1 to `batch_size` rows; what is returned waits for the pictures, uint8 [n, height, width, channels]."""
        ...


def draw(runtime: Runtime, rows: Inputs) -> Pictures:
    """Any number of rows from 1 up -> uint8 [n, height, width, channels], one batch after another."""
    starts = range(0, count(rows), runtime.batch_size)
    return np.concatenate([runtime.start(select(rows, slice(start, start + runtime.batch_size)))() for start in starts])


def padded(rows: Inputs, size: int) -> Inputs:
    """As many rows as `size`, the last ones zeros."""
    missing = size - count(rows)
    return {name: np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)]) for name, values in rows.items()}


def load(
    folder: ModelFolder,
    runtime: RuntimeName,
    device: DeviceName = "auto",
    precision: PrecisionName = "float32",  # float16 on a GPU only
    threads: int | None = None,  # processor threads; None: as many as help
    on_device: OnDevice = at_once,  # what a runtime uses for that part of its loading which must have the device alone
) -> Runtime:
    """Make ready to draw. Raises ModelFolderError for a file the runtime cannot load or a device that is not there."""
    if runtime == "torchscript":
        # Only whoever asks for this runtime needs torch installed.
        try:
            from gan.torch_runtime import TorchScriptRuntime
        except ImportError as error:
            raise ModelFolderError(
                f"GAN_RUNTIME=torchscript needs torch, which is not installed here ({error}): "
                "install the extra 'gpu', or leave GAN_RUNTIME unset"
            ) from error
        return TorchScriptRuntime(folder, device, precision, threads, on_device)
    if device == "cuda":
        raise ModelFolderError("GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: ONNX Runtime runs on the processor here")
    if precision != "float32":
        raise ModelFolderError(f"GAN_PRECISION={precision} needs a GPU: leave it unset")
    return OnnxRuntime(folder, threads)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class OnnxRuntime:
    """ONNX Runtime on the processor."""

    name = "onnx-cpu"
    batch_size = 16  # as fast for each picture as larger batches, and sooner done
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

    def start(self, rows: Inputs) -> Callable[[], Pictures]:
        """See Runtime."""
        n = count(rows)
        pictures = self._infer(padded(rows, self.batch_size) if self._pad else rows)[:n]
        levels: Pictures = grey_levels(pictures).astype(np.uint8).transpose(0, 2, 3, 1)
        return lambda: levels

    def _choose_session(self, content: bytes, space: Space, threads: int | None) -> None:
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
        pictures: NDArray[np.float32] = self._session.run(None, rows)[0]
        return pictures

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
