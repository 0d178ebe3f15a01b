"""The model folder: read, verify, write. See docs/design.md for what it holds."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gan.latents import Code, Distribution, Space

MANIFEST = "model.json"
WEIGHTS = "generator.safetensors"
ONNX = "generator.onnx"
TORCHSCRIPT = "generator.torchscript.pt"
SAMPLES = "samples.png"
CARD = "README.md"
TEMPORARY = ".gan-tmp-"  # how the names of all begin that is being written here; what a killed process leaves of it may be removed

ArchitectureName = Literal["mlp", "dcgan", "resnet", "r3gan"]  # the network families, one file each in gan/networks/

_NAME = r"[a-z0-9][a-z0-9._-]{0,99}"


class ModelFolderError(Exception):
    """A model folder that cannot be used; the message is one sentence that names the file, the reason and the remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Part):
    """Which network family the weights belong to, and the arguments that build its generator."""

    name: ArchitectureName
    arguments: dict[str, int]


class Export(_Part):
    """How far an exported file is from the network in memory."""

    largest_difference: float  # over all components of all pictures, which lie in [-1, 1]
    tolerance: float  # over which the export would have been refused
    latents: int  # that were compared


class Sampling(_Part):
    """What a request gets that does not say otherwise."""

    truncation: float | None = Field(None, gt=0, le=1)


class Environment(_Part):
    """What a training run was started with, beside its configuration."""

    git_revision: str | None  # None outside a git checkout; ends in -dirty if files were changed
    libraries: dict[str, str]  # name -> version
    hardware: str  # device, threads and precision


class Origin(_Part):
    """Where the weights came from, so that they can be made again."""

    dataset: str
    dataset_fingerprint: str  # SHA-256 over the pictures as the network saw them
    dataset_pictures: int
    config: dict[str, Any]  # the training run's, fully resolved
    environment: Environment
    seed: int
    pictures_seen: int
    wall_time_seconds: float


class Metric(_Part):
    """A measured quality; the protocol says how, since two numbers compare only under the same one."""

    name: str
    value: float
    protocol: str  # features, counts, split, sizes, parameters
    real: float | None = None  # what real pictures that are not the reference get under the same protocol


class Manifest(_Part):
    """model.json: all that is to be known of a model without opening its weights."""

    format_version: Literal[1] = 1
    name: str = Field(pattern=f"^{_NAME}$")
    version: str = Field(pattern="^[0-9a-f]{12}$")  # first digits of the SHA-256 of the weights
    architecture: Architecture
    z_dim: int = Field(gt=0)
    latent: Distribution = "normal"
    channels: Literal[1, 3]
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    classes: list[str] | None = Field(None, min_length=1)  # names of the labels, absent for an unconditional model
    codes: list[Code] = []
    sampling: Sampling = Sampling(truncation=None)
    exports: dict[str, Export]
    origin: Origin
    metrics: list[Metric] = []
    licence: str
    files: dict[str, str]  # name -> SHA-256, for every file that is read by a program

    @model_validator(mode="after")
    def _name_inputs_apart(self) -> Self:
        names = self.space.names
        if len(set(names)) < len(names) or "label" in [code.name for code in self.codes]:
            raise ValueError("two inputs of the model have one name")
        return self

    @property
    def space(self) -> Space:
        """What the generator draws from."""
        return Space(self.z_dim, self.latent, None if self.classes is None else len(self.classes), tuple(self.codes))


@dataclass(frozen=True)
class ModelFolder:
    """A folder whose manifest was read and whose files were found undamaged."""

    path: Path
    manifest: Manifest

    @property
    def title(self) -> str:
        """name@version, which names one set of weights for ever."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def file(self, name: str) -> Path:
        """The path of a file that was verified; ModelFolderError if the manifest does not list it."""
        if name not in self.manifest.files:
            raise ModelFolderError(f"{self.path / name} is not listed in {MANIFEST}: export the model again")
        return self.path / name


def read_manifest(path: Path) -> Manifest:
    """What model.json says, without a look at the other files. Raises ModelFolderError as `read` does."""
    manifest_path = path / MANIFEST
    if not os.path.lexists(path):
        raise ModelFolderError(f"there is no model folder {path}: train one (python -m training.run) or copy one there")
    try:
        return parse_manifest(manifest_path.read_bytes(), str(manifest_path))
    except OSError as error:
        raise _unreadable(manifest_path, error) from error


def parse_manifest(text: bytes, where: str) -> Manifest:
    """What the model.json found at `where` says. Raises ModelFolderError as `read` does."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ModelFolderError(
            f"{where} is not a manifest this version understands ({field}: {first['msg']}): copy the model folder again"
        ) from error
    for name in manifest.files:
        if Path(name).name != name:
            raise ModelFolderError(f"{where} names a file outside its folder ({name}): do not use this model folder")
    return manifest


def read(path: Path) -> ModelFolder:
    """Read the manifest and check every digest before a byte of the files is used.

    Raises ModelFolderError with one sentence that names the file and what to do.
    """
    manifest_path = path / MANIFEST
    manifest = read_manifest(path)
    for name, expected in manifest.files.items():
        try:
            with (path / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(path / name, error) from error
        if found != expected:
            raise ModelFolderError(
                f"{path / name} is damaged (its SHA-256 begins {found[:12]}, {MANIFEST} says {expected[:12]}): "
                "copy the model folder again"
            )
    if not manifest.files.get(WEIGHTS, "").startswith(manifest.version):
        raise ModelFolderError(
            f"{manifest_path} has a version ({manifest.version}) that is not that of {WEIGHTS}: copy the model folder again"
        )
    return ModelFolder(path, manifest)


def discover(models: Path) -> list[Path]:
    """The model folders below `models`, in the order of their names.

    Passes over hidden folders, such as half-written ones, and folders that hold nothing of a model. Where it may not look a model
    may be; `read` says more. Raises ModelFolderError if it may not look into `models` itself.
    """
    try:
        entries = sorted(models.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise _unreadable(models, error) from error
    # lost+found is root's alone, in every file system of its own.
    return [path for path in entries if not path.name.startswith(".") and path.name != "lost+found" and _may_be_a_model(path)]


def _may_be_a_model(path: Path) -> bool:
    try:
        return any((path / name).exists() for name in (MANIFEST, WEIGHTS, ONNX, TORCHSCRIPT))
    except PermissionError:
        return True


def _unreadable(path: Path, error: OSError) -> ModelFolderError:
    remedy = "let the user that reads it do so" if isinstance(error, PermissionError) else "copy the model folder again"
    return ModelFolderError(f"cannot read {path} ({error.strerror}): {remedy}")


def digests(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of each named file in a folder, as the manifest lists them."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def write_atomically(target: Path, fill: Callable[[Path], None], replace: bool = False) -> None:
    """Let `fill` write into a temporary folder beside `target`, make it durable, and rename it to `target`.

    Whoever looks sees a whole folder or, for a moment while one is replaced, none. Unless it is to be replaced, raises
    FileExistsError, before anything is written, if something stands at `target`.
    """
    if os.path.lexists(target) and not replace:
        raise FileExistsError(f"{target} stands already")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{target.name}.", dir=target.parent))
    try:
        fill(temporary)
        for path in temporary.iterdir():
            path.chmod(0o644)
            _sync(path)
        temporary.chmod(0o755)
        _sync(temporary)
        if os.path.lexists(target):
            if not replace:  # somebody else has put it there meanwhile
                raise FileExistsError(f"{target} stands already")
            old = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{target.name}.old.", dir=target.parent))
            target.rename(old)
            temporary.rename(target)
            shutil.rmtree(old)
        else:
            temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(target.parent)


def write_bytes_atomically(target: Path, content: bytes) -> None:
    """Write a file such that whoever looks sees the old content or the new, never a part, even after a power cut."""
    descriptor, temporary = tempfile.mkstemp(prefix=f"{TEMPORARY}{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).rename(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(target.parent)


def copy(source: Path, target: Path, replace: bool = False, leave_out: tuple[str, ...] = ()) -> None:
    """Copy a model folder, but for the files named, in one step.

    Unless it is to be replaced, FileExistsError if something stands at `target`.
    """

    def fill(folder: Path) -> None:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*leave_out), dirs_exist_ok=True)

    write_atomically(target, fill, replace)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
