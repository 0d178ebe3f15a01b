"""The TorchScript file on torch: for GPUs, and for a second opinion on the processor."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray

from gan.artifact import TORCHSCRIPT, ModelFolder, ModelFolderError
from gan.imaging import Pictures, grey_levels
from gan.latents import latents
from gan.runtime import DeviceName, in_batches


class TorchScriptRuntime:
    """TorchScript on the processor or on CUDA, float32, all batches of one shape.

    One shape, because on a GPU another batch size may choose another kernel and with it other last bits.
    """

    _WARM_UP_RUNS = 3  # TorchScript specialises its graph over the first two runs, which may change last bits

    def __init__(self, folder: ModelFolder, device: DeviceName, threads: int) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ModelFolderError("GAN_DEVICE=cuda: torch sees no GPU here; leave GAN_DEVICE unset")
        self._device = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        self.batch_size = 64 if self._device.type == "cuda" else 8
        torch.set_num_threads(threads)
        # TensorFloat-32 would cost the promise of one grey level; autotuning, that of the same bytes after a restart.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        path = folder.file(TORCHSCRIPT)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch calls TorchScript deprecated but keeps it
                self._module = torch.jit.load(path, map_location=self._device)  # type: ignore[no-untyped-call]
            for _ in range(self._WARM_UP_RUNS):
                self.draw(latents([0], folder.manifest.z_dim))
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().rpartition("\n")[2]  # torch's own trace comes before it
            raise ModelFolderError(f"torch cannot run {path} ({reason}): export the model again") from error
        self.name = f"torchscript-{self._device.type}"

    def draw(self, z: NDArray[np.float32]) -> Pictures:
        """See gan.runtime.Runtime."""
        return in_batches(self._run, z, self.batch_size, pad=True)

    @torch.inference_mode()
    def _run(self, z: NDArray[np.float32]) -> Pictures:
        pictures = self._module(torch.from_numpy(z).to(self._device))
        levels: Pictures = grey_levels(pictures).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return levels
