"""Model folder -> a function from a generator's inputs to uint8 images, one file for each engine that can run it."""

import numpy as np

from gan.errors import ModelFolderError
from gan.images.encoding import Images
from gan.latents import Inputs, count, select
from gan.model_folder import ModelFolder
from gan.runtimes.base import DeviceName, OnDevice, PrecisionName, Runtime, RuntimeName, at_once


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
            from gan.runtimes.torchscript import TorchScriptRuntime
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
    from gan.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(folder, threads)


def generate(runtime: Runtime, rows: Inputs) -> Images:
    """Any number of rows from 1 up -> uint8 [n, height, width, channels], one batch after another."""
    starts = range(0, count(rows), runtime.batch_size)
    return np.concatenate([runtime.start(select(rows, slice(start, start + runtime.batch_size)))() for start in starts])
