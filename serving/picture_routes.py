"""The HTTP routes that pictures are sent to."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from gan import inversion
from gan.inversion import Candidate, Inversion, TimeIsUpError
from serving.batching import Batcher
from serving.deadline import run_before_deadline
from serving.editing import PreparedEdit
from serving.encoding import MEDIA_TYPES
from serving.errors import RequestError
from serving.inverting import Inverter
from serving.loaded_model import LoadedModel
from serving.models import Models
from serving.negotiation import choose_format
from serving.picture_bodies import PictureReader, some
from serving.picture_decoding import PictureDecoder
from serving.picture_requests import PreparedInversion
from serving.picture_schema import EditRequest, InvertRequest, PictureFormat, PictureRequest, ScoreRequest
from serving.pipeline import Pipeline
from serving.request_reading import RequestReader, header_items
from serving.request_record import note_stage
from serving.scoring import PreparedScore, Scores
from serving.settings import Settings
from serving.threads import Threads

Floats = NDArray[np.float32]
Fields = TypeVar("Fields", bound=PictureRequest)
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")

_SHARE_OF_DEADLINE = 0.9  # that searches may take: the rest is for the answer


class PictureRoutes:
    """Handlers of requests that bring pictures."""

    def __init__(self, models: Models, batcher: Batcher, pipeline: Pipeline, reader: RequestReader, settings: Settings) -> None:
        self._models, self._pipeline, self._settings = models, pipeline, settings
        self._reader = PictureReader(settings, reader)
        self._decoder = PictureDecoder(settings)
        self._inverter = Inverter(batcher)
        self._scorers = Threads(1, "score")

    async def invert(self, request: Request) -> Response:
        """POST /invert: pictures to latent vectors."""
        until = self._end_of_searches()
        model, prepared, targets = await self._read(
            InvertRequest,
            request,
            lambda fields, n, model: PreparedInversion.prepare(
                fields, n, model.folder.manifest, self._settings, model.encoder is not None, _accepted(request)
            ),
        )
        return await self._before_deadline(self._invert(model, prepared, targets, until), request)

    async def _invert(self, model: LoadedModel, prepared: PreparedInversion, targets: Floats, until: float) -> Response:
        with self._admit(model, prepared.candidates, prepared.iterations, prepared.grid_options.scale) as held:
            found, timing = await self._search(model, prepared.candidates, prepared.iterations, targets, until)
            if prepared.format == "json":
                return _json(model, prepared.json(found), prepared.content_disposition, timing)
            drawn = prepared.drawn(found, targets)
            body, stages = await self._pipeline.run(model, drawn, held)
        return _answer(model, body, drawn.media_type, drawn.content_disposition, f"{timing}, {stages}")

    async def edit(self, request: Request) -> Response:
        """POST /edit: images of seeds, latent vectors or pictures, changed."""
        until = self._end_of_searches()

        def prepare(fields: EditRequest, n: int, model: LoadedModel) -> PreparedEdit:
            accept = header_items(request, "accept")
            return PreparedEdit.prepare(
                fields,
                n,
                model.folder.manifest,
                model.directions,
                model.encoder is not None,
                self._settings,
                lambda: choose_format(accept),
            )

        model, prepared, targets = await self._read(EditRequest, request, prepare, needs_pictures=False)
        return await self._before_deadline(self._edit(model, prepared, targets, until), request)

    async def _edit(self, model: LoadedModel, prepared: PreparedEdit, targets: Floats, until: float) -> Response:
        timing = ""
        if len(targets):
            with self._admit(model, prepared.candidates, prepared.iterations, prepared.scale):
                found, timing = await self._search(model, prepared.candidates, prepared.iterations, targets, until)
            prepared = prepared.of(found)
        with self._pipeline.admit(model, prepared) as held:
            body, stages = await self._pipeline.run(model, prepared, held)
        timing = ", ".join(filter(None, [timing, stages]))
        return _answer(model, body, prepared.media_type, prepared.content_disposition, timing)

    async def score(self, request: Request) -> Response:
        """POST /score: how unusual pictures are."""
        model, prepared, targets = await self._read(
            ScoreRequest,
            request,
            lambda fields, n, model: PreparedScore.prepare(fields, n, model, self._settings, _accepted(request)),
        )
        return await self._before_deadline(self._score(model, prepared, targets), request)

    async def _score(self, model: LoadedModel, prepared: PreparedScore, targets: Floats) -> Response:
        with self._pipeline.admit_scores(model, len(targets), prepared.grid_options.scale) as held:
            started = time.perf_counter()
            scores = await self._scorers.run(Scores.of, targets, prepared.scorer, held=held)
            timing = _timing("score", started)
            if prepared.format == "json":
                return _json(model, prepared.json(scores), prepared.content_disposition, timing)
            body = await self._scorers.run(prepared.encode, scores, held=held)
        return _answer(model, body, prepared.media_type, prepared.content_disposition, timing)

    async def _read(
        self,
        kind: type[Fields],
        request: Request,
        prepare: Callable[[Fields, int, LoadedModel], Prepared],  # (fields, pictures, model), before they are decoded
        needs_pictures: bool = True,
    ) -> tuple[LoadedModel, Prepared, Floats]:
        """The model, the prepared request, and its pictures, float32 [n, channels, height, width] in [-1, 1]."""
        with ExitStack() as sent:
            fields, pictures = await self._reader.read(kind, request, sent)
            model = self._models.get(fields.model)
            prepared = prepare(fields, len(some(pictures) if needs_pictures else pictures), model)
            decoding = self._decoder.decode(pictures, fields, model.folder.manifest)
            return model, prepared, await self._before_deadline(decoding, request)

    def _admit(self, model: LoadedModel, candidates: list[list[Candidate]], iterations: int, scale: int) -> ExitStack:
        work = sum(inversion.most_images(some, iterations, model.folder.manifest.input_spec) for some in candidates)
        return self._pipeline.admit_searches(model, len(candidates), work, scale)

    async def _search(
        self, model: LoadedModel, candidates: list[list[Candidate]], iterations: int, targets: Floats, until: float
    ) -> tuple[list[Inversion], str]:
        """The latent vectors of pictures, searched for at once, and the time that took.

        Raises RequestError, 504, if nothing was drawn in time.
        """
        started = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                searches = [
                    group.create_task(self._inverter.invert(model, target, some, iterations, until))
                    for target, some in zip(targets, candidates, strict=True)
                ]
        except* TimeIsUpError:
            raise RequestError(
                HTTPStatus.GATEWAY_TIMEOUT, "nothing was drawn in time; send fewer pictures or try again later"
            ) from None
        except* RequestError as errors:
            raise errors.exceptions[0] from None
        return [search.result() for search in searches], _timing("search", started)

    def _end_of_searches(self) -> float:
        """The event loop's time at which searches of a request that comes now return the best that they have found."""
        return asyncio.get_running_loop().time() + _SHARE_OF_DEADLINE * self._settings.deadline

    async def _before_deadline(self, work: Awaitable[Result], request: Request) -> Result:
        return await run_before_deadline(work, request, self._settings.deadline, "send fewer or smaller pictures")


def _accepted(request: Request) -> Callable[[], PictureFormat]:
    """The format that the Accept header chooses, where a request names none: json where that leaves it open."""
    accept = header_items(request, "accept")
    return lambda: choose_format(accept, get_args(PictureFormat))  # type: ignore[return-value]  # one of these


def _timing(stage: str, started: float) -> str:
    ended = time.perf_counter()
    note_stage(stage, started, ended)
    return f"{stage};dur={1000 * (ended - started):.3f}"


def _json(model: LoadedModel, images: list[dict[str, Any]], disposition: str, timing: str) -> Response:
    body = json.dumps({"model": model.folder.title, "images": images}).encode()
    return _answer(model, body, MEDIA_TYPES["json"], disposition, timing)


def _answer(model: LoadedModel, body: bytes, media_type: str, disposition: str, timing: str) -> Response:
    headers = {"X-Model": model.folder.title, "Server-Timing": timing, "Content-Disposition": disposition}
    return Response(body, headers=headers, media_type=media_type)
