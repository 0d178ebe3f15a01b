"""Requests checked against their model and the limits: the inputs to generate from, and how to encode the images."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gan import runtimes
from gan.images.encoding import Images
from gan.latents import SEEDS, Inputs, seed_range
from gan.manifest import Manifest
from gan.model import drawing
from gan.model.origins import Origins
from gan.runtimes.base import Runtime
from serving import encoding, filenames
from serving.encoding import ANIMATION_MEDIA_TYPES, MEDIA_TYPES, AnimationFormat, Format, GridOptions
from serving.errors import field_error
from serving.messages import shown
from serving.request_checks import (
    check_animation,
    check_exclusions,
    check_stops,
    check_weights,
    given_inputs,
    grid_options,
    inputs_from_noise,
    noise_array,
    truncation_of,
)
from serving.schema import GenerateRequest, InterpolateRequest
from serving.settings import Settings


class PreparedRequest(Protocol):
    """A request with everything decided."""

    @property
    def n(self) -> int:
        """Number of images."""
        ...

    @property
    def media_type(self) -> str:
        """MIME type of the response body."""
        ...

    @property
    def content_disposition(self) -> str:
        """Value of the header Content-Disposition: a file name, and whether to show the answer or to save it."""
        ...

    @property
    def scale(self) -> int:
        """Whole-number enlargement of every pixel's side."""
        ...

    def inputs(self, runtime: Runtime) -> Inputs:
        """The generator's inputs, one row for each image. For more than a few images, call it off the event loop."""
        ...

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """The response body; `model` is name@version. For more than a few thousand pixels, call it off the event loop."""
        ...


@dataclass(frozen=True)
class PreparedGeneration:
    """Images, each by itself or together in one grid."""

    n: int
    seeds: list[int] | None  # None for images from noise
    given: Inputs  # what the request itself gives: labels, codes, and latent vectors instead of seeds
    blend: list[tuple[int, float]] | None  # seeds and their weights, for one image between them
    truncation: float | None
    manifest: Manifest
    reproducible: bool  # whether the same request always gives the same images
    format: Format
    grid_options: GridOptions
    latents: bool  # whether json has latent vectors too

    @classmethod
    def prepare(
        cls,
        request: GenerateRequest,
        noise: NDArray[np.float32] | None,  # from an .npy body
        manifest: Manifest,
        settings: Settings,
        accepted: Callable[[], Format],  # the format that the Accept header chooses, where the request names none
    ) -> Self:
        """Check fields against each other, the model and the limits. Raises RequestError."""
        if noise is None and request.noise is not None:
            noise = noise_array(request.noise)
        check_exclusions(request, noise is not None, manifest)
        if noise is not None:
            n, source = len(noise), "noise"
        elif request.blend:
            n, source = 1, "blend"
            check_weights(request.blend)
        else:
            n, source = (len(request.seeds), "seeds") if request.seeds else (request.n or 1, "n")
        if n > settings.max_n:
            raise field_error((source,), f"at most {settings.max_n} images in one request, not {shown(n)}")
        kind = request.format or accepted()
        options = grid_options(request, n, kind, manifest, settings)
        seeds, given = None, {}
        if noise is not None:
            given = inputs_from_noise(request, noise, manifest)
        elif request.blend:
            given = given_inputs(request, len(request.blend), manifest, images=1)
        else:
            first = secrets.randbelow(SEEDS) if request.seed is None else request.seed
            seeds = request.seeds or seed_range(first, n)
            given = given_inputs(request, n, manifest)
        reproducible = noise is not None or any(one is not None for one in (request.seeds, request.seed, request.blend))
        truncation, latents = truncation_of(request, manifest), request.latents or False
        return cls(n, seeds, given, request.blend, truncation, manifest, reproducible, kind, options, latents)

    @property
    def media_type(self) -> str:
        """See PreparedRequest."""
        return MEDIA_TYPES[self.format]

    @property
    def content_disposition(self) -> str:
        """See PreparedRequest."""
        return _content_disposition(self.manifest, self.seeds, self.given, self.format)

    @property
    def scale(self) -> int:
        """See PreparedRequest."""
        return self.grid_options.scale

    def inputs(self, runtime: Runtime) -> Inputs:
        """See PreparedRequest."""
        if self.blend is not None:
            return drawing.blend(runtime, self.manifest, self.blend, self.truncation, self.given)
        if self.seeds is None:
            return runtime.complete(self.given, self.truncation)
        return runtimes.inputs_of_seeds(runtime, self.manifest, self.seeds, self.truncation, self.given)

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """See PreparedRequest."""
        origins = Origins(model, self.manifest, self.seeds, rows, self.truncation)
        return encoding.encode(self.format, images, origins, self.grid_options, self.latents)

    def parameters(self) -> bytes:
        """All that the response body depends on, beside the model's version and the programs that generate and encode."""
        parameters = repr((self.seeds, self.blend, self.truncation, self.format, self.grid_options, self.latents, list(self.given)))
        return b"".join([parameters.encode(), *(values.tobytes() for values in self.given.values())])


@dataclass(frozen=True)
class PreparedInterpolation:
    """Frames along a path through the latent space, from seed to seed."""

    n: int
    seeds: list[int] | None  # None for a way through latent vectors that the request gives
    given: Inputs  # what the request itself gives: labels and codes, and latent vectors instead of seeds
    truncation: float | None
    loop: bool
    manifest: Manifest
    format: AnimationFormat
    fps: float
    scale: int
    quality: int

    @classmethod
    def prepare(cls, request: InterpolateRequest, manifest: Manifest, settings: Settings) -> Self:
        """Check fields against each other, the model and the limits. Raises RequestError."""
        frames, seeds = request.frames or 32, request.seeds
        noise = None if request.noise is None else noise_array(request.noise)
        stops = check_stops(request, manifest)
        for field, count in (("frames", frames), ("seeds" if seeds else "noise", stops)):
            if count > settings.max_frames:
                raise field_error((field,), f"at most {settings.max_frames}, not {shown(count)}")
        scale, fps, kind = request.scale or 1, request.fps or 12.0, request.format or "webp"
        check_animation(request, kind, frames, fps, manifest, settings)
        given = given_inputs(request, stops, manifest) if noise is None else inputs_from_noise(request, noise, manifest)
        truncation = truncation_of(request, manifest)
        loop, quality = request.loop or False, request.quality or GridOptions.quality
        return cls(frames, seeds, given, truncation, loop, manifest, kind, fps, scale, quality)

    @property
    def media_type(self) -> str:
        """See PreparedRequest."""
        return ANIMATION_MEDIA_TYPES[self.format]

    @property
    def content_disposition(self) -> str:
        """See PreparedRequest."""
        return _content_disposition(self.manifest, self.seeds, self.given, self.format)

    def inputs(self, runtime: Runtime) -> Inputs:
        """See PreparedRequest."""
        return drawing.interpolation(runtime, self.manifest, self.seeds, self.n, self.loop, self.truncation, self.given)

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """See PreparedRequest."""
        origins = Origins(model, self.manifest, self.seeds, rows, self.truncation)
        return encoding.encode_animation(self.format, images, self.fps, self.scale, self.quality, origins, self.loop)


def _content_disposition(manifest: Manifest, seeds: list[int] | None, given: Inputs, format: str) -> str:
    """From the request alone, so that a 304 need not compute the labels of seeds; with a label only if all images have it."""
    labels = set(given["label"].tolist()) if manifest.classes and "label" in given else set()
    label = manifest.classes[labels.pop()] if manifest.classes and len(labels) == 1 else None
    return filenames.content_disposition(filenames.stem(manifest.name, seeds, label), format)
