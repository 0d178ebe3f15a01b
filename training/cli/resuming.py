"""Going on with a run: whether it is done, and the checkpoint that it goes on from."""

import logging
from pathlib import Path

from gan import model_folder
from gan.errors import ModelFolderError
from gan.manifest import Trained
from training.config.schema import TrainingConfig
from training.engine import checkpoint
from training.engine.checkpoint import CheckpointError
from training.engine.state import TrainingState
from training.errors import UsageError
from training.tracking import report

_log = logging.getLogger(__name__)


def is_done(folder: Path, config: TrainingConfig) -> bool:
    """Whether the last checkpoint is at the run's end and the exported model was made from the best one."""
    best = next(iter(checkpoint.ranked(folder)), None)
    if best is None:
        return False
    try:
        last = checkpoint.read_metadata(checkpoint.checkpoints(folder)[-1])
        origin = model_folder.read(folder / "model").manifest.origin
        exported = origin.pictures_seen if isinstance(origin, Trained) else None
        return config.is_reached(last.seen, last.seconds) and exported == checkpoint.read_metadata(best).seen
    except (CheckpointError, ModelFolderError):
        return False


def check_something_to_resume(folder: Path) -> None:
    """Raises UsageError for a run that had checkpoints, of which none is left: it would begin anew, over its own results."""
    measured = any("protocol" in row for row in report.read_rows(folder / report.STATS))
    if not checkpoint.checkpoints(folder) and (measured or (folder / "model").exists()):
        raise UsageError(
            f"--resume {folder}: its checkpoints are gone (checkpoint-*.safetensors), and without one it would begin anew: bring "
            "a copy back, or start a new run"
        )


def restore(state: TrainingState, paths: list[Path]) -> Path | None:
    """Load the first checkpoint that is whole; None where there is none. Raises CheckpointError if all are unusable."""
    for path in paths:
        try:
            state.restore(path)
        except CheckpointError as error:
            if path == paths[-1]:
                raise CheckpointError(
                    path, f"{error.reason}; no other one is whole: start a new run, or bring a copy back"
                ) from error
            _log.warning(f"{error}: going on from the one before")
        else:
            return path
    return None
