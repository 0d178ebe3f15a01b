"""Checks of a request's fields against each other, the model and the limits; each raises RequestError."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.images.encoding import grid_shape
from gan.latents import Code, Inputs, code_dtype
from gan.manifest import Manifest
from serving.encoding import IMAGE_FORMATS, AnimationFormat, Format, GridOptions
from serving.errors import field_error
from serving.labels import ClassNames, one_for_each
from serving.messages import shown
from serving.npy import NOISE_LIMIT
from serving.picture_schema import EditRequest, InvertRequest
from serving.schema import GenerateRequest, InterpolateRequest, RequestFields
from serving.settings import Settings

DrawingRequest = GenerateRequest | InterpolateRequest | InvertRequest | EditRequest

# The formats that a field has a meaning for, where these are not all formats
_FORMATS_OF_FIELD: dict[str, tuple[str, ...]] = {
    "columns": IMAGE_FORMATS,
    "scale": (*IMAGE_FORMATS, "zip", "json"),
    "quality": ("webp", "jpeg"),
    "latents": ("json",),
}
_ANIMATION_FORMATS_OF_FIELD: dict[str, tuple[str, ...]] = {"scale": ("webp", "gif", "png", "zip"), "quality": ("webp",)}


def check_fields_of_format(request: RequestFields, format: str | None, uses: dict[str, tuple[str, ...]]) -> None:
    """Raises RequestError for a field that has no meaning for the format; `uses` are the formats that it has one for."""
    for field, formats in uses.items():
        if getattr(request, field) is not None and format is not None and format not in formats:
            raise field_error((field,), f"has no meaning for {format}, only for {', '.join(formats)}")


# The longest duration of one frame, which equal frames become: hundredths of a second in 16 bits, thousandths in 24
_MOST_SECONDS = {"gif": 655, "webp": 16_777}

# The largest height and width: 14 bits in WebP, 16 in GIF and JPEG, of which libjpeg leaves some out
_MOST_PIXELS_OF_A_SIDE = {"webp": 16_383, "jpeg": 65_500, "gif": 65_535}


def check_animation(
    request: InterpolateRequest | EditRequest,
    format: AnimationFormat,
    frames: int,
    fps: float,
    manifest: Manifest,
    settings: Settings,
) -> None:
    """Fields without a meaning for the format, and the bounds on its duration and its pixels. Raises RequestError."""
    check_fields_of_format(request, request.format, _ANIMATION_FORMATS_OF_FIELD)
    _check_duration(format, frames, fps)
    scale = request.scale or 1
    _check_pixels("frames" if isinstance(request, InterpolateRequest) else "steps", frames, scale, manifest, settings)
    _check_sides("scale" if scale > 1 else "format", format, manifest.height * scale, manifest.width * scale)


def _check_duration(format: AnimationFormat, frames: int, fps: float) -> None:
    most = _MOST_SECONDS.get(format)
    if most is not None and frames > fps * most:
        least = math.ceil(1000 * frames / most) / 1000
        raise field_error(("fps",), f"must be at least {least:g} for {frames} frames: a {format} may last {most} s")


def _check_pixels(field: str, n: int, scale: int, manifest: Manifest, settings: Settings) -> None:
    pixels = n * manifest.height * manifest.width * scale**2
    if pixels > settings.max_pixels:
        raise field_error(
            ("scale" if scale > 1 else field,), f"comes to {shown(pixels)} pixels; at most {settings.max_pixels} in one answer"
        )


def _check_sides(field: str, format: str, height: int, width: int) -> None:
    most = _MOST_PIXELS_OF_A_SIDE.get(format)
    if most is not None and max(height, width) > most:
        raise field_error((field,), f"comes to {width}x{height} pixels; a {format} may have {most} a side, a png any number")


def check_exclusions(request: GenerateRequest, noise: bool, manifest: Manifest) -> None:
    """Check that the request has only one of: seed with n, a list of seeds, noise, a blend; and no truncation of given latents."""
    without_noise = ("seeds", "seed", "n", *(["truncation"] if manifest.truncates == "z" else []))
    for present, field, others in (
        (noise, "noise", without_noise),
        (request.blend, "blend", ("seeds", "seed", "n", "noise")),
        (request.seeds, "seeds", ("seed", "n")),
    ):
        for other in others:
            if present and (getattr(request, other) is not None or (other == "noise" and noise)):
                raise field_error((other,), f"excludes {field}; give one of them")


def check_weights(blend: list[tuple[int, float]]) -> None:
    """Raises RequestError for a blend in which all weights are 0."""
    if not any(weight for _, weight in blend):
        raise field_error(("blend",), "must have a weight over 0")


def check_stops(request: InterpolateRequest, manifest: Manifest) -> int:
    """How many images an interpolation passes through, by seeds or by noise. Raises RequestError for none, one or both."""
    if request.noise is not None and request.truncation is not None and manifest.truncates == "z":
        raise field_error(("truncation",), "excludes noise; give one of them")
    if request.noise is None and request.seeds is None:
        raise field_error(("seeds",), "is missing; it must be a list of at least two seeds, or give noise")
    if request.noise is not None and request.seeds is not None:
        raise field_error(("noise",), "excludes seeds; give one of them")
    stops = len(request.seeds or request.noise or ())
    if stops < 2:
        raise field_error(("noise",), "must be a list of at least two latent vectors")
    return stops


def grid_options(
    request: GenerateRequest | EditRequest, n: int, format: Format, manifest: Manifest, settings: Settings
) -> GridOptions:
    """How n images are laid out and enlarged. Raises RequestError."""
    check_fields_of_format(request, request.format, _FORMATS_OF_FIELD)
    if request.latents and format != "json":
        raise field_error(("latents",), "is for json; ask for format json too")
    if request.columns is not None and request.columns > n:
        raise field_error(("columns",), f"at most as many as there are images, {n}")
    options = GridOptions(request.columns, request.scale or 1, request.quality or GridOptions.quality)
    check_sheet("n", n, options, format, manifest, settings, "n" if request.columns is None else "columns")
    return options


def check_sheet(
    field: str,  # that says n
    n: int,
    options: GridOptions,
    format: str,
    manifest: Manifest,
    settings: Settings,
    layout: str | None = None,  # the field that says how wide a sheet is; None: that of n
) -> None:
    """The bounds on the pixels of n images, and on the sides of a sheet of them. Raises RequestError."""
    scale = options.scale
    _check_pixels(field, n, scale, manifest, settings)
    if format in IMAGE_FORMATS:
        rows, columns = grid_shape(n, options.columns)
        field = layout if layout not in (None, field) else "scale" if scale > 1 else field
        _check_sides(field, format, rows * manifest.height * scale, columns * manifest.width * scale)


def truncation_of(request: GenerateRequest | InterpolateRequest | EditRequest, manifest: Manifest) -> float | None:
    """The request's truncation, or else the model's. Raises RequestError for a model that does not take it."""
    if request.truncation is not None and manifest.truncates == "z":
        if manifest.latent != "normal":
            raise field_error(("truncation",), "this model's latents are uniform; truncation is for normal ones")
        if request.truncation == 0:
            raise field_error(("truncation",), "must be over 0: only models that truncate styles take 0")
    return manifest.sampling.truncation if request.truncation is None else request.truncation


def given_inputs(request: DrawingRequest, n: int, manifest: Manifest, images: int | None = None) -> Inputs:
    """The labels and codes that a request gives, in n rows: one for each of its images, or of so many, repeated.

    Raises RequestError.
    """
    inputs, n, repeats = _given_inputs(request, images or n, manifest), images or n, n // (images or n)
    return {name: np.repeat(values, repeats) for name, values in inputs.items()}


def _given_inputs(request: DrawingRequest, n: int, manifest: Manifest) -> Inputs:
    inputs: Inputs = {}
    if request.label is not None:
        inputs["label"] = labels_of("label", request.label, n, manifest, request.from_query_text)
    if request.codes is not None:
        codes = {code.name: code for code in manifest.codes}
        for name, given in request.codes.items():
            if name not in codes:
                message = (
                    f"there is no such code; there is {', '.join(codes)}" if codes else "this model has no codes; leave it out"
                )
                raise field_error(("codes", name[:100]), message)
            values = [_code_value(value, codes[name]) for value in one_for_each(("codes", name), given, n)]
            inputs[name] = np.array(values, code_dtype(codes[name]))
    return inputs


def labels_of(field: str, given: Any, n: int, manifest: Manifest, in_query: bool) -> NDArray[np.int64]:
    """The index of a class for each of n images, from what a field gives. Raises RequestError."""
    if manifest.classes is None:
        raise field_error((field,), "this model has no labels; leave it out")
    names = ClassNames(manifest.classes, field)
    if in_query:
        given = names.split(given if isinstance(given, list) else [given])
    return np.array([names.index(label, in_query) for label in one_for_each((field,), given, n)], np.int64)


def inputs_from_noise(request: DrawingRequest, noise: NDArray[np.float32], manifest: Manifest) -> Inputs:
    """The latent vectors with labels and codes, which must all be given. Raises RequestError."""
    if noise.shape[1] != manifest.z_dim:
        raise field_error(("noise", 0), f"a latent vector of this model has {manifest.z_dim} numbers, not {noise.shape[1]}")
    given = given_inputs(request, len(noise), manifest)
    for name in manifest.input_spec.names[1:]:
        if name not in given:
            where = ("label",) if name == "label" else ("codes", name)
            raise field_error(where, "must be given with noise, which has no seed to draw it from")
    return {"z": noise, **{name: given[name] for name in manifest.input_spec.names[1:]}}


def _code_value(value: float, code: Code) -> float:
    if code.categories is None and abs(value) > NOISE_LIMIT:
        raise field_error(("codes", code.name), f"must be a number between {-NOISE_LIMIT:g} and {NOISE_LIMIT:g}, not {value:g}")
    if code.categories is not None and not (value.is_integer() and 0 <= value < code.categories):
        raise field_error(("codes", code.name), f"must be a whole number from 0 to {code.categories - 1}, not {value:g}")
    return value


def noise_array(noise: list[list[float]]) -> NDArray[np.float32]:
    """float32 [n, z_dim]. Raises RequestError for vectors of different lengths."""
    for row, vector in enumerate(noise):
        if len(vector) != len(noise[0]):
            raise field_error(("noise", row), f"has {len(vector)} numbers, the first vector has {len(noise[0])}")
    return np.array(noise, np.float32)
