"""The HTTP routes: parse, draw, encode, answer."""

import base64
import json
from http import HTTPStatus

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gan import imaging
from gan.imaging import Pictures
from gan.latents import latents
from serving import errors
from serving.errors import RequestError
from serving.models import Models
from serving.schema import GenerateRequest
from serving.settings import Settings


class Api:
    """The service's routes as an ASGI application. `open` must have been called before the first request.

    Not a Starlette object: BentoML passes on to one of those only the paths it has, and answers for others in plain text.
    """

    def __init__(self) -> None:
        self._app = Starlette(
            routes=[
                Route("/generate", self.generate, methods=["POST"]),
                Route("/models", self.list_models, methods=["GET"]),
            ],
            exception_handlers={
                RequestError: errors.answer_request_error,
                HTTPException: errors.answer_http_exception,
                Exception: errors.answer_unforeseen,
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        await self._app(scope, receive, send)

    def open(self, models: Models, settings: Settings) -> None:
        """Hand over what the routes answer with."""
        self._models = models
        self._settings = settings
        self._device = anyio.CapacityLimiter(1)

    async def generate(self, request: Request) -> Response:
        """POST /generate."""
        asked = GenerateRequest.parse(await self._json_body(request), self._settings.max_n)
        model = self._models.choose(asked.model)
        manifest = model.folder.manifest
        seeds = asked.picture_seeds()
        z = asked.noise_array(manifest.z_dim) if seeds is None else latents(seeds, manifest.z_dim)
        pictures = await anyio.to_thread.run_sync(model.runtime.draw, z, limiter=self._device)
        headers = {"X-Model": model.folder.title}
        if seeds is not None:
            headers["X-Seed"] = str(seeds[0])
        if asked.format == "json":
            content, media_type = await anyio.to_thread.run_sync(_as_json, pictures, seeds, model.folder.title), "application/json"
        else:
            content, media_type = await anyio.to_thread.run_sync(_as_png, pictures), "image/png"
        return Response(content, headers=headers, media_type=media_type)

    async def list_models(self, _: Request) -> Response:
        """GET /models."""
        manifests = [model.folder.manifest.model_dump(mode="json") for model in self._models.all()]
        return JSONResponse({"default": self._models.default, "models": manifests})

    async def _json_body(self, request: Request) -> bytes:
        """The whole body. Raises RequestError if it is too large or is said to be something other than JSON."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._settings.max_body:
                raise RequestError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body is larger than {self._settings.max_body} bytes; ask for fewer pictures",
                )
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and media_type != "application/json":
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: {media_type or 'missing'}; send the body as application/json"
            )
        return bytes(body)


def _as_png(pictures: Pictures) -> bytes:
    """One picture, or a grid of them."""
    return imaging.encode_png(imaging.grid(pictures))


def _as_json(pictures: Pictures, seeds: list[int] | None, model: str) -> bytes:
    images = [
        {
            "seed": None if seeds is None else seeds[place],
            "label": None,
            "format": "png",
            "data": base64.b64encode(imaging.encode_png(picture)).decode(),
        }
        for place, picture in enumerate(pictures)
    ]
    return json.dumps({"model": model, "images": images}).encode()
