"""Log and metrics of models that were loaded, refused or dropped."""

import logging
from collections.abc import Iterable

from gan.errors import ModelFolderError
from serving.loaded_model import LoadedModel
from serving.metrics import metrics
from serving.models import FolderGone

_log = logging.getLogger("bentoml.gan")


def report_refused(error: ModelFolderError) -> None:
    """Log and count a model folder that is not served."""
    metrics().reloads.labels("refused").inc()
    _log.error("not served, and nothing else was changed: %s", error)


def report_gone(gone: FolderGone) -> None:
    """Log a model folder that was removed, and count it if its model is no longer served."""
    folder = gone.model.folder
    if gone.still_served:
        _log.warning(
            "the folder of %s is gone (%s): as the default model it is served until the next start, which needs it back",
            folder.title,
            folder.path,
        )
        return
    metrics().reloads.labels("dropped").inc()
    _log.warning("no longer served, since its folder is gone (%s): %s", folder.path, folder.title)


def report_loaded(model: LoadedModel) -> None:
    """Log and count a model that is served from now on."""
    metrics().reloads.labels("taken").inc()
    _log.info("from now on: %s on %s", model.folder.title, model.runtime.name)


def publish_served(models: Iterable[LoadedModel]) -> None:
    """Set gan_model_info to the models that are served now."""
    metrics().model.now = {(model.folder.manifest.name, model.folder.manifest.version, model.runtime.name) for model in models}
