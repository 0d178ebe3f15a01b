"""The model folder: read, verify, find, copy. See docs/design.md for what it holds."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from gan.atomic import write_atomically
from gan.errors import ModelFolderError
from gan.manifest import GENERATOR_FILES, MANIFEST, Manifest
from gan.manifest_versions import parse_manifest
from gan.paths import check_searchable

WEIGHTS, ONNX, TORCHSCRIPT = GENERATOR_FILES.values()
DISCRIMINATOR = "discriminator.safetensors"  # of models that this program trained
SAMPLES = "samples.png"
CARD = "README.md"


@dataclass(frozen=True)
class ModelFolder:
    """A folder whose manifest was read and whose files were found undamaged."""

    path: Path
    manifest: Manifest

    @property
    def title(self) -> str:
        """name@version, which names one set of weights for ever."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def content(self, name: str) -> bytes:
        """The bytes of a file that the manifest lists, compared with its digest there.

        They are to be used as they are: whoever opens the file by its name once more may find that of another version there.
        Raises ModelFolderError.
        """
        if name not in self.manifest.files:
            raise ModelFolderError(f"{self.path / name} is not listed in {MANIFEST}: {export_again_hint(self.path)}")
        with _opened(self.path / name) as file:
            content = file.read()
        _check(self.path / name, hashlib.sha256(content).hexdigest(), self.manifest.files[name])
        return content


def export_again_hint(folder: Path) -> str:
    """The remedy for exported files that do not do, with its command."""
    return f"export the model again (python -m training.export {folder})"


def read_manifest(path: Path) -> Manifest:
    """What model.json says, without a look at the other files. Raises ModelFolderError as `read` does."""
    manifest_path = path / MANIFEST
    if not os.path.lexists(path):
        raise ModelFolderError(f"there is no model folder {path}: train one (python -m training.run) or copy one there")
    try:
        with _opened(manifest_path) as file:
            return parse_manifest(file.read(), str(manifest_path))
    except ModelFolderError as error:
        others = [] if holds_model(path) else _weights_of_others(path)
        if not others:
            raise
        raise ModelFolderError(
            f"{path} is no model folder of this program, since it has no {MANIFEST}, and weights of other programs ({others[0]}) "
            "cannot be served: train a model (python -m training.run), or move the folder away"
        ) from error


def read(path: Path) -> ModelFolder:
    """Read the manifest and check every digest before a byte of the files is used.

    Raises ModelFolderError with one sentence that names the file and what to do.
    """
    manifest_path = path / MANIFEST
    manifest = read_manifest(path)
    for name, expected in manifest.files.items():
        with _opened(path / name) as file:
            _check(path / name, hashlib.file_digest(file, "sha256").hexdigest(), expected)
    if not manifest.files.get(manifest.source_file, "").startswith(manifest.version):
        raise ModelFolderError(
            f"{manifest_path} has a version ({manifest.version}) that is not that of {manifest.source_file or WEIGHTS}: "
            "copy the model folder again"
        )
    return ModelFolder(path, manifest)


def discover(models: Path) -> list[Path]:
    """The model folders below `models`, and links to such, in the order of their names.

    Passes over hidden folders, such as half-written ones, and folders that hold nothing of a model. Where it may not look a model
    may be, and weights of other programs were meant as one; `read` says more. Raises ModelFolderError if it may not look into
    `models` itself.
    """
    try:
        entries = sorted(models.iterdir())
        check_searchable(models)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(models, error) from error
    # lost+found is root's alone, in every file system of its own.
    return [path for path in entries if not path.name.startswith(".") and path.name != "lost+found" and _may_be_a_model(path)]


def holds_model(path: Path) -> bool:
    """Whether a folder holds a file of a model of this program, be it whole or not."""
    return any(os.path.lexists(path / name) for name in (MANIFEST, WEIGHTS, ONNX, TORCHSCRIPT))


def _may_be_a_model(path: Path) -> bool:
    try:
        names = [entry.name for entry in path.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        return error.errno != errno.ELOOP
    return MANIFEST in names or any(map(_looks_like_weights, names))


def _looks_like_weights(name: str) -> bool:
    return Path(name).suffix in (".safetensors", ".onnx", ".pth", ".pt", ".ckpt", ".pkl", ".h5")


def _weights_of_others(path: Path) -> list[str]:
    with suppress(OSError):
        return sorted(entry.name for entry in path.iterdir() if _looks_like_weights(entry.name))
    return []


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """A file to read. Raises ModelFolderError if it cannot be read, or is none: a pipe would have no end."""
    try:
        if path.exists() and not path.is_file():
            raise ModelFolderError(f"{path} is not a file: copy the model folder again")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise _unreadable(path, error) from error


def _check(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise ModelFolderError(
            f"{path} is damaged (its SHA-256 begins {found[:12]}, {MANIFEST} says {expected[:12]}): copy the model folder again"
        )


def _unreadable(path: Path, error: OSError) -> ModelFolderError:
    remedy = "let the user that reads it do so" if isinstance(error, PermissionError) else "copy the model folder again"
    return ModelFolderError(f"cannot read {path} ({error.strerror}): {remedy}")


def digests(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of each named file in a folder, as the manifest lists them."""
    found = {}
    for name in names:
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def copy(source: Path, target: Path, replace: bool = False, leave_out: tuple[str, ...] = ()) -> None:
    """Copy a model folder, but for the files named, in one step.

    Unless it is to be replaced, FileExistsError if something stands at `target`.
    """

    def fill(folder: Path) -> None:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*leave_out), dirs_exist_ok=True)

    write_atomically(target, fill, replace)
