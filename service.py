"""The front door: the BentoML service. `make serve` starts it; the routes are in serving/app.py."""

import asyncio
import json
import logging
import math
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import bentoml
import uvicorn

# BentoML has no public name for the class that its own keyword `service_class` asks to derive from.
from _bentoml_sdk import Service
from bentoml.exceptions import BentoMLException
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from gan.artifact import ModelFolderError
from serving.app import Api
from serving.auth import RequireKey
from serving.batching import Batcher
from serving.errors import RequestError
from serving.metrics import metrics
from serving.models import Models, check_in_a_child
from serving.schema import GenerateRequest
from serving.settings import Settings

_log = logging.getLogger("bentoml.gan")


class BuildArguments(BaseModel):
    """What `bentoml build --arg NAME=VALUE` takes. A bento keeps what it was built with."""

    gpu: bool = False
    """whether the image is to hold torch with CUDA and draw with it"""


_gpu = bentoml.use_arguments(BuildArguments).gpu
_PYTHON = "3.11"
_packages = Path(__file__).parent / "deploy" / f"requirements-{'gpu' if _gpu else 'cpu'}.txt"  # pinned, with hashes; `make lock`

# Here is only what bentofile.yaml cannot say. Any other distro brings a layer with a compiler and git, four times the size of this
# service, and the switch between two lists of packages has no name there.
_image = (
    bentoml.images.Image(base_image=f"python:{_PYTHON}-slim", python_version=_PYTHON, distro="none", lock_python_packages=False)
    .run("pip install --no-cache-dir --root-user-action ignore uv==0.13.9")  # BentoML would take any version, and keep its cache
    .python_packages(*_packages.read_text().splitlines())  # requirements_file() takes no path outside the working directory
)

_BENTOML_GENERATE = "/bento/generate"
_BENTOML_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/schema.json", _BENTOML_GENERATE})
_BENTOML_FILES = "/static_content/"  # Swagger UI, which our page /docs uses

api = Api()


def _tell_of_batch(pictures: int, seconds: float) -> None:
    metrics().batch_pictures.observe(pictures)
    metrics().infer_seconds.observe(seconds)


def _leave(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)


def _refusal(error: RequestError) -> BentoMLException:
    """The same, for BentoML to answer in its own way."""
    refusal = BentoMLException(error.detail)
    refusal.error_code = error.status
    return refusal


class FrontDoor(Service["GanService"]):  # type: ignore[misc]
    """Sends BentoML's own paths to BentoML and all others straight to our routes.

    BentoML's middleware costs more processor time than drawing a small picture, and its metrics take labels from the path.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The whole application of a worker, keys checked before anything else."""
        of_bentoml = super().to_asgi(is_main)

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            ours = scope["type"] == "http" and path not in _BENTOML_PATHS and not path.startswith(_BENTOML_FILES)
            if path == _BENTOML_GENERATE and scope["type"] == "http":
                await api.within_bounds(of_bentoml, scope, receive, send)
            else:
                await (api if ours else of_bentoml)(scope, receive, send)

        return RequireKey(front, Settings().keys())


@bentoml.service(
    name="gan-service",
    image=_image,
    envs=[{"name": "GAN_RUNTIME", "value": "torchscript"}] if _gpu else [],
    service_class=FrontDoor,
)
class GanService:
    """Draws pictures with a trained generator: the same picture for the same seed."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Before any worker starts: refuse bad settings and bad model folders in one sentence."""
        if threading.current_thread() is threading.main_thread():
            # A container's first process has no default action for it, and BentoML sets its own later.
            signal.signal(signal.SIGTERM, _leave)
        try:
            settings = Settings()
            if not settings.keys():
                _log.warning("open to all who reach it: no GAN_API_KEYS are set")
            check_in_a_child(settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise SystemExit(
                f"gan-service: GAN_{str(first['loc'][0]).upper()}: {first['msg']}, not {str(first['input'])!r}"
            ) from None
        except (ModelFolderError, ValueError) as error:
            raise SystemExit(f"gan-service: {error}") from None

    def __init__(self) -> None:
        settings = self._settings = Settings()
        self._ready = False
        self._batcher = Batcher(_tell_of_batch)
        models = Models(settings, self._batcher.call)
        api.open(models, self._batcher, settings)
        self._ready = True
        for model in models.all():
            _log.info("ready: %s on %s", model.folder.title, model.runtime.name)
        self._closing = threading.Event()
        if settings.watch:
            threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        while not self._closing.wait(self._settings.watch):
            try:
                api.look_for_models()
            except Exception:  # the folder may come back
                _log.exception("could not look for new models in %s", self._settings.models)

    @bentoml.api(route=_BENTOML_GENERATE)  # type: ignore[untyped-decorator]
    async def generate(
        self,
        seed: int | None = None,
        n: int | None = None,
        label: int | str | None = None,
        truncation: float | None = None,
        model: str | None = None,
    ) -> Annotated[bytes, bentoml.validators.ContentType("image/png")]:
        """One picture, or a grid of n, as PNG: for BentoML's own clients. POST /generate has the rest, and is faster."""
        fields = {"seed": seed, "n": n, "label": label, "truncation": truncation, "model": model}
        try:
            return await api.draw(GenerateRequest.from_json(json.dumps(fields).encode()))
        except RequestError as error:
            raise _refusal(error) from error

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def drain_on_sigterm(self) -> None:
        """Put the draining before what the server does on SIGTERM, which is to close the port at once."""
        if threading.current_thread() is not threading.main_thread():
            return  # only there are signals handled; elsewhere nobody is served by a process of our own
        close_the_port = signal.getsignal(signal.SIGTERM)
        if isinstance(server := getattr(close_the_port, "__self__", None), uvicorn.Server):
            # No answer takes longer; what is open after that is a caller who does not read, or sends nothing.
            server.config.timeout_graceful_shutdown = math.ceil(self._settings.deadline) + 1
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            api.drain()
            if callable(close_the_port):
                loop.call_soon_threadsafe(loop.call_later, self._settings.drain, close_the_port, number, frame)

        signal.signal(signal.SIGTERM, drain)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """After the last answer."""
        self._closing.set()
        self._batcher.close()

    def __is_ready__(self) -> bool:
        """/readyz: every model has drawn a picture, and the service is not about to stop."""
        return self._ready and not api.draining
