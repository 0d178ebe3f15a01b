"""The HTTP routes of the service."""

import re
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gan.errors import ModelFolderError
from serving import caching, errors, model_reports, openapi, page_files
from serving.auth import require_admin
from serving.batching import Batcher, DeviceLostError
from serving.deadline import run_before_deadline
from serving.errors import RequestError, forget_frames
from serving.loaded_model import LoadedModel
from serving.metrics import metrics
from serving.models import FolderGone, Models
from serving.negotiation import choose_format
from serving.picture_routes import PictureRoutes
from serving.pipeline import Pipeline, device_lost
from serving.prepared_requests import PreparedGeneration, PreparedInterpolation, PreparedRequest
from serving.public import public_manifest
from serving.reloading import Reloads
from serving.request_reading import RequestReader, header_items
from serving.request_record import CLIENT_CLOSED_REQUEST, note_images, note_route
from serving.schema import GenerateRequest, InterpolateRequest, RequestFields
from serving.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]

_REVALIDATE = {"Cache-Control": "no-cache"}
_OF_MODEL = re.compile("/models/([^/]+)(/reload)?")
_OF_PAGES = re.compile("/pages/([^/]+)")


class Api:
    """The service's routes as an ASGI application. `open` must have been called before the first request."""

    def __init__(self) -> None:
        self._routes: dict[str, dict[str, Handler]] = {
            "/generate": {"GET": self.generate, "POST": self.generate},
            "/interpolate": {"POST": self.interpolate},
            "/invert": {"POST": lambda request: self._pictures.invert(request)},
            "/edit": {"POST": lambda request: self._pictures.edit(request)},
            "/score": {"POST": lambda request: self._pictures.score(request)},
            "/models": {"GET": self.list_models},
            "/models/{name}": {"GET": self.show_model},
            "/models/{name}/reload": {"POST": self.reload_model},
            "/openapi.json": {"GET": self.show_openapi},
            "/docs": {"GET": self.show_docs},
            "/": {"GET": self.show_playground},
            "/pages/{file}": {"GET": self.show_page_file},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        started = time.perf_counter()
        route, response = self._match(scope), None
        note_route(route)
        try:
            response = await self._handle(route, Request(scope, receive))
            await self._pipeline.answers.deliver(response, scope, receive, send)
        finally:
            status = "0" if response is None else str(response.status_code)
            metrics().request_seconds.labels(route, status).observe(time.perf_counter() - started)

    def _match(self, scope: Scope) -> str:
        """The route of a request's path, a key of `_routes`; "none" if no route has it."""
        path: str = scope["path"]
        if path in self._routes:
            return path
        if (file := _OF_PAGES.fullmatch(path)) is not None:
            scope["path_params"] = {"file": file[1]}
            return "/pages/{file}"
        named = _OF_MODEL.fullmatch(path)
        if named is None:
            return "none"
        scope["path_params"] = {"name": named[1]}
        return f"/models/{{name}}{named[2] or ''}"

    async def _handle(self, route: str, request: Request) -> Response:
        """The answer to a request, whatever happens."""
        path, method = request.scope["path"], request.method
        try:
            handlers = self._routes.get(route)
            if handlers is None:
                raise errors.no_such_path(path)
            handler = handlers.get("GET" if method == "HEAD" else method)
            if handler is None:
                raise errors.method_not_allowed(path, method, [*handlers, *(["HEAD"] if "GET" in handlers else [])])
            return await handler(request)
        except RequestError as error:
            forget_frames(error)
            return errors.problem_of(error)
        except ClientDisconnect as error:
            forget_frames(error)
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except Exception as error:
            return errors.unforeseen(method, path, error)

    def open(self, models: Models, batcher: Batcher, settings: Settings) -> None:
        """Set what the routes answer with, and report the models that are served and those that are not."""
        self._models = models
        self._settings = settings
        self._reader = RequestReader(settings)
        self._pipeline = Pipeline(batcher, settings)
        self._pictures = PictureRoutes(models, batcher, self._pipeline, self._reader, settings)
        self._reloads = Reloads(self._reload, settings.deadline)
        for error in models.left_out:
            model_reports.report_refused(error)
        model_reports.publish_served(models.all())

    async def within_bounds(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, kind: type[RequestFields] | None = None
    ) -> None:
        """Run another application under the limits of our routes: its body is read first, its answer counted.

        `kind`: the fields that its JSON body has, checked as those of our routes.
        """
        request = Request(scope, receive)
        try:
            if kind is not None and request.method == "POST":
                body = (await self._reader.read_json(kind, request)).model_dump_json(exclude_none=True).encode()
            else:
                with ExitStack() as held:
                    body = await self._reader.bodies.read(request, held)
        except RequestError as error:
            await errors.problem_of(error)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        async def with_the_body(scope: Scope, _: Receive, send: Send) -> None:
            await app(scope, replay, send)

        await self._pipeline.answers.deliver(with_the_body, scope, receive, send)

    @property
    def draining(self) -> bool:
        """Whether new requests are refused because the service is about to stop."""
        return self._pipeline.admission.draining

    def drain(self) -> None:
        """Refuse new requests from now on; those that were admitted are answered."""
        self._pipeline.admission.draining = True

    async def generate_png(self, fields: GenerateRequest) -> bytes:
        """The body of POST /generate's answer, for callers that do not come by our routes. Raises RequestError."""
        model = self._models.get(fields.model)
        prepared = PreparedGeneration.prepare(fields, None, model.folder.manifest, self._settings, lambda: "png")
        body, _ = await self._run(model, prepared, None)
        return body

    async def generate(self, request: Request) -> Response:
        """POST /generate, and GET /generate, which can be cached."""
        fields, noise = await self._reader.read_generate(request)
        model = self._models.get(fields.model)
        prepared = PreparedGeneration.prepare(
            fields, noise, model.folder.manifest, self._settings, lambda: choose_format(header_items(request, "accept"))
        )
        headers = {"Vary": "Accept"}
        if prepared.seeds is not None:
            headers["X-Seed"] = str(prepared.seeds[0])
        if request.method != "POST":
            with_keys = bool(self._settings.api_keys or self._settings.api_keys_file)
            headers |= caching.headers(model, prepared, pinned=fields.model == model.folder.title, private=with_keys)
            if caching.matches(header_items(request, "if-none-match"), headers.get("ETag")):
                note_images(model.folder.title, 0)
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**headers, "X-Model": model.folder.title})
        headers["Content-Disposition"] = prepared.content_disposition
        return await self._answer(request, model, prepared, headers)

    async def interpolate(self, request: Request) -> Response:
        """POST /interpolate."""
        fields = await self._reader.read_json(InterpolateRequest, request)
        model = self._models.get(fields.model)
        prepared = PreparedInterpolation.prepare(fields, model.folder.manifest, self._settings)
        headers = {"Content-Disposition": prepared.content_disposition}
        if prepared.seeds is not None:
            headers["X-Seed"] = str(prepared.seeds[0])
        return await self._answer(request, model, prepared, headers)

    async def list_models(self, _: Request) -> Response:
        """GET /models."""
        manifests = [public_manifest(model.folder.manifest) for model in self._models.all()]
        return JSONResponse({"default": self._models.default, "models": manifests})

    async def show_model(self, request: Request) -> Response:
        """GET /models/{name}."""
        return JSONResponse(public_manifest(self._models.get(request.path_params["name"]).folder.manifest))

    async def reload_model(self, request: Request) -> Response:
        """POST /models/{name}/reload: serve what the model's folder holds now."""
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
            raise device_lost() from None
        self._report_loaded(model)
        return model

    def scan_models(self) -> None:
        """Serve what has changed in the folder of models. Called now and then, in a thread of its own."""
        for change in self._models.scan():
            if isinstance(change, ModelFolderError):
                model_reports.report_refused(change)
            elif isinstance(change, FolderGone):
                model_reports.report_gone(change)
                model_reports.publish_served(self._models.all())
            else:
                self._report_loaded(change)

    def _report_loaded(self, model: LoadedModel) -> None:
        model_reports.report_loaded(model)
        model_reports.publish_served(self._models.all())

    async def show_openapi(self, _: Request) -> Response:
        """GET /openapi.json."""
        return JSONResponse(openapi.document(), headers=_REVALIDATE)

    async def show_docs(self, request: Request) -> Response:
        """GET /docs: the OpenAPI document for people."""
        return page_files.answer("docs.html", request)

    async def show_playground(self, request: Request) -> Response:
        """GET /: a page to try the models on."""
        return page_files.answer("playground.html", request)

    async def show_page_file(self, request: Request) -> Response:
        """GET /pages/{file}: what the pages load."""
        return page_files.answer(request.path_params["file"], request)

    async def _answer(self, request: Request, model: LoadedModel, prepared: PreparedRequest, headers: dict[str, str]) -> Response:
        body, timing = await self._run(model, prepared, request)
        headers = {**headers, "X-Model": model.folder.title, "Server-Timing": timing}
        return Response(body, headers=headers, media_type=prepared.media_type)

    async def _run(self, model: LoadedModel, prepared: PreparedRequest, request: Request | None) -> tuple[bytes, str]:
        with self._pipeline.admit(model, prepared) as held:
            return await run_before_deadline(self._pipeline.run(model, prepared, held), request, self._settings.deadline)
