"""Model folder -> a function from latent vectors to uint8 pictures. ONNX Runtime here; torch in `gan.torch_runtime`."""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gan.artifact import ONNX, ModelFolder, ModelFolderError
from gan.imaging import Pictures, grey_levels
from gan.latents import latents

RuntimeName = Literal["onnx", "torchscript"]
DeviceName = Literal["auto", "cpu", "cuda"]


class Runtime(Protocol):
    """Draws pictures. The same latent gives the same bytes whatever else is in the batch."""

    name: str  # which runtime, on which device
    batch_size: int  # rows that are drawn at once; more are drawn in several goes

    def draw(self, z: NDArray[np.float32]) -> Pictures:
        """float32 [n, z_dim] -> uint8 [n, height, width, channels], for any n from 1 up."""
        ...


def load(folder: ModelFolder, runtime: RuntimeName, device: DeviceName, threads: int) -> Runtime:
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
        return TorchScriptRuntime(folder, device, threads)
    if device == "cuda":
        raise ModelFolderError("GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: ONNX Runtime runs on the processor here")
    return OnnxRuntime(folder, threads)


def in_batches(
    run: Callable[[NDArray[np.float32]], Pictures],
    z: NDArray[np.float32],  # [n, z_dim]
    size: int,  # the most rows that `run` gets at once
    pad: bool,  # whether `run` always gets exactly that many
) -> Pictures:
    """Run any number of rows through a function that takes a limited number."""
    parts = []
    for start in range(0, len(z), size):
        part = z[start : start + size]
        padding = size - len(part) if pad else 0
        parts.append(run(np.pad(part, [(0, padding), (0, 0)]))[: len(part)])
    return np.concatenate(parts)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class OnnxRuntime:
    """ONNX Runtime on the processor."""

    batch_size = 16  # as fast for each picture as larger batches, and sooner done

    def __init__(self, folder: ModelFolder, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Idle threads of the pool would otherwise turn over for work and take the processor from the event loop and the encoders.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = folder.file(ONNX)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self._pad = not self._shapes_agree(folder.manifest.z_dim)
        except Exception as error:  # ONNX Runtime's own errors share no base class below Exception
            raise ModelFolderError(f"ONNX Runtime cannot run {path} ({_first_line(error)}): export the model again") from error
        self.name = "onnx-cpu"

    def draw(self, z: NDArray[np.float32]) -> Pictures:
        """See Runtime."""
        return in_batches(self._run, z, self.batch_size, self._pad)

    def _run(self, z: NDArray[np.float32]) -> Pictures:
        levels: Pictures = grey_levels(self._infer(z)).astype(np.uint8).transpose(0, 2, 3, 1)
        return levels

    def _infer(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        pictures: NDArray[np.float32] = self._session.run(None, {"z": z})[0]
        return pictures

    def _shapes_agree(self, z_dim: int) -> bool:
        """Whether the network's numbers come out the same, bit for bit, in a batch of any size; else all batches get one size."""
        probe = latents(range(self.batch_size), z_dim)
        alone = np.concatenate([self._infer(row[np.newaxis]) for row in probe])
        return all(np.array_equal(self._infer(probe[-n:]), alone[-n:]) for n in range(2, self.batch_size + 1))
