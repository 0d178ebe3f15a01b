"""Prepared request -> the body of its answer: admit, make the inputs, generate, encode. Knows no routes."""

import math
import time
from contextlib import ExitStack
from http import HTTPStatus

import numpy as np

from gan.latents import Inputs
from gan.processors import usable_processors
from serving.admission import Admission
from serving.answers import Answers
from serving.batch_queue import Generated
from serving.batching import Batcher, DeviceLostError
from serving.errors import RequestError
from serving.loaded_model import LoadedModel
from serving.metrics import metrics
from serving.prepared_requests import PreparedRequest
from serving.request_record import note_images, note_stage
from serving.settings import Settings
from serving.threads import Threads
from serving.workers import threads_of_worker

# Images whose latent vectors are made, and pixels that are encoded, within a millisecond: less than it takes to pass them to
# a thread and back under load
_FEW_IMAGES, _SMALL_ANSWER = 16, 2**12
# One processor does the work of all of them, so that a small request's vectors are not behind all of a large one's.
_INPUT_THREADS = 4
_BYTES_OF_A_DERIVATIVE = 20  # of a pixel's value: as it was drawn, and as numbers of 8 bytes before and after it is divided
_BYTES_OF_A_SCORE = 12  # of a pixel's value: the picture, what is drawn, and their difference
_RESTART = 15  # seconds until another process answers in the place of one that has lost its device


class Pipeline:
    """The stages that every request for images passes through. `answers` also bounds what other applications send."""

    def __init__(self, batcher: Batcher, settings: Settings) -> None:
        encoders = threads_of_worker(settings) or usable_processors()
        self._batcher = batcher
        self.admission = Admission(settings.queue, settings.queue_bytes, lambda: batcher.images_per_second)
        # As large as there may be, three bytes a pixel: one from each encoder, and one that is being read
        self.answers = Answers((encoders + 1) * 3 * settings.max_pixels)
        self._input_threads, self._encoders = Threads(_INPUT_THREADS, "inputs"), Threads(encoders, "encode")

    def admit(self, model: LoadedModel, prepared: PreparedRequest) -> ExitStack:
        """Count the request until the stack is closed. Raises RequestError if there is no room for it."""
        note_images(model.folder.title, prepared.n)
        answer_size = prepared.n * math.prod(model.image_shape) * prepared.scale**2  # bytes, before they are compressed
        return self._admit(prepared.n, prepared.n * model.row_size, answer_size)

    def admit_searches(self, model: LoadedModel, n: int, work: int, scale: int) -> ExitStack:
        """Count n pictures whose latent vectors are searched for, each as the images of a Jacobian, until the stack is closed.

        At most `work` images are drawn for them. Raises RequestError if there is no room for them.
        """
        note_images(model.folder.title, n)
        values = math.prod(model.image_shape)
        images = n * model.folder.manifest.z_dim
        return self._admit(images, images * (model.row_size + _BYTES_OF_A_DERIVATIVE * values), 2 * n * values * scale**2, work)

    def admit_scores(self, model: LoadedModel, n: int, scale: int) -> ExitStack:
        """Count n pictures that are scored, each as an image of every class, until the stack is closed.

        Raises RequestError if there is no room for them.
        """
        note_images(model.folder.title, n)
        values = math.prod(model.image_shape)
        images = n * (model.folder.manifest.input_spec.classes or 1)
        return self._admit(images, images * _BYTES_OF_A_SCORE * values, 2 * n * values * scale**2)

    def _admit(self, n: int, size: int, answer_size: int, work: int | None = None) -> ExitStack:
        self.answers.check(answer_size)
        held = ExitStack()
        held.enter_context(self.admission.admit(n, size + answer_size, work))
        return held

    async def run(self, model: LoadedModel, prepared: PreparedRequest, held: ExitStack) -> tuple[bytes, str]:
        """The body, and the header Server-Timing. `held` stays open until no thread works for the request any more."""
        few = prepared.n <= _FEW_IMAGES and model.folder.manifest.styles is None  # a mapping network takes longer
        inputs = prepared.inputs
        rows = inputs(model.runtime) if few else await self._input_threads.run(inputs, model.runtime, held=held)
        generated = await self._generate(model, rows)
        images, title = generated.images, model.folder.title
        started = time.perf_counter()
        if images[..., 0].size * prepared.scale**2 <= _SMALL_ANSWER:
            body = prepared.encode(images, rows, title)
        else:
            await self.answers.reserve(images.size * prepared.scale**2, held)
            body = await self._encoders.run(prepared.encode, images, rows, title, held=held)
        ended = time.perf_counter()
        seconds = {"queue": generated.queue_seconds, "infer": generated.infer_seconds, "encode": ended - started}
        metrics().queue_seconds.observe(seconds["queue"])
        metrics().encode_seconds.observe(seconds["encode"])
        note_stage("queue", generated.started - generated.queue_seconds, generated.started)
        note_stage("infer", generated.started, generated.started + generated.infer_seconds)
        note_stage("encode", started, ended)
        return body, ", ".join(f"{stage};dur={1000 * value:.3f}" for stage, value in seconds.items())

    async def _generate(self, model: LoadedModel, rows: Inputs) -> Generated:
        try:
            generated = await self._batcher.submit(model.runtime, rows)
        except DeviceLostError:
            raise device_lost() from None
        shape, dtype = generated.images.shape[1:], generated.images.dtype
        if shape != model.image_shape or dtype != np.uint8:
            raise RuntimeError(f"{model.folder.title} drew {dtype} images of another shape than its manifest's, {shape}")
        return generated


def device_lost() -> RequestError:
    """503 for a request that finds no device, counted as refused."""
    metrics().refused.labels("device lost").inc()
    message = f"the service must start anew; try again in {_RESTART} s"
    return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, message, retry_after=_RESTART)
