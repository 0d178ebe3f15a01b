"""Checkpoints: single files, written atomically, verified when they are read."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gan.errors import GanServiceError
from training.config.schema import TrainingConfig
from training.engine.digested import read_digested, write_digested
from training.evaluation.ranking import distance, ranking

_KEEP = 3


class CheckpointError(GanServiceError):
    """A checkpoint that cannot be resumed from; the message names the file and the reason."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} cannot be used: {reason}")
        self.reason = reason


class CheckpointMetadata(BaseModel):
    """Metadata of a checkpoint. The names are those on disk."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # pydantic's null for them could not be read again

    seen: int
    seconds: float
    measures: dict[str, float] = {}
    protocol: str = ""  # under which the measures were taken
    measure_due: bool = False  # whether it is still to be measured
    troubles: dict[str, int] = {}  # TrainingState.monitor_state
    scalers: list[dict[str, Any]] = [{}, {}]  # TrainingState.scalers
    processes: int = 1  # that trained; not written where it is one


def write(folder: Path, tensors: dict[str, Tensor], progress: CheckpointMetadata, config: TrainingConfig) -> Path:
    """Write checkpoint-<images seen>.safetensors and delete all but the last three and the best; returns its path."""
    path = folder / f"checkpoint-{progress.seen:09d}.safetensors"
    written = progress.model_dump_json(exclude={"processes"} if progress.processes == 1 else None)
    write_digested(path, tensors, {"progress": written, "config": config.model_dump_json()})
    kept = {*checkpoints(folder)[-_KEEP:], *_best_of_each_protocol(folder)}
    for old in checkpoints(folder):
        if old not in kept:
            old.unlink()
    return path


def read(path: Path) -> tuple[dict[str, Tensor], CheckpointMetadata]:
    """Read what `write` was given, without the configuration. Raises CheckpointError if any byte has changed."""
    try:
        tensors, metadata = read_digested(path)
        return tensors, CheckpointMetadata.model_validate_json(metadata["progress"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(path, error) from error


def read_metadata(path: Path) -> CheckpointMetadata:
    """Read a checkpoint's metadata only. Raises CheckpointError."""
    try:
        with safe_open(path, "pt") as file:
            return CheckpointMetadata.model_validate_json((file.metadata() or {})["progress"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(path, error) from error


def length(folder: Path) -> tuple[int, float]:
    """Images that a run has seen and seconds that it has trained, as of its last checkpoint. Raises CheckpointError."""
    last = read_metadata(checkpoints(folder)[-1])
    return last.seen, last.seconds


def images_of(path: Path) -> int:
    """Images that a checkpoint has seen, by the name of its file."""
    return int(path.stem.rpartition("-")[2])


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def ranked(folder: Path) -> list[Path]:
    """A run's checkpoints, best measures first.

    Checkpoints that were not measured, or under another protocol than the latest, come last, the latest of them first.
    """
    found = _metadata_of_all(folder)
    protocol = next((metadata.protocol for metadata in reversed(found.values()) if metadata.measures), "")
    return _ranked(found, protocol)


def measures_of(folder: Path, protocol: str) -> list[dict[str, float]]:
    """Measures of a run's readable checkpoints under one protocol, oldest first."""
    found = _metadata_of_all(folder).values()
    return [metadata.measures for metadata in found if metadata.measures and metadata.protocol == protocol]


def _metadata_of_all(folder: Path) -> dict[Path, CheckpointMetadata]:
    """Metadata of every readable checkpoint, oldest first."""
    found = {}
    for path in checkpoints(folder):
        try:
            found[path] = read_metadata(path)
        except CheckpointError:
            continue
    return found


def _best_of_each_protocol(folder: Path) -> list[Path]:
    """Best checkpoint of each protocol: a run may return to a protocol that it was measured under before.

    And the nearest to the data, where a later one is as good: how good the next ones are is told by that.
    """
    found = _metadata_of_all(folder)
    kept: list[Path] = []
    for protocol in {metadata.protocol for metadata in found.values() if metadata.measures}:
        measured = {path: metadata for path, metadata in found.items() if metadata.measures and metadata.protocol == protocol}
        kept += [_ranked(measured, protocol)[0], min(measured, key=lambda path: distance(measured[path].measures))]
    return kept


def _ranked(found: dict[Path, CheckpointMetadata], protocol: str) -> list[Path]:
    """The checkpoints, given oldest first, best first by their measures under one protocol."""
    paths = list(found)
    return [paths[i] for i in ranking([one.measures if one.protocol == protocol else {} for one in found.values()])]
