"""The environment of a run, recorded at its start, since the checkout may change while it trains."""

import subprocess
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from gan.atomic import write_bytes_atomically
from gan.manifest_parts import Environment
from training.errors import UsageError

_FILE = "environment.json"
_LIBRARIES = ("torch", "numpy", "onnx", "onnxruntime")


def record(folder: Path, hardware: str) -> Environment:
    """Write the environment into the folder of a new run; for a resumed one, read what was written at its start.

    Raises UsageError if that file is damaged.
    """
    path = folder / _FILE
    if path.is_file():
        try:
            return Environment.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise UsageError(
                f"{path} cannot be used: it is damaged: remove it, and today's environment will be recorded instead"
            ) from error
    environment = Environment(
        git_revision=_git_revision(),
        libraries={library: version(library) for library in _LIBRARIES},
        hardware=hardware,
    )
    write_bytes_atomically(path, environment.model_dump_json(indent=2).encode() + b"\n")
    return environment


def _git_revision() -> str | None:
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
