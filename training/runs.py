"""The folders of runs: which there are, which to go on with, and what may change when one goes on."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gan.artifact import write_bytes_atomically
from training.config import TrainingConfig

CONFIG = "config.yaml"
DATA, _LOCK = "data.json", ".lock"
# What does not change the weights that a run comes to after so many pictures.
_FREE_TO_CHANGE = {
    "images",
    "minutes",
    "sample_every",
    "checkpoint_every",
    "features",
    "inception_weights",
    "measure",
    "measure_final",
    "measure_sets",
}


class UsageError(Exception):
    """A command that cannot be carried out as given; the message names the flag and the remedy."""


def find(out: Path, resume: str) -> Path | None:
    """The run's folder; None if 'latest' is asked for and there is none. Raises UsageError for a folder that is no run."""
    if resume == "latest":
        return max((path.parent for path in out.glob(f"*/{CONFIG}")), default=None, key=_number)
    for folder in (Path(resume), out / resume):
        if (folder / CONFIG).is_file():
            return folder
    raise UsageError(f"--resume {resume}: no run there (a run's folder holds {CONFIG}); give one of {out}, or 'latest'")


def create(out: Path, title: str) -> Path:
    """A folder for a new run: <number>-<title>, with the next number."""
    out.mkdir(parents=True, exist_ok=True)
    number = max(map(_number, out.iterdir()), default=0)
    while True:
        number += 1
        folder = out / f"{number:03d}-{title}"
        try:
            folder.mkdir()
        except FileExistsError:  # another run was started at the same time
            continue
        return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from going on with this run; the lock ends with this process, however that ends. Raises UsageError."""
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"--resume {folder}: this run is going on in another process; stop that first") from error
        _remove_leftovers(folder)
        yield


def read_config(folder: Path) -> TrainingConfig:
    """A run's own configuration. Raises UsageError if its file cannot be read, ValidationError if it is none."""
    return TrainingConfig.model_validate(read_yaml(folder / CONFIG, "--resume"))


def write_config(folder: Path, config: TrainingConfig) -> None:
    """Config.yaml, fully resolved."""
    write_bytes_atomically(folder / CONFIG, to_yaml(config).encode())


def to_yaml(config: TrainingConfig) -> str:
    """One setting a line, in the order of --help."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_yaml(file: Path, flag: str) -> dict[str, Any]:
    """The settings in a YAML file. Raises UsageError, naming the flag that gave it."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{flag}: cannot read {file} ({error}); it must be a YAML file of settings") from error
    if not isinstance(content, dict):
        raise UsageError(f"{flag}: {file} must hold settings, one 'name: value' a line")
    return content


def check_changes(folder: Path, before: TrainingConfig, after: TrainingConfig, allowed: Collection[str]) -> None:
    """Raises UsageError, with a diff, if a setting that shapes the weights would change and is not named in `allowed`."""
    unknown = set(allowed) - set(TrainingConfig.model_fields)
    if unknown:
        raise UsageError(f"--change {min(unknown)}: there is no such setting; name them as in {CONFIG}")
    changes = [
        name
        for name in TrainingConfig.model_fields
        if name not in _FREE_TO_CHANGE and name not in allowed and getattr(before, name) != getattr(after, name)
    ]
    if changes:
        diff = "\n".join(f"  - {name}: {getattr(before, name)}\n  + {name}: {getattr(after, name)}" for name in changes)
        raise UsageError(
            f"--resume {folder} would change the run's configuration:\n{diff}\n"
            f"leave these flags out, start a new run, or, to go on with other settings, add --change {','.join(changes)}"
        )


def check_data(folder: Path, fingerprint: str, pictures: int, may_change: bool) -> None:
    """Remember what a run is trained on; raises UsageError if a run that goes on finds other pictures than it began with."""
    path, now = folder / DATA, {"fingerprint": fingerprint, "pictures": pictures}
    before = now
    if path.is_file():
        try:
            before = json.loads(path.read_text())
        except ValueError as error:
            raise UsageError(
                f"--resume {folder}: {path} is damaged; remove it to go on with the pictures as they are now"
            ) from error
    if before != now and not may_change:
        raise UsageError(
            f"--resume {folder}: --data has changed since the run began: it had {before['pictures']:,} pictures and has "
            f"{pictures:,}, not all the same; bring them back, start a new run, or, to go on with these, add --change data"
        )
    write_bytes_atomically(path, json.dumps(now).encode())


def check_writable(flag: str, folder: Path) -> None:
    """Raises UsageError if a run could not write there, before hours are spent. Leaves nothing behind."""
    standing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not standing.is_dir():
        raise UsageError(f"{flag} {folder}: {standing} is not a folder; give another")
    try:
        # Asked for by trying: permission bits do not tell of read-only file systems, nor root of anything.
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        raise UsageError(f"{flag} {folder}: cannot write to {standing} ({error.strerror}); give another folder") from error


def _remove_leftovers(folder: Path) -> None:
    """What a killed process was about to write: files and folders under hidden names."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _number(run: Path) -> int:
    number = run.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0
