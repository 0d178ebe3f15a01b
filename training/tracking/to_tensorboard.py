"""TensorBoard: event files in the run's folder."""

import threading
from collections.abc import Mapping
from pathlib import Path

from gan.images.encoding import Images
from training.config import files
from training.config.schema import TrainingConfig


class TensorBoard:
    """The event files of a run. Its methods raise OSError for a disk that they cannot be written to."""

    run_id = None

    def __init__(self, config: TrainingConfig, folder: Path, seen: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._thread_hook = threading.excepthook
        threading.excepthook = self._ignore_disk_errors
        try:
            # What a killed run wrote after its last checkpoint is dropped: those steps will be repeated.
            self._writer = SummaryWriter(str(folder), purge_step=seen + 1 if seen else None)
            self._writer.add_text("configuration", f"```\n{files.to_yaml(config)}```", seen)
        except BaseException:
            threading.excepthook = self._thread_hook
            raise

    def scalars(self, values: Mapping[str, float], seen: int) -> None:
        """Write numbers after `seen` images."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, seen)

    def image(self, name: str, image: Images, seen: int) -> None:
        """Write an image after `seen` images, uint8 [height, width, channels]."""
        self._writer.add_image(name, image, seen, dataformats="HWC")

    def close(self, _: bool) -> None:
        """Write what is left; an event file has no end of its own."""
        try:
            self._writer.close()
        finally:
            threading.excepthook = self._thread_hook

    def _ignore_disk_errors(self, failed: threading.ExceptHookArgs) -> None:
        """Ignore here what its thread cannot write: the next call raises that again, which ends the run."""
        if not issubclass(failed.exc_type, OSError):
            self._thread_hook(failed)
