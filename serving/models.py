"""The models a service answers with."""

import multiprocessing
from dataclasses import dataclass
from http import HTTPStatus
from multiprocessing.connection import Connection

from gan import artifact, runtime
from gan.artifact import ModelFolder, ModelFolderError
from gan.latents import inputs
from serving.errors import RequestError
from serving.settings import Settings


def verify(settings: Settings) -> tuple[dict[str, ModelFolder], str]:
    """Read and check every model folder; returns them by name, and the name of the default model.

    Raises ModelFolderError with one sentence that says which file or setting is wrong and what to do.
    """
    folders: dict[str, ModelFolder] = {}
    for path in artifact.discover(settings.models):
        folder = artifact.read(path)
        if folder.manifest.name in folders:
            other = folders[folder.manifest.name].path
            raise ModelFolderError(f"{path} and {other} hold models of one name, {folder.manifest.name}: remove one of them")
        folders[folder.manifest.name] = folder
    if not folders:
        raise ModelFolderError(
            f"there is no model in {settings.models}: train one (python -m training.run), or set GAN_MODELS to a folder of models"
        )
    default = settings.default_model or (next(iter(folders)) if len(folders) == 1 else None)
    if default is None:
        raise ModelFolderError(
            f"there are several models in {settings.models} ({', '.join(folders)}): set GAN_DEFAULT_MODEL to one"
        )
    if default not in folders:
        raise ModelFolderError(
            f"GAN_DEFAULT_MODEL is {default}, but {settings.models} holds {', '.join(folders)}: set it to one of these"
        )
    return folders, default


def check_in_a_child(settings: Settings) -> None:
    """Load every model once and let it draw, in a process of its own that gives the memory back.

    Raises ModelFolderError with the one sentence that loading them here would raise.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_check, args=(settings, theirs))
    child.start()
    theirs.close()
    try:
        refused = ours.recv()
    except EOFError:
        child.join()
        refused = (
            f"loading the models in {settings.models} ended the process (exit status {child.exitcode}): is there memory enough?"
        )
    child.join()
    if refused:
        raise ModelFolderError(refused)


def _check(settings: Settings, answer: Connection) -> None:
    try:
        Models(settings)
        answer.send("")
    except ModelFolderError as error:
        answer.send(str(error))


@dataclass(frozen=True)
class LoadedModel:
    """A verified model that has drawn its first picture."""

    folder: ModelFolder
    runtime: runtime.Runtime


class Models:
    """All models of a service, loaded and warm."""

    def __init__(self, settings: Settings) -> None:
        """Raises ModelFolderError."""
        folders, self.default = verify(settings)
        self._by_name = {}
        for name, folder in folders.items():
            loaded = runtime.load(folder, settings.runtime, settings.device, settings.precision, settings.threads)
            shape = runtime.draw(loaded, inputs([0], folder.manifest.space)).shape
            manifest = folder.manifest
            if shape != (1, manifest.height, manifest.width, manifest.channels):
                raise ModelFolderError(
                    f"{folder.path} draws pictures of another shape, {shape}, than its manifest says: export it again"
                )
            self._by_name[name] = LoadedModel(folder, loaded)

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
        return [self._by_name[name] for name in sorted(self._by_name)]
