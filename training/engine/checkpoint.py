"""Checkpoints: single files, written atomically, verified when they are read."""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gan import atomic
from gan.errors import GanServiceError
from training.config.schema import TrainingConfig
from training.evaluation.ranking import distance

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
    troubles: dict[str, int] = {}  # TrainingState.monitor_state
    scalers: list[dict[str, Any]] = [{}, {}]  # TrainingState.scalers


def write(folder: Path, tensors: dict[str, Tensor], progress: CheckpointMetadata, config: TrainingConfig) -> Path:
    """Write checkpoint-<images seen>.safetensors and delete all but the last three and the best; returns its path."""
    path = folder / f"checkpoint-{progress.seen:09d}.safetensors"
    # safetensors stores dense tensors only, so channels-last ones are copied to the standard layout.
    dense = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    metadata = {"progress": progress.model_dump_json(), "config": config.model_dump_json()}
    atomic.write_bytes_atomically(path, save(dense, {**metadata, "digest": _digest(dense, metadata)}))
    kept = {*checkpoints(folder)[-_KEEP:], *_best_of_each_protocol(folder)}
    for old in checkpoints(folder):
        if old not in kept:
            old.unlink()
    return path


def read(path: Path) -> tuple[dict[str, Tensor], CheckpointMetadata]:
    """Read what `write` was given, without the configuration. Raises CheckpointError if any byte has changed."""
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict
        if metadata.pop("digest", None) != _digest(tensors, metadata):
            raise ValueError("its content does not fit its digest")
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


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def ranked(folder: Path) -> list[Path]:
    """A run's checkpoints, best measures first.

    Checkpoints that were not measured, or under another protocol than the latest, come last, the latest of them first.
    """
    found = _metadata_of_all(folder)
    newest_first = list(reversed(found))
    protocol = next((found[path].protocol for path in newest_first if found[path].measures), "")
    return sorted(
        newest_first, key=lambda path: distance(found[path].measures) if found[path].protocol == protocol else float("inf")
    )


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
    """Best checkpoint of each protocol: a run may return to a protocol that it was measured under before."""
    worst_first = sorted(_metadata_of_all(folder).items(), key=lambda item: distance(item[1].measures), reverse=True)
    return list({metadata.protocol: path for path, metadata in worst_first if metadata.measures}.values())


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
