"""The models a service answers with."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from gan import freed_memory, model_folder
from gan.errors import ModelFolderError
from gan.runtimes.base import RunExclusively, run_inline
from serving.errors import RequestError
from serving.folders import DeadLinkError, SameNameError, dead_links, state_of, verify
from serving.loaded_model import LoadedModel, load
from serving.settings import Settings


@dataclass(frozen=True)
class FolderGone:
    """A model whose folder was removed."""

    model: LoadedModel
    still_served: bool  # which the default model is


class Models:
    """All models of a service, loaded and warm. Readers see a complete set of models, whichever thread changes it."""

    def __init__(self, settings: Settings, on_device: RunExclusively = run_inline) -> None:
        """`on_device` runs work while no batch is on the device; requests go on being answered.

        Raises ModelFolderError if the default model is bad. Other bad folders are left out.
        """
        self._settings, self._on_device = settings, on_device
        self._changing = threading.Lock()
        self._changing_folders: dict[Path, object] = {}
        self._states = {path: state_of(path) for path in model_folder.discover(settings.models)}  # when last loaded or refused
        self._same_names: dict[Path, str] = {}  # folders left out because another one has their model's name, and that name
        self._dead_links: set[Path] = set()  # links to nowhere that the last scan found, and those that were reported
        self._reported_links: set[Path] = set()
        self._missing: set[str] = set()  # models whose folder the last scan did not find
        self._displaced: set[str] = set()  # models whose folder now holds another model
        self._reported_gone: set[str] = set()  # models of either kind that are served all the same, as was reported
        self._models_missing = False  # whether the last scan did not find the folder of models
        try:
            self._load_all()
        except ModelFolderError:
            if all(state_of(path) == state for path, state in self._states.items()):
                raise
            self._load_all()  # a folder was exchanged while it was read
        freed_memory.trim()

    def _load_all(self) -> None:
        folders, self.default, self.left_out = verify(self._settings)
        self._same_names = {error.path: error.name for error in self.left_out if isinstance(error, SameNameError)}
        self._reported_links = {error.path for error in self.left_out if isinstance(error, DeadLinkError)}
        self._by_name: dict[str, LoadedModel] = {}
        for name, folder in folders.items():
            try:
                self._by_name[name] = load(folder, self._settings, self._on_device)
            except ModelFolderError as error:
                if name == self.default:
                    raise
                self.left_out.append(error)

    def get(self, title: str | None) -> LoadedModel:
        """The model of this name or name@version; the default one for None. Raises RequestError, 404, if there is none."""
        title = self.default if title is None else title
        model = self._by_name.get(title.partition("@")[0])
        if model is None or title not in (model.folder.manifest.name, model.folder.title):
            titles = ", ".join(loaded.folder.title for loaded in self.all())
            message = f"there is no model {title[:100]!r}; there is {titles}"
            raise RequestError(HTTPStatus.NOT_FOUND, f"model: {message}", [(("model",), message)])
        return model

    def all(self) -> list[LoadedModel]:
        """Every model, in the order of their names."""
        by_name = self._by_name
        return [by_name[name] for name in sorted(by_name)]

    def reload(self, name: str) -> LoadedModel:
        """Load what the folder of a model holds now. Blocks until it is loaded; the old model is served meanwhile.

        Raises RequestError, 404 if no folder holds such a model, 409 with the reason if the folder is bad. Then nothing changes.
        """
        try:
            path = self._folder_of(name)
            if path is None:
                raise RequestError(HTTPStatus.NOT_FOUND, f"there is no model {name[:100]!r} in the folder of models")
            return self._load_from(path)
        except ModelFolderError as error:
            raise RequestError(HTTPStatus.CONFLICT, self._without_paths(str(error))) from error

    def _without_paths(self, text: str) -> str:
        """A message with folders by their names alone: their paths are not for callers over HTTP."""
        models = self._settings.models
        for path in sorted({str(models), str(models.absolute()), str(models.resolve())}, key=len, reverse=True):
            text = text.replace(f"{path}/", "").replace(path, "the folder of models")
        return text

    def scan(self) -> Iterator[LoadedModel | FolderGone | ModelFolderError]:
        """Load every folder that has changed since it was loaded, but not since the last scan; drop models whose folder is gone.

        A folder that changes between two scans is being written, and is left until the next. One that two scans do not find was
        removed; the default model is served all the same. Where the folder of models itself cannot be read nothing changes.
        """
        try:
            paths = model_folder.discover(self._settings.models)
            if not self._settings.models.is_dir():
                raise ModelFolderError(f"there is no folder {self._settings.models}: put it back, or start again with another")
        except ModelFolderError as error:
            if not self._models_missing:
                yield error
            self._models_missing = True
            return
        self._models_missing = False
        yield from self._new_dead_links()
        with self._changing:  # a folder that returns, even unchanged, must be found changed
            for path in self._states.keys() - set(paths):
                del self._states[path]
        yield from self._load_changed(paths)
        yield from self._drop_missing(paths)

    def _new_dead_links(self) -> Iterator[ModelFolderError]:
        errors = {error.path: error for error in dead_links(self._settings.models)}
        found, lasting = set(errors), set(errors) & self._dead_links  # one that only this scan finds may be about to be replaced
        yield from (errors[path] for path in sorted(lasting - self._reported_links))
        self._dead_links, self._reported_links = found, found & (self._reported_links | lasting)

    def _load_changed(self, paths: list[Path]) -> Iterator[LoadedModel | ModelFolderError]:
        for path in paths:
            state = state_of(path)
            before, settled = self._states.get(path), self._changing_folders.pop(path, None) == state
            if state == before:
                continue
            if not settled:
                self._changing_folders[path] = state
                continue
            try:
                yield self._load_from(path)
            except ModelFolderError as error:
                yield error

    def _drop_missing(self, paths: list[Path]) -> Iterator[FolderGone]:
        missing = {
            name: model for name, model in self._by_name.items() if model.folder.path not in paths or name in self._displaced
        }
        for path, name in self._same_names.items():
            if name in missing and path in self._states:  # another folder has a model of this name: the next scan loads it
                self._changing_folders[path] = self._states.pop(path)
        for name, model in missing.items():
            if name not in self._missing or (name == self.default and name in self._reported_gone):
                continue
            with self._changing:
                if self._by_name.get(name) is not model:  # its folder was found elsewhere meanwhile
                    continue
                if name == self.default:
                    self._reported_gone.add(name)
                else:
                    self._by_name = {other: kept for other, kept in self._by_name.items() if other != name}
            yield FolderGone(model, still_served=name == self.default)
        self._missing = set(missing)
        self._reported_gone &= self._missing

    def _load_from(self, path: Path) -> LoadedModel:
        """Verify, load, warm up, and only then replace the model of the same name. Raises ModelFolderError."""
        with self._changing:
            try:
                loaded = self._load_once(path)
            except ModelFolderError:
                if state_of(path) == self._states.get(path):
                    raise
                loaded = self._load_once(path)  # it was exchanged while it was read
            freed_memory.trim()
            return loaded

    def _load_once(self, path: Path) -> LoadedModel:
        self._states[path] = state_of(path)
        self._same_names.pop(path, None)
        folder = model_folder.read(path)
        name = folder.manifest.name
        served = self._by_name.get(name)
        elsewhere = served is not None and name not in self._displaced and served.folder.path != path
        if served and elsewhere and served.folder.path in model_folder.discover(self._settings.models):
            self._same_names[path] = name
            raise SameNameError(path, served.folder.path, name)
        loaded = load(folder, self._settings, self._on_device)
        displaced = {other for other, model in self._by_name.items() if model.folder.path == path}
        self._displaced = (self._displaced | displaced) - {name}
        # One assignment: a request finds the old set of models or the new. Those under way keep the model they began with.
        self._by_name = {**self._by_name, name: loaded}
        return loaded

    def _folder_of(self, name: str) -> Path | None:
        """The folder of the model of this name; a folder that cannot be read counts by its own name."""
        if name in self._by_name and self._by_name[name].folder.path in model_folder.discover(self._settings.models):
            return self._by_name[name].folder.path
        for path in model_folder.discover(self._settings.models):
            try:
                folder_name = model_folder.read_manifest(path).name
            except ModelFolderError:
                folder_name = path.name
            if folder_name == name:
                return path
        return None
