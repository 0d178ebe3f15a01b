"""The front door: the BentoML service. `make serve` starts it; the routes are in serving/app.py."""

import logging
import tomllib
from pathlib import Path

import bentoml
from pydantic import ValidationError

from gan.artifact import ModelFolderError
from serving.app import Api
from serving.batching import Batcher
from serving.models import Models, check_in_a_child
from serving.settings import Settings

_log = logging.getLogger("bentoml.gan")

# Image.pyproject_toml() would read it from the working directory, which need not be this one.
_DEPENDENCIES = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text())["project"]["dependencies"]

api = Api()


@bentoml.service(
    name="gan-service",
    image=bentoml.images.Image(lock_python_packages=False).python_packages(*_DEPENDENCIES),
)
@bentoml.asgi_app(api, path="/")
class GanService:
    """Draws pictures with a trained generator: the same picture for the same seed."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Before any worker starts: refuse bad settings and bad model folders in one sentence."""
        try:
            check_in_a_child(Settings())
        except ValidationError as error:
            first = error.errors()[0]
            raise SystemExit(f"gan-service: GAN_{str(first['loc'][0]).upper()}: {first['msg']}, not {first['input']!r}") from None
        except ModelFolderError as error:
            raise SystemExit(f"gan-service: {error}") from None

    def __init__(self) -> None:
        settings = Settings()
        self._ready = False
        models = Models(settings)
        self._batcher = Batcher()
        api.open(models, self._batcher, settings)
        self._ready = True
        for model in models.all():
            _log.info("ready: %s on %s", model.folder.title, model.runtime.name)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """After the last answer."""
        self._batcher.close()

    def __is_ready__(self) -> bool:
        """/readyz: every model has drawn a picture."""
        return self._ready
