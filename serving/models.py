"""The models a service answers with."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path

from gan import artifact, runtime
from gan.artifact import ModelFolder, ModelFolderError
from gan.latents import inputs
from serving.errors import RequestError
from serving.fetching import fetch
from serving.settings import Settings

SHIPPED = "fashion-mnist"  # the default model where it is one of several and no setting says otherwise


def verify(settings: Settings) -> tuple[dict[str, ModelFolder], str]:
    """Read and check every model folder; returns them by name, and the name of the default model.

    Raises ModelFolderError with one sentence that says which file or setting is wrong and what to do.
    """
    folders: dict[str, ModelFolder] = {}
    for path in artifact.discover(settings.models):
        folder = artifact.read(path)
        if folder.manifest.name in folders:
            raise _one_name(path, folders[folder.manifest.name].path, folder.manifest.name)
        folders[folder.manifest.name] = folder
    if not folders:
        raise ModelFolderError(
            f"there is no model in {settings.models}: train one (python -m training.run), or set GAN_MODELS to a folder of models"
        )
    default = settings.default_model or (next(iter(folders)) if len(folders) == 1 else SHIPPED)
    if default not in folders and not settings.default_model:
        raise ModelFolderError(
            f"there are several models in {settings.models} ({', '.join(folders)}): set GAN_DEFAULT_MODEL to one"
        )
    if default not in folders:
        raise ModelFolderError(
            f"GAN_DEFAULT_MODEL is {default}, but {settings.models} holds {', '.join(folders)}: set it to one of these"
        )
    return folders, default


def check_in_a_child(settings: Settings) -> None:
    """Fetch what is to be fetched, load every model once and let it draw, in a process of its own that gives the memory back.

    Raises ModelFolderError with the one sentence that loading them here would raise.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_check, args=(settings, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        refused = ours.recv()
    except EOFError:
        child.join()
        refused = (
            f"loading the models in {settings.models} ended the process (exit status {child.exitcode}): is there memory enough?"
        )
    except SystemExit:  # asked to stop
        child.terminate()
        child.join(5)
        child.kill()
        raise
    child.join()
    if refused:
        raise ModelFolderError(refused)


def _check(settings: Settings, answer: Connection) -> None:
    try:
        for address in settings.fetch:
            fetch(address, settings.models)
        Models(settings.model_copy(update={"threads": 1}))  # nothing to choose then, and sooner done
        answer.send("")
    except ModelFolderError as error:
        answer.send(str(error))
    except Exception as error:  # what nobody foresaw is to be told too
        answer.send(f"cannot load the models in {settings.models} ({type(error).__name__}: {error})")
        raise


@dataclass(frozen=True)
class LoadedModel:
    """A verified model that has drawn its first picture."""

    folder: ModelFolder
    runtime: runtime.Runtime


class Models:
    """All models of a service, loaded and warm. What is read from it is always whole, whichever thread changes it."""

    def __init__(self, settings: Settings) -> None:
        """Raises ModelFolderError."""
        self._settings = settings
        self._changing = threading.Lock()
        self._seen = {path: _state(path) for path in artifact.discover(settings.models)}
        self._changing_folders: dict[Path, object] = {}
        folders, self.default = verify(settings)
        self._by_name = {name: self._load(folder) for name, folder in folders.items()}

    def choose(self, title: str | None) -> LoadedModel:
        """The model of this name or name@version; the default one for None. Raises RequestError, 404, if there is none."""
        title = self.default if title is None else title
        model = self._by_name.get(title.partition("@")[0])
        if model is None or title not in (model.folder.manifest.name, model.folder.title):
            there = ", ".join(loaded.folder.title for loaded in self.all())
            message = f"there is no model {title[:100]!r}; there is {there}"
            raise RequestError(HTTPStatus.NOT_FOUND, f"model: {message}", [(("model",), message)])
        return model

    def all(self) -> list[LoadedModel]:
        """Every model, in the order of their names."""
        by_name = self._by_name
        return [by_name[name] for name in sorted(by_name)]

    def reload(self, name: str) -> LoadedModel:
        """Take what now stands in the folder of a model. Blocks while it is loaded; the old one goes on meanwhile.

        Raises RequestError, 404 if no folder holds such a model, 409 with the reason if the folder is bad. Then nothing changes.
        """
        path = self._folder_of(name)
        if path is None:
            raise RequestError(HTTPStatus.NOT_FOUND, f"there is no model {name[:100]!r} in {self._settings.models}")
        try:
            return self._take(path)
        except ModelFolderError as error:
            raise RequestError(HTTPStatus.CONFLICT, str(error)) from error

    def look(self) -> Iterator[LoadedModel | ModelFolderError]:
        """Take every folder that has changed since it was last looked at, and hold still: the new models, and the bad folders.

        A folder that changes between two looks is being written, and is left until the next.
        """
        for path in artifact.discover(self._settings.models):
            state = _state(path)
            before, settled = self._seen.get(path), self._changing_folders.pop(path, None) == state
            if state == before:
                continue
            if not settled:
                self._changing_folders[path] = state
                continue
            try:
                yield self._take(path)
            except ModelFolderError as error:
                yield error

    def _take(self, path: Path) -> LoadedModel:
        """Verify, load, warm up, and only then put a model in the place of the one of its name. Raises ModelFolderError."""
        with self._changing:
            self._seen[path] = _state(path)
            folder = artifact.read(path)
            name = folder.manifest.name
            standing = self._by_name.get(name)
            if standing and standing.folder.path != path and standing.folder.path in artifact.discover(self._settings.models):
                raise _one_name(path, standing.folder.path, name)
            loaded = self._load(folder)
            # One assignment: a request finds the old set of models or the new. Those at work keep what they have begun with.
            self._by_name = {**self._by_name, name: loaded}
            return loaded

    def _load(self, folder: ModelFolder) -> LoadedModel:
        settings, manifest = self._settings, folder.manifest
        loaded = runtime.load(folder, settings.runtime, settings.device, settings.precision, settings.threads)
        shape = runtime.draw(loaded, inputs([0], manifest.space)).shape
        if shape != (1, manifest.height, manifest.width, manifest.channels):
            raise ModelFolderError(
                f"{folder.path} draws pictures of another shape, {shape}, than its manifest says: export it again"
            )
        return LoadedModel(folder, loaded)

    def _folder_of(self, name: str) -> Path | None:
        """That of the model of this name; of a folder that cannot be read, its own name."""
        if name in self._by_name and self._by_name[name].folder.path in artifact.discover(self._settings.models):
            return self._by_name[name].folder.path
        for path in artifact.discover(self._settings.models):
            try:
                found = artifact.read_manifest(path).name
            except ModelFolderError:
                found = path.name
            if found == name:
                return path
        return None


def _state(folder: Path) -> frozenset[tuple[str, int, int, int, int]]:
    """What changes when a file of a folder does."""
    found = set()
    with suppress(OSError):  # it may be gone already, or not be ours to look into
        for path in folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                found.add((path.name, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns))
    return frozenset(found)


def _one_name(path: Path, other: Path, name: str) -> ModelFolderError:
    return ModelFolderError(f"{path} and {other} hold models of one name, {name}: remove one of them")
