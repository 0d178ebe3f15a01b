"""Going on with a run: whether it is done, and the checkpoint that it goes on from."""

import logging
from pathlib import Path

from gan import model_folder
from gan.errors import ModelFolderError
from gan.manifest import Manifest
from gan.manifest_parts import Trained
from training.config.schema import TrainingConfig
from training.config.values import parse_count
from training.engine import batch_norm, checkpoint
from training.engine.checkpoint import CheckpointError
from training.engine.distributed import Group
from training.engine.state import TrainingState
from training.errors import UsageError
from training.tracking import stats

_log = logging.getLogger(__name__)


def is_done(folder: Path, config: TrainingConfig) -> bool:
    """Whether the last checkpoint is at the run's end, and the exported model was made from the best one and has what it is to."""
    try:
        if config.is_points:  # which export none
            return bool(checkpoint.checkpoints(folder)) and config.is_reached(*checkpoint.length(folder))
        manifest = exported_model(folder)
        if manifest is None or (config.encoder_images is not None and "scorer" not in manifest.networks):
            return False
        return config.is_reached(*checkpoint.length(folder))
    except CheckpointError:
        return False


def exported_model(folder: Path) -> Manifest | None:
    """The manifest of a run's model, if that is whole and was made from the best checkpoint."""
    best = next(iter(checkpoint.ranked(folder)), None)
    try:
        manifest = model_folder.read(folder / "model").manifest
        seen = manifest.origin.pictures_seen if isinstance(manifest.origin, Trained) else None
        return manifest if best is not None and seen == checkpoint.read_metadata(best).seen else None
    except (CheckpointError, ModelFolderError):
        return None


def find_checkpoint(folder: Path, wanted: str) -> Path:
    """A checkpoint of a run, by the name of its file or the images it has seen. Raises UsageError, with those that there are."""
    there = checkpoint.checkpoints(folder)
    seen = parse_count(wanted)
    for path in there:
        if Path(wanted).name in (path.name, path.stem) or checkpoint.images_of(path) == seen:
            return path
    numbers = ", ".join(f"{checkpoint.images_of(path):,}" for path in there) or "none"
    raise UsageError(
        f"--export {wanted}: {folder} has no such checkpoint; it keeps the last three and the best, after so many images: {numbers}"
    )


def check_something_to_resume(folder: Path) -> None:
    """Raises UsageError for a run that had checkpoints, of which none is left: it would begin anew, over its own results."""
    measured = any("protocol" in row for row in stats.read_rows(folder / stats.STATS))
    if not checkpoint.checkpoints(folder) and (measured or (folder / "model").exists()):
        raise UsageError(
            f"--resume {folder}: its checkpoints are gone (checkpoint-*.safetensors), and without one it would begin anew: bring "
            "a copy back, or start a new run"
        )


def note_processes(state: TrainingState, config: TrainingConfig, group: Group) -> None:
    """Note that so many processes train the run, and warn where a resumed one, of another number, goes on otherwise by that."""
    before, now = (batch_norm.images_together(config, processes) for processes in (state.processes, group.size))
    normalised = any(map(batch_norm.uses_batch_norm, (state.generator, state.discriminator)))
    if group.is_first and state.seen and before != now and normalised:
        processes, had = (f"{count} processes" if count > 1 else "one process" for count in (group.size, state.processes))
        same = f"--micro-batch-size {before} --change micro_batch_size" if before < now else had
        _log.warning(
            f"batch normalisation now takes its statistics over {now} images, and not {before}, since {processes} and not {had} "
            f"share a batch: the run goes on otherwise than it would have; with {same} it would not"
        )
    state.processes = group.size


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
