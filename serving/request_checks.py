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
from serving.schema import NOISE_LIMIT, GenerateRequest, InterpolateRequest
from serving.settings import Settings

# The formats that a field has a meaning for, where these are not all formats
_FORMATS_OF_FIELD: dict[str, tuple[str, ...]] = {
    "columns": IMAGE_FORMATS,
    "scale": (*IMAGE_FORMATS, "zip", "json"),
    "quality": ("webp", "jpeg"),
}
_ANIMATION_FORMATS_OF_FIELD: dict[str, tuple[str, ...]] = {"scale": ("webp", "gif", "png", "zip"), "quality": ("webp",)}


def _check_fields_of_format(request: GenerateRequest | InterpolateRequest, uses: dict[str, tuple[str, ...]]) -> None:
    for field, formats in uses.items():
        if getattr(request, field) is not None and request.format is not None and request.format not in formats:
            raise field_error((field,), f"has no meaning for {request.format}, only for {', '.join(formats)}")


# The longest duration of one frame, which equal frames become: hundredths of a second in 16 bits, thousandths in 24
_MOST_SECONDS = {"gif": 655, "webp": 16_777}

# The largest height and width: 14 bits in WebP, 16 in GIF and JPEG, of which libjpeg leaves some out
_MOST_PIXELS_OF_A_SIDE = {"webp": 16_383, "jpeg": 65_500, "gif": 65_535}


def check_animation(
    request: InterpolateRequest, format: AnimationFormat, frames: int, fps: float, manifest: Manifest, settings: Settings
) -> None:
    """Fields without a meaning for the format, and the bounds on its duration and its pixels. Raises RequestError."""
    _check_fields_of_format(request, _ANIMATION_FORMATS_OF_FIELD)
    _check_duration(format, frames, fps)
    scale = request.scale or 1
    _check_pixels("frames", frames, scale, manifest, settings)
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


def check_exclusions(request: GenerateRequest, noise: bool) -> None:
    """Check that the request has only one of: seed with n, a list of seeds, noise."""
    for present, field, others in ((noise, "noise", ("seeds", "seed", "n", "truncation")), (request.seeds, "seeds", ("seed", "n"))):
        for other in others:
            if present and getattr(request, other) is not None:
                raise field_error((other,), f"excludes {field}; give one of them")


def grid_options(request: GenerateRequest, n: int, format: Format, manifest: Manifest, settings: Settings) -> GridOptions:
    """How n images are laid out and enlarged. Raises RequestError."""
    _check_fields_of_format(request, _FORMATS_OF_FIELD)
    if request.columns is not None and request.columns > n:
        raise field_error(("columns",), f"at most as many as there are images, {n}")
    scale = request.scale or 1
    _check_pixels("n", n, scale, manifest, settings)
    if format in IMAGE_FORMATS:
        rows, columns = grid_shape(n, request.columns)
        field = "columns" if request.columns is not None else "scale" if scale > 1 else "n"
        _check_sides(field, format, rows * manifest.height * scale, columns * manifest.width * scale)
    return GridOptions(request.columns, scale, request.quality or GridOptions.quality)


def truncation_of(request: GenerateRequest | InterpolateRequest, manifest: Manifest) -> float | None:
    """The request's truncation, or else the model's. Raises RequestError for a model that takes none."""
    if request.truncation is not None and manifest.latent != "normal":
        raise field_error(("truncation",), "this model's latents are uniform; truncation is for normal ones")
    return manifest.sampling.truncation if request.truncation is None else request.truncation


def given_inputs(request: GenerateRequest | InterpolateRequest, n: int, manifest: Manifest) -> Inputs:
    """The labels and codes that a request gives for its n images. Raises RequestError."""
    inputs: Inputs = {}
    if request.label is not None:
        if manifest.classes is None:
            raise field_error(("label",), "this model has no labels; leave it out")
        inputs["label"] = _labels(request.label, n, manifest.classes, request.from_query_text)
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


def _labels(given: Any, n: int, classes: list[str], in_query: bool) -> NDArray[np.int64]:
    """The index of a class for each of n images. Raises RequestError."""
    names = ClassNames(classes)
    if in_query:
        given = names.split(given if isinstance(given, list) else [given])
    return np.array([names.index(label, in_query) for label in one_for_each(("label",), given, n)], np.int64)


def inputs_from_noise(request: GenerateRequest, noise: NDArray[np.float32], manifest: Manifest) -> Inputs:
    """The latent vectors with labels and codes, which must all be given. Raises RequestError."""
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
