"""The models a service answers with."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path

from gan import model_folder, runtimes
from gan.errors import ModelFolderError
from gan.latents import inputs
from gan.model_folder import ModelFolder
from gan.runtimes.base import OnDevice, Runtime, at_once
from serving.errors import RequestError
from serving.fetching import fetch
from serving.folders import SameNameError, verify
from serving.settings import Settings


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
    """A verified model that has drawn its first image."""

    folder: ModelFolder
    runtime: Runtime


@dataclass(frozen=True)
class FolderGone:
    """A model whose folder was taken away."""

    model: LoadedModel
    still_served: bool  # as the default model is


class Models:
    """All models of a service, loaded and warm. What is read from it is always whole, whichever thread changes it."""

    def __init__(self, settings: Settings, on_device: OnDevice = at_once) -> None:
        """`on_device` runs something where the device can be had alone, also while others are being answered.

        Raises ModelFolderError if the default model is bad. Other bad folders are left out.
        """
        self._settings, self._on_device = settings, on_device
        self._changing = threading.Lock()
        self._changing_folders: dict[Path, object] = {}
        self._seen = {path: _state(path) for path in model_folder.discover(settings.models)}
        self._same_names: set[Path] = set()  # folders that wait for another one's name
        self._missing: set[str] = set()  # models whose folder the last look did not find
        self._displaced: set[str] = set()  # models in whose folder another one was found
        self._told: set[str] = set()  # those of them that are served all the same, which was said
        self._is_blind = False  # whether the last look found no folder of models
        try:
            self._open()
        except ModelFolderError:
            if all(_state(path) == state for path, state in self._seen.items()):
                raise
            self._open()  # a folder was exchanged while it was read

    def _open(self) -> None:
        folders, self.default, self.left_out = verify(self._settings)
        self._same_names = {error.path for error in self.left_out if isinstance(error, SameNameError)}
        self._by_name: dict[str, LoadedModel] = {}
        for name, folder in folders.items():
            try:
                self._by_name[name] = self._load(folder)
            except ModelFolderError as error:
                if name == self.default:
                    raise
                self.left_out.append(error)

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
        try:
            path = self._folder_of(name)
            if path is None:
                raise RequestError(HTTPStatus.NOT_FOUND, f"there is no model {name[:100]!r} in the folder of models")
            return self._take(path)
        except ModelFolderError as error:
            raise RequestError(HTTPStatus.CONFLICT, self._without_its_place(str(error))) from error

    def _without_its_place(self, text: str) -> str:
        """What is said of folders, by their names alone: where they lie concerns nobody who comes by HTTP."""
        models = self._settings.models
        for place in sorted({str(models), str(models.absolute()), str(models.resolve())}, key=len, reverse=True):
            text = text.replace(f"{place}/", "").replace(place, "the folder of models")
        return text

    def look(self) -> Iterator[LoadedModel | FolderGone | ModelFolderError]:
        """Take every folder that has changed since it was last looked at, and holds still; drop models whose folder is gone.

        A folder that changes between two looks is being written, and is left until the next. One that two looks do not find was
        taken away; the default model is served all the same. Where the folder of models itself cannot be seen nothing changes.
        """
        try:
            paths = model_folder.discover(self._settings.models)
            if not self._settings.models.is_dir():
                raise ModelFolderError(f"there is no folder {self._settings.models}: put it back, or start again with another")
        except ModelFolderError as error:
            if not self._is_blind:
                yield error
            self._is_blind = True
            return
        self._is_blind = False
        yield from self._take_changed(paths)
        yield from self._drop_missing(paths)

    def _take_changed(self, paths: list[Path]) -> Iterator[LoadedModel | ModelFolderError]:
        for path in paths:
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

    def _drop_missing(self, paths: list[Path]) -> Iterator[FolderGone]:
        missing = {
            name: model for name, model in self._by_name.items() if model.folder.path not in paths or name in self._displaced
        }
        for name, model in missing.items():
            if name not in self._missing or (name == self.default and name in self._told):
                continue
            with self._changing:
                if self._by_name.get(name) is not model:  # its folder was found elsewhere meanwhile
                    continue
                if name == self.default:
                    self._told.add(name)
                else:
                    self._by_name = {other: kept for other, kept in self._by_name.items() if other != name}
                # Should it come back, or another folder of its name be there, that is news.
                for path in {model.folder.path, *self._same_names} - ({model.folder.path} & set(paths)):
                    self._seen.pop(path, None)
            yield FolderGone(model, still_served=name == self.default)
        self._missing = set(missing)
        self._told &= self._missing

    def _take(self, path: Path) -> LoadedModel:
        """Verify, load, warm up, and only then put a model in the place of the one of its name. Raises ModelFolderError."""
        with self._changing:
            try:
                return self._take_as_it_is(path)
            except ModelFolderError:
                if _state(path) == self._seen[path]:
                    raise
                return self._take_as_it_is(path)  # it was exchanged while it was read

    def _take_as_it_is(self, path: Path) -> LoadedModel:
        self._seen[path] = _state(path)
        self._same_names.discard(path)
        folder = model_folder.read(path)
        name = folder.manifest.name
        standing = self._by_name.get(name)
        if standing and standing.folder.path != path and standing.folder.path in model_folder.discover(self._settings.models):
            self._same_names.add(path)
            raise SameNameError(path, standing.folder.path, name)
        loaded = self._load(folder)
        displaced = {other for other, model in self._by_name.items() if model.folder.path == path}
        self._displaced = (self._displaced | displaced) - {name}
        # One assignment: a request finds the old set of models or the new. Those at work keep what they have begun with.
        self._by_name = {**self._by_name, name: loaded}
        return loaded

    def _load(self, folder: ModelFolder) -> LoadedModel:
        settings, manifest = self._settings, folder.manifest
        loaded = runtimes.load(
            folder, settings.runtime, settings.device, settings.precision, settings.threads, on_device=self._on_device
        )
        shape = self._on_device(lambda: runtimes.generate_images(loaded, inputs([0], manifest.space)).shape)
        if shape != (1, manifest.height, manifest.width, manifest.channels):
            raise ModelFolderError(
                f"{folder.path} draws images of another shape, {shape}, than its manifest says: "
                f"{model_folder.export_again(folder.path)}"
            )
        return LoadedModel(folder, loaded)

    def _folder_of(self, name: str) -> Path | None:
        """The folder of the model of this name; a folder that cannot be read counts by its own name."""
        if name in self._by_name and self._by_name[name].folder.path in model_folder.discover(self._settings.models):
            return self._by_name[name].folder.path
        for path in model_folder.discover(self._settings.models):
            try:
                found = model_folder.read_manifest(path).name
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
