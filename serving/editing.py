"""POST /edit, checked against its model and the limits: moves along directions, styles mixed, another label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from gan import runtimes
from gan.directions import Directions
from gan.images.encoding import Images
from gan.inversion import Candidate, Inversion
from gan.latents import Inputs, join
from gan.manifest import Manifest
from gan.model import drawing
from gan.model.origins import Origins
from gan.runtimes.base import Runtime
from serving import encoding, filenames
from serving.encoding import ANIMATION_MEDIA_TYPES, MEDIA_TYPES, AnimationFormat, Format, GridOptions
from serving.errors import field_error
from serving.messages import shown
from serving.picture_requests import MOST_SEARCHES, candidates, check_number, iterations_of
from serving.picture_schema import EditRequest
from serving.request_checks import (
    check_animation,
    given_inputs,
    grid_options,
    inputs_from_noise,
    labels_of,
    noise_array,
    truncation_of,
)
from serving.settings import Settings


@dataclass(frozen=True)
class PreparedEdit:
    """Images that are drawn from inputs which were moved, mixed, or given another label."""

    n: int
    seeds: list[int] | None  # of what is edited; None: latent vectors
    given: Inputs  # what the request itself gives: labels, codes, and latent vectors
    found: Inputs | None  # what pictures were inverted to; None where none were sent
    candidates: list[list[Candidate]]  # for each picture that is to be inverted
    iterations: int
    moves: dict[str, drawing.Span]
    mix: drawing.Mix | None
    truncation: float | None
    manifest: Manifest
    directions: Directions
    sheet: Format | None  # the format of edited images; None: the images are the steps of one edit
    strip: AnimationFormat | None  # that of the steps
    fps: float
    grid_options: GridOptions
    latents: bool

    @classmethod
    def prepare(
        cls,
        request: EditRequest,
        pictures: int,  # that came with it
        manifest: Manifest,
        directions: Directions,
        has_encoder: bool,
        settings: Settings,
        accepted: Callable[[], Format],  # the format that the Accept header chooses, where the request names none
    ) -> Self:
        """Check fields against each other, the model and the limits. Raises RequestError."""
        noise = None if request.noise is None else noise_array(request.noise)
        n = _sources(request, pictures, settings)
        _check_fields_of_pictures(request, pictures)
        check_number(pictures, MOST_SEARCHES, request.where)
        moves, mix = _moves(request, directions), _mix(request, manifest)
        given = given_inputs(request, n, manifest) if noise is None else inputs_from_noise(request, noise, manifest)
        seeds = None if pictures or noise is not None else request.seeds or [request.seed or 0]
        truncation = _truncation(request, pictures, manifest)
        found = _candidates(request, pictures, manifest)
        sheet, strip, images, fps = None, None, request.steps or n, request.fps or 12.0
        if request.steps is None:
            if request.format == "gif" or request.fps is not None:
                raise field_error(("format" if request.format == "gif" else "fps",), "is for animations; give steps")
            sheet = request.format or accepted()
            options = grid_options(request, n, sheet, manifest, settings)
        else:
            strip = _strip_format(request, n, settings)
            check_animation(request, strip, images, fps, manifest, settings)
            options = GridOptions(None, request.scale or 1, request.quality or GridOptions.quality)
        iterations = iterations_of(request, has_encoder)
        return cls(
            *(images, seeds, given, None, found, iterations, moves, mix, truncation, manifest, directions),
            *(sheet, strip, fps, options, request.latents or False),
        )

    def of(self, found: Sequence[Inversion]) -> Self:
        """The edit of what pictures were inverted to."""
        return replace(self, found=join([one.rows for one in found]))

    @property
    def media_type(self) -> str:
        """See PreparedRequest."""
        return ANIMATION_MEDIA_TYPES[self.strip] if self.strip is not None else MEDIA_TYPES[self.sheet or "png"]

    @property
    def content_disposition(self) -> str:
        """See PreparedRequest."""
        return filenames.content_disposition(
            f"{filenames.stem(self.manifest.name, self.seeds, None)}-edited", self.strip or self.sheet or "png"
        )

    @property
    def scale(self) -> int:
        """See PreparedRequest."""
        return self.grid_options.scale

    def inputs(self, runtime: Runtime) -> Inputs:
        """See PreparedRequest."""
        if self.seeds is not None:
            rows = runtimes.inputs_of_seeds(runtime, self.manifest, self.seeds, self.truncation, self.given)
        else:
            rows = runtime.complete({**(self.found or {}), **self.given}, self.truncation)
        steps = None if self.strip is None else self.n
        return drawing.edited(runtime, self.manifest, self.directions, rows, self.moves, self.mix, steps, self.truncation)

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """See PreparedRequest."""
        origins = Origins(model, self.manifest, None, rows, self.truncation)
        options = self.grid_options
        if self.strip is not None:
            return encoding.encode_animation(self.strip, images, self.fps, options.scale, options.quality, origins, loop=False)
        return encoding.encode(self.sheet or "png", images, origins, options, self.latents)


def _sources(request: EditRequest, pictures: int, settings: Settings) -> int:
    """How many images are edited. Raises RequestError unless they come from one source."""
    sources = {"seed": request.seed, "seeds": request.seeds, "noise": request.noise, request.where: pictures or None}
    given = [name for name, value in sources.items() if value is not None]
    if not given:
        raise field_error(("seed",), "is missing: give what is to be edited, as seed, seeds, noise, or a picture")
    if len(given) > 1:
        raise field_error((given[1],), f"excludes {given[0]}; give one of them")
    n = len(request.seeds or request.noise or ()) or pictures or 1
    if n > settings.max_n:
        raise field_error((given[0],), f"at most {settings.max_n} images in one request, not {shown(n)}")
    return n


def _check_fields_of_pictures(request: EditRequest, pictures: int) -> None:
    """Raises RequestError for a field that says what to do with pictures, where none were sent."""
    for name in ("fit", "background", "iterations", "picture_label"):
        if not pictures and getattr(request, name) is not None:
            raise field_error((name,), "is for a picture that is sent; leave it out")


def _truncation(request: EditRequest, pictures: int, manifest: Manifest) -> float | None:
    """That of what is edited. Pictures are inverted with the model's own, and latent vectors are not truncated."""
    if request.truncation is not None and (pictures or (request.noise is not None and manifest.truncates == "z")):
        raise field_error(("truncation",), "is for seeds; leave it out")
    return truncation_of(request, manifest)


def _moves(request: EditRequest, directions: Directions) -> dict[str, drawing.Span]:
    moves: dict[str, drawing.Span] = {}
    for name, amount in (request.move or {}).items():
        where = ("move", name[:100])
        if name not in directions.names:
            there = (
                f"there is {', '.join(directions.names)}"
                if directions.names
                else ("this model has none (python -m training.directions makes some)")
            )
            raise field_error(where, f"there is no such direction; {there}")
        if isinstance(amount, list):
            if request.steps is None:
                raise field_error(where, "is two numbers, from the first step to the last; give steps, or one number")
            moves[name] = (amount[0], amount[1])
        else:
            moves[name] = (0.0, amount) if request.steps is not None else (amount, amount)
    return moves


def _mix(request: EditRequest, manifest: Manifest) -> drawing.Mix | None:
    if request.mix is None:
        return None
    if manifest.styles is None:
        raise field_error(("mix",), "is for models with styles, as StyleGANs are; this one has none")
    for place, layer in enumerate(request.mix.layers):
        if layer >= manifest.styles.layers:
            raise field_error(
                ("mix", "layers", place), f"must be a layer from 0 to {manifest.styles.layers - 1}, not {shown(layer)}"
            )
    return drawing.Mix(request.mix.seed, tuple(request.mix.layers))


def _candidates(request: EditRequest, pictures: int, manifest: Manifest) -> list[list[Candidate]]:
    of_pictures: Inputs = {}
    if request.picture_label is not None:
        labels = labels_of("picture_label", request.picture_label, pictures, manifest, request.from_query_text)
        of_pictures["label"] = labels
    return candidates(of_pictures, pictures, manifest)


def _strip_format(request: EditRequest, n: int, settings: Settings) -> AnimationFormat:
    """The format of the steps of one edit. Raises RequestError."""
    if n != 1:
        raise field_error(("steps",), f"are those of one image, not of {n}")
    if request.steps is not None and request.steps > settings.max_frames:
        raise field_error(("steps",), f"at most {settings.max_frames}, not {shown(request.steps)}")
    for name in ("columns", "latents"):
        if getattr(request, name) is not None:
            raise field_error((name,), "has no meaning with steps")
    kind = request.format or "webp"
    if kind == "jpeg" or kind == "json":
        raise field_error(("format",), f"must be one of {', '.join(ANIMATION_MEDIA_TYPES)} with steps, not {kind}")
    return kind
