"""Verification of a folder of models at the start, and the choice of the default model."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gan import model_folder
from gan.errors import ModelFolderError
from gan.manifest import MANIFEST
from gan.model_folder import ModelFolder
from serving.settings import Settings

_SHIPPED = ("avatars", "fashion-mnist")  # the first that is there is the default of several models, if no setting says otherwise


class Verified(NamedTuple):
    """The contents of a folder of models."""

    folders: dict[str, ModelFolder]  # the good ones, by the names of their models
    default: str  # one of these names
    left_out: list[ModelFolderError]  # why others are not served


class SameNameError(ModelFolderError):
    """A good model folder whose model has the name of another one."""

    def __init__(self, path: Path, other: Path, name: str) -> None:
        self.path, self.name = path, name
        super().__init__(
            f"{path} and {other} hold models of one name, {name}, and the second is served: remove one of them, "
            f'or change "name" in {path / MANIFEST}'
        )


class DeadLinkError(ModelFolderError):
    """A link in the folder of models that leads nowhere, or to itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is a link to nowhere: put back what it leads to, or remove it")


def verify(settings: Settings) -> Verified:
    """Read and check every model folder, and leave out the bad ones.

    Raises ModelFolderError, with one sentence that says which file or setting is wrong and what to do, if the default model is one
    of the bad, or there is none.
    """
    good: list[ModelFolder] = []
    paths = model_folder.discover(settings.models)
    bad: list[tuple[str, ModelFolderError]] = [(error.path.name, error) for error in dead_links(settings.models)]
    for path in paths:
        try:
            good.append(model_folder.read(path))
        except ModelFolderError as error:
            bad.append((_name(path), error))
    folders: dict[str, ModelFolder] = {}
    same_names: list[ModelFolderError] = []
    # Of copies such as backup-shoes and shoes, the one with its model's name is served; else the first.
    for folder in sorted(good, key=lambda one: one.path.name != one.manifest.name):
        kept = folders.setdefault(folder.manifest.name, folder)
        if kept is not folder:
            same_names.append(SameNameError(folder.path, kept.path, folder.manifest.name))
    reasons: dict[str, ModelFolderError] = {}
    for name, reason in bad:
        reasons.setdefault(name, reason)
    default = _default(settings, folders, reasons)
    return Verified(dict(sorted(folders.items())), default, [reason for _, reason in bad] + same_names)


def _default(settings: Settings, folders: dict[str, ModelFolder], bad: dict[str, ModelFolderError]) -> str:
    """The name of the default model. Raises ModelFolderError if it is bad or cannot be determined."""
    models, names = settings.models, sorted(folders)
    default = settings.default_model or _only_or_shipped(names, bad)
    if default in folders:
        return default
    if default in bad or (bad and not folders):
        raise bad.get(default or "", next(iter(bad.values())))
    if not folders:
        if (models / MANIFEST).is_file():
            raise ModelFolderError(f"{models} is a model folder itself: set GAN_MODELS to the folder that it is in")
        raise ModelFolderError(
            f"there is no model in {models}: train one (python -m training.run), or set GAN_MODELS to a folder of models"
        )
    if default is None:
        raise ModelFolderError(f"there are several models in {models} ({', '.join(names)}): set GAN_DEFAULT_MODEL to one")
    raise ModelFolderError(f"GAN_DEFAULT_MODEL is {default}, but {models} holds {', '.join(names)}: set it to one of these")


def _only_or_shipped(names: list[str], bad: dict[str, ModelFolderError]) -> str | None:
    """The default model where no setting says which: also a bad folder's model, if it would be the default were it good."""
    shipped = next((name for name in _SHIPPED if name in names or name in bad), None)
    return shipped or (names[0] if len(names) == 1 else None)


def _name(path: Path) -> str:
    """The name of a bad folder's model: from its manifest if that can be read, else the folder's own."""
    try:
        return model_folder.read_manifest(path).name
    except ModelFolderError:
        return path.name


def dead_links(models: Path) -> list[DeadLinkError]:
    """An error for each link in the folder of models that leads nowhere."""
    entries = sorted(models.iterdir()) if models.is_dir() else []
    return [DeadLinkError(path) for path in entries if path.is_symlink() and not path.name.startswith(".") and _is_dead(path)]


def _is_dead(link: Path) -> bool:
    with suppress(OSError):  # it leads to where nobody may look: `model_folder.read` tells that
        return not link.exists()
    return False


def state_of(folder: Path) -> frozenset[tuple[str, int, int, int, int]]:
    """Name, inode, mode, size and time of every file of a folder: another set once any of them changes."""
    files = set()
    with suppress(OSError):  # it may be gone already, or not readable
        for path in folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                files.add((path.name, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns))
    return frozenset(files)
