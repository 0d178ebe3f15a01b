"""The HTTP routes: parse, admit, draw, encode, answer."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gan.errors import ModelFolderError
from gan.latents import Inputs, count
from gan.processors import usable_processors
from serving import caching, errors, openapi
from serving.admission import Admission, Bodies
from serving.answers import Answers
from serving.auth import require_admin
from serving.batching import Batcher, DeviceLostError, Generated
from serving.contents import as_utf8, unpacked
from serving.errors import RequestError, field_error
from serving.metrics import metrics
from serving.models import FolderGone, LoadedModel, Models
from serving.negotiation import choose_format
from serving.plans import PreparedGeneration, PreparedInterpolation, PreparedRequest
from serving.public import public_manifest
from serving.reloading import Reloads
from serving.schema import GenerateRequest, InterpolateRequest, read_npy
from serving.settings import Settings
from serving.threads import Threads

_log = logging.getLogger("bentoml.gan")

_NPY = "application/x-npy"
_ASK_ANEW = {"Cache-Control": "no-cache"}
_LARGE_BODY = 2**15  # bytes
_BODIES = 4  # of the largest size, that may be there at once
_TINY_BODY = 2**10  # bytes: less than the connection itself takes
_BEGINNINGS = 2**25  # bytes of what bodies hold between tiny and large, over all requests
# Images whose latent vectors are drawn, and pixels that are encoded, within a millisecond: less than it takes to hand them to
# a thread and back under load
_FEW_PICTURES, _SMALL_ANSWER = 16, 2**12
# One processor does the work of all of them, so that a small request's vectors are not behind all of a large one's.
_INPUT_THREADS = 4
_RESTART = 15  # seconds until another process answers in the place of one that has lost its device

_Result = TypeVar("_Result")
AnyRequest = TypeVar("AnyRequest", GenerateRequest, InterpolateRequest)


class Api:
    """The service's routes as an ASGI application. `open` must have been called before the first request."""

    def __init__(self) -> None:
        self._app = Starlette(
            routes=[
                Route("/generate", self.generate, methods=["GET", "POST"]),
                Route("/interpolate", self.interpolate, methods=["POST"]),
                Route("/models", self.list_models, methods=["GET"]),
                Route("/models/{name}", self.show_model, methods=["GET"]),
                Route("/models/{name}/reload", self.reload_model, methods=["POST"]),
                Route("/openapi.json", self.show_openapi, methods=["GET"]),
                Route("/docs", self.show_docs, methods=["GET"]),
                Route("/", self.show_playground, methods=["GET"]),
            ],
            exception_handlers={
                RequestError: errors.answer_request_error,
                HTTPException: errors.answer_http_exception,
                ClientDisconnect: errors.answer_nobody,
                Exception: errors.answer_unforeseen,
            },
        )
        # /generate/ is not there, rather than somewhere else under a name that the caller's Host header chose.
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        started = time.perf_counter()
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answers.deliver(self._app, scope, receive, note_status)
        finally:  # Starlette answers what nobody foresaw, and then raises it again for the server's log
            route = scope["route"].path if "route" in scope else "none"  # never the caller's own words
            metrics().request_seconds.labels(route, str(status)).observe(time.perf_counter() - started)

    def open(self, models: Models, batcher: Batcher, settings: Settings) -> None:
        """Hand over what the routes answer with."""
        self._models = models
        self._batcher = batcher
        self._settings = settings
        self._admission = Admission(settings.queue, lambda: batcher.images_per_second)
        self._bodies = Bodies(_BODIES * settings.max_body)
        self._reloads = Reloads(self._reload, settings.deadline)
        self._beginnings = Bodies(_BEGINNINGS, "bodies")
        encoders = settings.threads or usable_processors()
        # As large as there may be, three bytes a pixel: one from each encoder, and one that is being read
        self._answers = Answers((encoders + 1) * 3 * settings.max_pixels, settings.deadline)
        self._parser, self._input_threads, self._encoders = (
            Threads(1, "parse"),
            Threads(_INPUT_THREADS, "inputs"),
            Threads(encoders, "encode"),
        )
        for error in models.left_out:
            self._tell_of_refusal(error)
        self._count_models()

    async def within_bounds(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Another application's route, whose body is read here first, with the bounds of our own."""
        request = Request(scope, receive)
        try:
            async with self._body(request) as whole:
                body = whole
        except RequestError as error:
            await (await errors.answer_request_error(request, error))(scope, receive, send)
            return
        except ClientDisconnect:
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        async def with_the_body(scope: Scope, _: Receive, send: Send) -> None:
            await app(scope, replay, send)

        await self._answers.deliver(with_the_body, scope, receive, send)

    @property
    def draining(self) -> bool:
        """Whether new requests are refused because the service is about to stop."""
        return self._admission.draining

    def drain(self) -> None:
        """Refuse new requests from now on; what was let in is answered."""
        self._admission.draining = True

    async def draw(self, asked: GenerateRequest) -> bytes:
        """The body of POST /generate's answer, for callers who do not come by HTTP. Raises RequestError."""
        model = self._models.choose(asked.model)
        plan = PreparedGeneration.of(asked, None, model.folder.manifest, self._settings, lambda: "png")
        with self._let_in(model, plan) as held:
            body, _ = await self._before_the_deadline(self._work(model, plan, held), asyncio.Event().wait())
        return body

    async def generate(self, request: Request) -> Response:
        """POST /generate, and GET /generate, which can be cached."""
        asked, noise = await self._read(request)
        model = self._models.choose(asked.model)
        plan = PreparedGeneration.of(
            asked, noise, model.folder.manifest, self._settings, lambda: choose_format(_all_of(request, "accept"))
        )
        headers = {"Vary": "Accept"}
        if plan.seeds is not None:
            headers["X-Seed"] = str(plan.seeds[0])
        if request.method != "POST":
            with_keys = bool(self._settings.api_keys or self._settings.api_keys_file)
            headers |= caching.headers(model, plan, pinned=asked.model == model.folder.title, private=with_keys)
            if caching.matches(_all_of(request, "if-none-match"), headers.get("ETag")):
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**headers, "X-Model": model.folder.title})
        headers["Content-Disposition"] = plan.content_disposition
        return await self._answer(request, model, plan, headers)

    async def interpolate(self, request: Request) -> Response:
        """POST /interpolate."""
        async with self._json_body(request) as body:
            asked = await self._parse(InterpolateRequest, body, request)
        model = self._models.choose(asked.model)
        plan = PreparedInterpolation.of(asked, model.folder.manifest, self._settings)
        headers = {"X-Seed": str(plan.seeds[0]), "Content-Disposition": plan.content_disposition}
        return await self._answer(request, model, plan, headers)

    async def list_models(self, _: Request) -> Response:
        """GET /models."""
        manifests = [public_manifest(model.folder.manifest) for model in self._models.all()]
        return JSONResponse({"default": self._models.default, "models": manifests})

    async def show_model(self, request: Request) -> Response:
        """GET /models/{name}."""
        return JSONResponse(public_manifest(self._models.choose(request.path_params["name"]).folder.manifest))

    async def reload_model(self, request: Request) -> Response:
        """POST /models/{name}/reload: serve what now stands in the model's folder."""
        require_admin(request.scope)
        model = await self._reloads(request.path_params["name"])
        return JSONResponse(public_manifest(model.folder.manifest))

    def _reload(self, name: str) -> LoadedModel:
        try:
            model = self._models.reload(name)
        except RequestError:
            metrics().reloads.labels("refused").inc()
            raise
        except DeviceLostError:
            raise _device_lost() from None
        self._tell_of_reload(model)
        return model

    def look_for_models(self) -> None:
        """Serve what has changed in the folder of models. Called now and then, in a thread of its own."""
        for found in self._models.look():
            if isinstance(found, ModelFolderError):
                self._tell_of_refusal(found)
            elif isinstance(found, FolderGone):
                self._tell_of_gone(found)
            else:
                self._tell_of_reload(found)

    def _tell_of_refusal(self, error: ModelFolderError) -> None:
        metrics().reloads.labels("refused").inc()
        _log.error("not served, and nothing else was changed: %s", error)

    def _tell_of_gone(self, gone: FolderGone) -> None:
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
        self._count_models()

    def _tell_of_reload(self, model: LoadedModel) -> None:
        metrics().reloads.labels("taken").inc()
        _log.info("from now on: %s on %s", model.folder.title, model.runtime.name)
        self._count_models()

    def _count_models(self) -> None:
        metrics().model.now = {
            (model.folder.manifest.name, model.folder.manifest.version, model.runtime.name) for model in self._models.all()
        }

    async def show_openapi(self, _: Request) -> Response:
        """GET /openapi.json."""
        return JSONResponse(openapi.document(), headers=_ASK_ANEW)

    async def show_docs(self, _: Request) -> Response:
        """GET /docs: the OpenAPI document for people."""
        return _page("docs.html")

    async def show_playground(self, _: Request) -> Response:
        """GET /: a page to try the models on."""
        return _page("playground.html")

    async def _answer(self, request: Request, model: LoadedModel, plan: PreparedRequest, headers: dict[str, str]) -> Response:
        with self._let_in(model, plan) as held:
            body, timing = await self._before_the_deadline(self._work(model, plan, held), _caller_leaves(request))
        headers = {**headers, "X-Model": model.folder.title, "Server-Timing": timing}
        return Response(body, headers=headers, media_type=plan.media_type)

    def _let_in(self, model: LoadedModel, plan: PreparedRequest) -> ExitStack:
        """What the request takes up until the stack is closed. Raises RequestError if there is no room for it."""
        self._answers.check(plan.n * math.prod(_shape(model)) * plan.scale**2)
        held = ExitStack()
        held.enter_context(self._admission.admit(plan.n))
        return held

    async def _work(self, model: LoadedModel, plan: PreparedRequest, held: ExitStack) -> tuple[bytes, str]:
        """The body, and what Server-Timing says of it. What is held stays so until no thread works for the request any more."""
        few = plan.n <= _FEW_PICTURES
        rows = plan.inputs() if few else await self._input_threads.run(plan.inputs, held=held)
        drawn = await self._draw(model, rows)
        started = time.perf_counter()
        if drawn.images[..., 0].size * plan.scale**2 <= _SMALL_ANSWER:
            body = plan.encode(drawn.images, rows, model.folder.title)
        else:
            await self._answers.room(drawn.images.size * plan.scale**2, held)
            body = await self._encoders.run(plan.encode, drawn.images, rows, model.folder.title, held=held)
        seconds = {"queue": drawn.queue_seconds, "infer": drawn.infer_seconds, "encode": time.perf_counter() - started}
        metrics().queue_seconds.observe(seconds["queue"])
        metrics().encode_seconds.observe(seconds["encode"])
        return body, ", ".join(f"{stage};dur={1000 * value:.3f}" for stage, value in seconds.items())

    async def _draw(self, model: LoadedModel, rows: Inputs) -> Generated:
        waiting = metrics().queue_images  # told, since processes that share their metrics cannot be asked for them
        waiting.set(self._batcher.waiting + count(rows))
        try:
            drawn = await self._batcher.draw(model.runtime, rows)
        except DeviceLostError:
            raise _device_lost() from None
        finally:
            waiting.set(self._batcher.waiting)
        if drawn.images.shape[1:] != _shape(model):
            raise RuntimeError(f"{model.folder.title} drew images of another shape than its manifest's, {drawn.images.shape[1:]}")
        return drawn

    async def _before_the_deadline(self, work: Awaitable[_Result], caller_leaves: Coroutine[Any, Any, object]) -> _Result:
        """Do work that is dropped, wherever it stands, when its caller leaves or its time is up."""
        here, at_work = asyncio.current_task(), True
        assert here

        def drop(_: object) -> None:
            if at_work:
                here.cancel()

        leaving = asyncio.ensure_future(caller_leaves)
        leaving.add_done_callback(drop)
        try:
            async with asyncio.timeout(self._settings.deadline) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():  # what the work itself came upon
                raise
            metrics().dropped.labels("deadline").inc()
            raise RequestError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"not done within {self._settings.deadline:g} s; ask for fewer images or try again later",
            ) from None
        except asyncio.CancelledError:
            if not leaving.done():
                raise
            here.uncancel()
            metrics().dropped.labels("caller left").inc()
            raise ClientDisconnect from None
        finally:
            at_work = False
            leaving.cancel()

    async def _read(self, request: Request) -> tuple[GenerateRequest, NDArray[np.float32] | None]:
        """The fields, and the latent vectors if the body is an .npy file of them. Raises RequestError."""
        if request.method != "POST":
            return GenerateRequest.from_query(request.query_params.multi_items()), None
        if _media_type(request) == _NPY:
            async with self._body(request) as body:
                return GenerateRequest.from_query(request.query_params.multi_items()), read_npy(body)
        async with self._json_body(request) as body:
            return await self._parse(GenerateRequest, body, request), None

    async def _parse(self, kind: type[AnyRequest], body: bytes, request: Request) -> AnyRequest:
        """From JSON; what takes more than a millisecond or so, in a thread, to keep the event loop free.

        One at a time there: lists of numbers take forty times the memory of their text.
        """
        if len(body) < _LARGE_BODY:
            return kind.from_json(body)
        return await self._before_the_deadline(self._parser.run(kind.from_json, body), _caller_leaves(request))

    @asynccontextmanager
    async def _json_body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request that takes its fields there. Raises RequestError."""
        async with self._body(request) as body:
            if body and not _is_json(_media_type(request)):
                raise RequestError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"Content-Type: {_media_type(request) or 'missing'}; send application/json, or {_NPY} for noise",
                )
            for name, text in request.query_params.multi_items():
                if text.strip():
                    raise field_error((name[:100],), "is in the query; POST takes its fields in the body")
            yield as_utf8(body, _charset(request))

    @asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, held until the context ends. Raises RequestError if it is too large, too slow, or one too many."""
        body = bytearray()
        with self._bodies.hold() as hold, self._beginnings.hold() as hold_beginning:
            try:
                async with asyncio.timeout(self._settings.deadline):
                    sent = request.stream()
                    coding = request.headers.get("content-encoding", "")
                    async for chunk in unpacked(sent, coding, self._settings.max_body):
                        body += chunk
                        if len(body) > self._settings.max_body:
                            raise RequestError(
                                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                                f"the body is larger than {self._settings.max_body} bytes; ask for fewer images",
                            )
                        # Each has a bound of its own, so that small ones come in whatever large ones do, and tiny ones always.
                        hold(max(0, len(body) - _LARGE_BODY))
                        hold_beginning(max(0, min(len(body), _LARGE_BODY) - _TINY_BODY))
            except TimeoutError:
                raise RequestError(
                    HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {self._settings.deadline:g} s; send it again"
                ) from None
            yield bytes(body)


def _device_lost() -> RequestError:
    metrics().refused.labels("device lost").inc()
    message = f"the service must start anew; try again in {_RESTART} s"
    return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, message, retry_after=_RESTART)


def _shape(model: LoadedModel) -> tuple[int, int, int]:
    """Height, width and channels of a image."""
    manifest = model.folder.manifest
    return manifest.height, manifest.width, manifest.channels


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    """Also by names of formats made of JSON (RFC 6839)."""
    return media_type in ("application/json", "text/json") or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _charset(request: Request) -> str:
    parameters = (part.partition("=") for part in request.headers.get("content-type", "").split(";")[1:])
    return next((value for name, _, value in parameters if name.strip().lower() == "charset"), "")


async def _caller_leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@cache
def _page(name: str) -> Response:
    """A page that loads nothing from elsewhere."""
    content = (Path(__file__).parent / "pages" / name).read_text()
    policy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
    return HTMLResponse(content, headers={"Content-Security-Policy": policy, **_ASK_ANEW})


def _all_of(request: Request, header: str) -> str:
    """A header's items, which may stand in several lines of its name."""
    return ", ".join(request.headers.getlist(header))
