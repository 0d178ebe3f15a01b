"""The folders of runs: which there are, which to go on with, and what may change when one goes on."""

import fcntl
import json
import os
import reprlib
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gan.atomic import TEMPORARY, write_bytes_atomically
from gan.paths import expand
from training.cli.flags import reasons
from training.config.schema import TrainingConfig, current_name
from training.errors import UsageError

CONFIG = "config.yaml"
DATA, _LOCK = "data.json", ".lock"
PICTURES = "pictures"  # what --change names to go on with others
# What does not change the weights that a run comes to after so many images.
_FREE_TO_CHANGE = {
    "data",  # where the images are; that they are the same ones is for `check_data` to see
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


def find(out: Path, resume: str) -> Path | None:
    """The run's folder; None if 'latest' is asked for and there is none. Raises UsageError for a folder that is no run."""
    if resume == "latest":
        return max((path.parent for path in out.glob(f"*/{CONFIG}")), default=None, key=_number)
    try:
        resume = expand(resume)
    except ValueError as error:
        raise UsageError(f"--resume: {error}") from error
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
    """A run's own configuration. Raises UsageError if its file cannot be read or is none."""
    settings = read_yaml(folder / CONFIG, "--resume")
    return validated(settings, folder / CONFIG, settings)


def validated(settings: dict[str, Any], file: Path | None, in_file: Collection[str]) -> TrainingConfig:
    """The configuration of these settings. Raises UsageError, which names the file for those settings that are from there."""
    try:
        return TrainingConfig.model_validate(settings)
    except ValidationError as error:
        raise UsageError("\n".join(reasons(error, file, in_file))) from error


def write_config(folder: Path, config: TrainingConfig) -> None:
    """Config.yaml, fully resolved."""
    write_bytes_atomically(folder / CONFIG, to_yaml(config).encode())


def to_yaml(config: TrainingConfig) -> str:
    """One setting a line, in the order of --help."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_yaml(file: Path, flag: str) -> dict[str, Any]:
    """The settings in a YAML file, by their names. Raises UsageError, naming the flag that gave it."""
    try:
        content = yaml.load(file.read_bytes(), _Loader)  # noqa: S506, as safe as the class that it extends
    except OSError as error:
        raise UsageError(f"{flag}: cannot read {file} ({error.strerror}); it must be a YAML file of settings") from error
    # What pyyaml lets through of values that are none, such as the 45th of a month.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{flag}: cannot read {file} ({reason}); it must be a YAML file of settings") from error
    if not isinstance(content, dict):
        raise UsageError(f"{flag}: {file} must hold settings, one 'name: value' a line, and holds {_kind(content)}")
    # As flags are written too: batch-size for batch_size.
    settings: dict[str, Any] = {}
    for written, value in content.items():
        name = current_name(written.replace("-", "_") if isinstance(written, str) else str(written), f"{flag} {file}")
        if name in settings:
            raise UsageError(f"{flag}: {file} has {name} twice, once as {written}; leave one of them out")
        settings[name] = value
    return settings


class _Loader(yaml.SafeLoader):
    """Refuses a file that gives one setting twice, of which YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [str(key.value).replace("-", "_") for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} is given twice: keep one of them", node.start_mark)
        return super().construct_mapping(node, deep)


def _kind(content: Any) -> str:
    return "nothing" if content is None else f"{reprlib.repr(content)}"


def check_changes(folder: Path, before: TrainingConfig, after: TrainingConfig, allowed: Collection[str]) -> None:
    """Raises UsageError, with a diff, if a setting that shapes the weights would change and is not named in `allowed`."""
    unknown = set(allowed) - set(TrainingConfig.model_fields) - {PICTURES}
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


def fingerprint_of(folder: Path) -> str | None:
    """That of the images that a run began with; None where the file that has it is missing or damaged."""
    try:
        return str(json.loads((folder / DATA).read_text())["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def check_data(folder: Path, data: str, fingerprint: str, images: int, may_change: bool) -> None:
    """Remember what a run is trained on, which is now at `data`.

    Raises UsageError if a run that goes on finds other images than it began with; where they are does not matter.
    """
    path, now = folder / DATA, {"fingerprint": fingerprint, "pictures": images}
    before, place = _data_before(folder)
    if not may_change and before is not None and before != now:
        had, marks = before["pictures"], (before["fingerprint"][:12], fingerprint[:12])
        moved = "" if place in (None, data) else f", and those of {place} before"
        raise UsageError(
            f"--resume {folder}: --data has changed since the run began: it had {had:,} images and has {images:,}, not all the "
            f"same, or read in another way since (docs/training.md, The data; fingerprints {marks[0]} and {marks[1]}; those of "
            f"{data} now{moved}); bring the first ones back, start a new run, or, to go on with these others, add "
            f"--change {PICTURES}"
        )
    if not may_change and before is None and place not in (None, data):
        raise UsageError(
            f"--resume {folder}: whether --data {data} holds the images that the run began with, of {place}, cannot be told, "
            f"since {path} is not there; to go on with these, add --change {PICTURES}"
        )
    write_bytes_atomically(path, json.dumps(now).encode())


def _data_before(folder: Path) -> tuple[dict[str, Any] | None, str | None]:
    """What a run that goes on was trained on until now, and where that was; None for what is not known. Raises UsageError."""
    path = folder / DATA
    place = read_config(folder).data if (folder / CONFIG).is_file() else None
    if not path.is_file():
        return None, place
    try:
        before = json.loads(path.read_bytes())
        if (type(before["fingerprint"]), type(before["pictures"])) != (str, int):
            raise TypeError
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UsageError(f"--resume {folder}: {path} is damaged; remove it to go on with the images as they are now") from error
    return before, place


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
    """What a killed process was about to write. Other hidden files and folders, such as .git, are people's own."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _number(run: Path) -> int:
    number = run.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0
