"""The BentoML service. `make serve` starts it; the routes are in serving/app.py."""

import asyncio
import gc
import json
import logging
import math
import os
import signal
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import bentoml
import uvicorn

# BentoML has no public name for the class that its own keyword `service_class` asks to derive from.
from _bentoml_sdk import Service
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from gan import freed_memory
from gan.errors import GanServiceError
from serving import metrics_folder, observing, workers
from serving.app import Api
from serving.auth import SWAGGER_FILES, RequireKey
from serving.batching import Batcher
from serving.cors import allow_origins
from serving.errors import RequestError, WithoutRequestErrors
from serving.http_protocol import protect
from serving.metrics import metrics
from serving.models import Models
from serving.schema import BentoRequest, GenerateRequest
from serving.secret_files import SecretFileError
from serving.settings import Settings, misspelt
from serving.startup_check import check_in_a_child

_log = logging.getLogger("bentoml.gan")
logging.getLogger("bentoml._internal.server.http_app").addFilter(WithoutRequestErrors())


class BuildArguments(BaseModel):
    """Arguments of `bentoml build --arg NAME=VALUE`. A bento keeps those it was built with."""

    kind: Literal["cpu", "openvino", "gpu"] = "cpu"
    """what the image contains beside ONNX Runtime, and generates with: OpenVINO, or torch with CUDA"""


_kind = bentoml.use_arguments(BuildArguments).kind
_RUNTIMES = {"openvino": "openvino", "gpu": "torchscript"}
_PYTHON = "3.11"
_packages = Path(__file__).parent / "deploy" / f"requirements-{_kind}.txt"  # pinned, with hashes; `make lock`

# Only what bentofile.yaml cannot express. Any other distro brings a layer with a compiler and git, four times the size of this
# service, and the switch between the lists of packages has no name there.
_image = (
    bentoml.images.Image(base_image=f"python:{_PYTHON}-slim", python_version=_PYTHON, distro="none", lock_python_packages=False)
    .run("pip install --no-cache-dir --root-user-action ignore uv==0.13.9")  # BentoML would take any version, and keep its cache
    .python_packages(*_packages.read_text().splitlines())  # requirements_file() takes no path outside the working directory
)

_BENTOML_GENERATE = "/bento/generate"
# Exact paths only: in BentoML's metrics each path becomes a label.
_BENTOML_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/schema.json", _BENTOML_GENERATE}) | SWAGGER_FILES

# BentoML has no setting for this, and reads it once this file is loaded.
_folder = metrics_folder.own_folder(Path(BentoMLContainer.bentoml_home.get()))
BentoMLContainer.prometheus_multiproc_dir.set(str(_folder))

_SHORT_KEY = 16  # letters
_GC_THRESHOLD = 10_000  # new objects between two garbage collections: a few dozen requests' worth, where 700 is one's

api = Api()


def _workers() -> int:
    try:
        return Settings().workers
    except (ValidationError, SecretFileError):
        return 1  # `check` reports what is wrong


@cache
def _observer() -> observing.Observer | None:
    """This worker's; made once it has its settings."""
    return observing.observer_for(Settings())


def _record_batch(images: int, seconds: float) -> None:
    metrics().batch_images.observe(images)
    metrics().infer_seconds.observe(seconds)


def _warn_about_keys(keys: tuple[SecretStr, ...], admin_keys: tuple[SecretStr, ...]) -> None:
    if not keys:
        but = ", but for reloading models" if admin_keys else ""
        _log.warning("open to all who reach it%s: no GAN_API_KEYS are set", but)
    if any(len(key) < _SHORT_KEY for key in keys + admin_keys):
        _log.warning("a key has fewer than %d letters and can be guessed: openssl rand -hex 32 makes one", _SHORT_KEY)


def _exit(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)


def _as_bentoml_exception(error: RequestError) -> BentoMLException:
    """An error with the same status and message, which BentoML answers in its own way."""
    exception = BentoMLException(error.detail)
    exception.error_code = error.status
    return exception


class Dispatcher(Service["GanService"]):  # type: ignore[misc]
    """Dispatches BentoML's own paths to BentoML and all others straight to our routes.

    BentoML's middleware costs more processor time than generating a small image, and its metrics take labels from the path.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The whole application of a worker, keys checked before anything else."""
        bentoml_app = super().to_asgi(is_main)

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            ours = scope["type"] == "http" and path not in _BENTOML_PATHS
            if path == _BENTOML_GENERATE and scope["type"] == "http":
                await api.within_bounds(bentoml_app, scope, receive, send, BentoRequest)
            else:
                await (api if ours else bentoml_app)(scope, receive, send)

        settings = Settings()
        app = allow_origins(RequireKey(dispatch, settings.keys(), settings.keys_of_admins()), settings.cors_origins)
        observer = _observer()
        return app if observer is None else observer.observe(app)


@bentoml.service(
    name="gan-service",
    image=_image,
    envs=[{"name": "GAN_RUNTIME", "value": _RUNTIMES[_kind]}] if _kind in _RUNTIMES else [],
    workers=_workers(),
    service_class=Dispatcher,
)
class GanService:
    """Draws images with a trained generator: the same image for the same seed."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Before any worker starts: refuse bad settings and bad model folders in one sentence."""
        if threading.current_thread() is threading.main_thread():
            # A container's first process has no default action for it, and BentoML sets its own later.
            signal.signal(signal.SIGTERM, _exit)
        with suppress(OSError):  # BentoML uses a folder elsewhere then
            metrics_folder.keep(_folder)
        try:
            settings = Settings()
            for name, meant in misspelt(os.environ).items():
                _log.warning("%s is no setting of this program: did you mean %s?", name, meant)
            _warn_about_keys(settings.keys(), settings.keys_of_admins())
            observing.check(settings)
            check_in_a_child(settings)
            if "BENTOML_CONTAINERIZED" in os.environ:  # where BentoML starts no other worker in the place of one
                workers.end_with_the_first(_folder)
        except ValidationError as error:
            first = error.errors()[0]
            reason = first["msg"].removeprefix("Value error, ")
            raise SystemExit(f"gan-service: GAN_{str(first['loc'][0]).upper()}: {reason}, not {str(first['input'])!r}") from None
        except (GanServiceError, ValueError) as error:
            raise SystemExit(f"gan-service: {error}") from None

    def __init__(self) -> None:
        freed_memory.return_large_blocks()
        settings = self._settings = Settings()
        self._ready = self._in_own_process = self._lost = False
        self._batcher = Batcher(_record_batch, self._terminate, metrics().queued_images.set)
        models = Models(settings, self._batcher.call)
        api.open(models, self._batcher, settings)
        self._shared = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", _folder))  # with the other workers
        workers.forget_dead(self._shared)
        workers.mark(self._shared)
        self._ready = True
        for model in models.all():
            _log.info("ready: %s on %s", model.folder.title, model.runtime.name)
        # The objects made until now live as long as the process. Without them, a full garbage collection, which runs every second
        # under load, no longer delays all requests by some 50 ms.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        self._closing = threading.Event()
        if settings.watch:
            threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        while not self._closing.wait(self._settings.watch):
            try:
                api.scan_models()
            except Exception:  # the next scan may succeed
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
        """One image, or a grid of n, as PNG: for BentoML's own clients. POST /generate has the rest, and is faster."""
        fields = {"seed": seed, "n": n, "label": label, "truncation": truncation, "model": model}
        try:
            return await api.generate_png(GenerateRequest.from_json(json.dumps(fields).encode()))
        except RequestError as error:
            raise _as_bentoml_exception(error) from error

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def drain_on_sigterm(self) -> None:
        """Drain before the server's own handler of SIGTERM runs, which closes the port at once."""
        if threading.current_thread() is not threading.main_thread():
            return  # signals are handled only there; elsewhere this is no server's own process
        self._in_own_process = True
        close_the_port = signal.getsignal(signal.SIGTERM)
        server = getattr(close_the_port, "__self__", None)
        if not isinstance(server, uvicorn.Server):
            raise RuntimeError("BentoML no longer serves by uvicorn, whose HTTP is made strict here; install the pinned BentoML")
        protect(server.config, self._settings, _observer())
        # No answer takes longer; a connection open after that belongs to a caller who does not read, or sends nothing.
        server.config.timeout_graceful_shutdown = math.ceil(self._settings.deadline) + 1
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            api.drain()
            if callable(close_the_port):
                loop.call_soon_threadsafe(loop.call_later, self._settings.drain, close_the_port, number, frame)

        signal.signal(signal.SIGTERM, drain)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Stop the threads, after the last answer."""
        self._closing.set()
        self._batcher.close()
        if (observer := _observer()) is not None:
            observer.close()
        if not self._lost:
            workers.unmark(self._shared)

    def __metrics__(self, text: str) -> str:
        """/metrics: the values that processes share, and those of this moment."""
        metrics().memory.processes = workers.serving(self._shared) or (os.getpid(),)
        return text + metrics().text_of_this_moment()

    def _terminate(self) -> None:
        """End a process that has lost its device as SIGTERM does; BentoML or the container's engine starts another."""
        if self._in_own_process:
            self._lost = True
            os.kill(os.getpid(), signal.SIGTERM)

    def __is_ready__(self) -> bool:
        """/readyz: every model has generated an image, and the service is not about to stop."""
        return self._ready and self._batcher.alive and not api.draining

    def __is_alive__(self) -> bool:
        """/livez: images can be generated, now or once it is ready."""
        return self._batcher.alive
