"""What a request comes to, once the model and the limits are known: what to draw, and how to show it."""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gan.images.encoding import Images
from gan.latents import SEEDS, Code, Inputs, code_dtype, inputs, interpolate, seed_range
from gan.manifest import Manifest
from serving import encoding, filenames
from serving.encoding import ANIMATION_MEDIA_TYPES, IMAGE_FORMATS, MEDIA_TYPES, AnimationFormat, Format, Sheet
from serving.errors import field_error
from serving.labels import ClassNames, one_for_each
from serving.messages import shown
from serving.origins import Origins
from serving.schema import NOISE_LIMIT, GenerateRequest, InterpolateRequest
from serving.settings import Settings


class PreparedRequest(Protocol):
    """A request with everything settled."""

    @property
    def n(self) -> int:
        """How many images are to be drawn."""
        ...

    @property
    def media_type(self) -> str:
        """Of the answer's body."""
        ...

    @property
    def content_disposition(self) -> str:
        """The answer's name as a file, and whether it is rather shown or kept."""
        ...

    @property
    def scale(self) -> int:
        """Whole-number enlargement of every pixel's side."""
        ...

    def inputs(self) -> Inputs:
        """What to draw, one row for each image. For more than a few images, call it off the event loop."""
        ...

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """The answer's body; `model` is name@version. For more than a few thousand pixels, call it off the event loop."""
        ...


@dataclass(frozen=True)
class PreparedGeneration:
    """Images, each by itself or in one sheet."""

    n: int
    seeds: list[int] | None  # None for images from noise
    given: Inputs  # what the request itself says: labels, codes, and latent vectors instead of seeds
    truncation: float | None
    manifest: Manifest
    reproducible: bool  # whether the same request asks for the same images again
    format: Format
    sheet: Sheet

    @classmethod
    def of(
        cls,
        asked: GenerateRequest,
        noise: NDArray[np.float32] | None,  # from an .npy body
        manifest: Manifest,
        settings: Settings,
        accepted: Callable[[], Format],  # what the Accept header decides, if the request does not
    ) -> Self:
        """Check what concerns several fields, the model or the limits. Raises RequestError."""
        if noise is None and asked.noise is not None:
            noise = _noise_array(asked.noise)
        _check_exclusions(asked, noise is not None)
        if noise is not None:
            n, source = len(noise), "noise"
        else:
            n, source = (len(asked.seeds), "seeds") if asked.seeds else (asked.n or 1, "n")
        if n > settings.max_n:
            raise field_error((source,), f"at most {settings.max_n} images in one request, not {shown(n)}")
        sheet = _sheet(asked, n, manifest, settings)
        if noise is not None:
            if noise.shape[1] != manifest.z_dim:
                raise field_error(("noise", 0), f"a latent vector of this model has {manifest.z_dim} numbers, not {noise.shape[1]}")
            seeds, given = None, _from_noise(asked, noise, manifest)
        else:
            first = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
            seeds = asked.seeds or seed_range(first, n)
            given = _asked_for(asked, n, manifest)
        reproducible = noise is not None or asked.seeds is not None or asked.seed is not None
        return cls(n, seeds, given, _truncation(asked, manifest), manifest, reproducible, asked.format or accepted(), sheet)

    @property
    def media_type(self) -> str:
        """See Plan."""
        return MEDIA_TYPES[self.format]

    @property
    def content_disposition(self) -> str:
        """See Plan."""
        return _content_disposition(self.manifest, self.seeds, self.given, self.format)

    @property
    def scale(self) -> int:
        """See Plan."""
        return self.sheet.scale

    def inputs(self) -> Inputs:
        """See Plan."""
        if self.seeds is None:
            return self.given
        return inputs(self.seeds, self.manifest.space, self.truncation) | self.given

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """See Plan."""
        origins = Origins(model, self.manifest, self.seeds, rows, self.truncation)
        return encoding.encode(self.format, images, origins, self.sheet)

    def parameters(self) -> bytes:
        """All that the answer's bytes depend on, beside the model's version and the programs that draw and encode."""
        what = repr((self.seeds, self.truncation, self.format, self.sheet, list(self.given)))
        return b"".join([what.encode(), *(values.tobytes() for values in self.given.values())])


@dataclass(frozen=True)
class PreparedInterpolation:
    """A way from seed to seed."""

    n: int
    seeds: list[int]
    given: Inputs  # what the request itself says: labels and codes
    truncation: float | None
    loop: bool
    manifest: Manifest
    format: AnimationFormat
    fps: float
    scale: int
    quality: int

    @classmethod
    def of(cls, asked: InterpolateRequest, manifest: Manifest, settings: Settings) -> Self:
        """Check what concerns several fields, the model or the limits. Raises RequestError."""
        frames = asked.frames or 32
        for field, count in (("frames", frames), ("seeds", len(asked.seeds))):
            if count > settings.max_frames:
                raise field_error((field,), f"at most {settings.max_frames}, not {shown(count)}")
        scale, fps, kind = asked.scale or 1, asked.fps or 12.0, asked.format or "webp"
        _check_uses(asked, _ANIMATION_USES)
        _check_duration(kind, frames, fps)
        _check_pixels("frames", frames, scale, manifest, settings)
        given, truncation = _asked_for(asked, len(asked.seeds), manifest), _truncation(asked, manifest)
        way = (frames, asked.seeds, given, truncation, asked.loop or False, manifest)
        return cls(*way, kind, fps, scale, asked.quality or Sheet.quality)

    @property
    def media_type(self) -> str:
        """See Plan."""
        return ANIMATION_MEDIA_TYPES[self.format]

    @property
    def content_disposition(self) -> str:
        """See Plan."""
        return _content_disposition(self.manifest, self.seeds, self.given, self.format)

    def inputs(self) -> Inputs:
        """See Plan."""
        stops = inputs(self.seeds, self.manifest.space, self.truncation) | self.given
        return interpolate(stops, self.n, self.loop, self.manifest.space)

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """See Plan."""
        origins = Origins(model, self.manifest, self.seeds, rows, self.truncation)
        return encoding.encode_animation(self.format, images, self.fps, self.scale, self.quality, origins, self.loop)


def _content_disposition(manifest: Manifest, seeds: list[int] | None, given: Inputs, format: str) -> str:
    """Of what the request says, so that a 304 need not find out which labels seeds draw; a label only if all images have it."""
    labels = set(given["label"].tolist()) if manifest.classes and "label" in given else set()
    label = manifest.classes[labels.pop()] if manifest.classes and len(labels) == 1 else None
    return filenames.content_disposition(filenames.stem(manifest.name, seeds, label), format)


# The formats that a field has a meaning for, where it is not all of them
_USES: dict[str, tuple[str, ...]] = {
    "columns": IMAGE_FORMATS,
    "scale": (*IMAGE_FORMATS, "zip", "json"),
    "quality": ("webp", "jpeg"),
}
_ANIMATION_USES: dict[str, tuple[str, ...]] = {"scale": ("webp", "gif", "png", "zip"), "quality": ("webp",)}


def _check_uses(asked: GenerateRequest | InterpolateRequest, uses: dict[str, tuple[str, ...]]) -> None:
    for field, formats in uses.items():
        if getattr(asked, field) is not None and asked.format is not None and asked.format not in formats:
            raise field_error((field,), f"has no meaning for {asked.format}, only for {', '.join(formats)}")


# The longest that the formats have room for, if all frames look alike and become one: hundredths of a second in 16 bits,
# thousandths in 24
_MOST_SECONDS = {"gif": 655, "webp": 16_777}


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


def _check_exclusions(asked: GenerateRequest, noise: bool) -> None:
    """Seeds with n, a list of seeds, and noise exclude each other, even where they would agree."""
    for present, field, others in ((noise, "noise", ("seeds", "seed", "n", "truncation")), (asked.seeds, "seeds", ("seed", "n"))):
        for other in others:
            if present and getattr(asked, other) is not None:
                raise field_error((other,), f"excludes {field}; give one of them")


def _sheet(asked: GenerateRequest, n: int, manifest: Manifest, settings: Settings) -> Sheet:
    _check_uses(asked, _USES)
    if asked.columns is not None and asked.columns > n:
        raise field_error(("columns",), f"at most as many as there are images, {n}")
    scale = asked.scale or 1
    _check_pixels("n", n, scale, manifest, settings)
    return Sheet(asked.columns, scale, asked.quality or Sheet.quality)


def _truncation(asked: GenerateRequest | InterpolateRequest, manifest: Manifest) -> float | None:
    if asked.truncation is not None and manifest.latent != "normal":
        raise field_error(("truncation",), "this model's latents are uniform; truncation is for normal ones")
    return manifest.sampling.truncation if asked.truncation is None else asked.truncation


def _asked_for(asked: GenerateRequest | InterpolateRequest, n: int, manifest: Manifest) -> Inputs:
    """The labels and codes that a request gives for its n images. Raises RequestError."""
    found: Inputs = {}
    if asked.label is not None:
        if manifest.classes is None:
            raise field_error(("label",), "this model has no labels; leave it out")
        found["label"] = _labels(asked.label, n, manifest.classes, asked.from_query_text)
    if asked.codes is not None:
        codes = {code.name: code for code in manifest.codes}
        for name, given in asked.codes.items():
            if name not in codes:
                message = (
                    f"there is no such code; there is {', '.join(codes)}" if codes else "this model has no codes; leave it out"
                )
                raise field_error(("codes", name[:100]), message)
            values = [_code_value(value, codes[name]) for value in one_for_each(("codes", name), given, n)]
            found[name] = np.array(values, code_dtype(codes[name]))
    return found


def _labels(given: Any, n: int, classes: list[str], in_query: bool) -> NDArray[np.int64]:
    """The index of a class for each of n images. Raises RequestError."""
    names = ClassNames(classes)
    if in_query:
        given = names.split(given if isinstance(given, list) else [given])
    return np.array([names.index(label, in_query) for label in one_for_each(("label",), given, n)], np.int64)


def _from_noise(asked: GenerateRequest, noise: NDArray[np.float32], manifest: Manifest) -> Inputs:
    """Latent vectors, and what no seed is there to give. Raises RequestError."""
    given = _asked_for(asked, len(noise), manifest)
    for name in manifest.space.names[1:]:
        if name not in given:
            where = ("label",) if name == "label" else ("codes", name)
            raise field_error(where, "must be given with noise, which has no seed to draw it from")
    return {"z": noise, **{name: given[name] for name in manifest.space.names[1:]}}


def _code_value(value: float, code: Code) -> float:
    if code.categories is None and abs(value) > NOISE_LIMIT:
        raise field_error(("codes", code.name), f"must be a number between {-NOISE_LIMIT:g} and {NOISE_LIMIT:g}, not {value:g}")
    if code.categories is not None and not (value.is_integer() and 0 <= value < code.categories):
        raise field_error(("codes", code.name), f"must be a whole number from 0 to {code.categories - 1}, not {value:g}")
    return value


def _noise_array(noise: list[list[float]]) -> NDArray[np.float32]:
    """float32 [n, z_dim]. Raises RequestError for vectors of different lengths."""
    for row, vector in enumerate(noise):
        if len(vector) != len(noise[0]):
            raise field_error(("noise", row), f"has {len(vector)} numbers, the first vector has {len(noise[0])}")
    return np.array(noise, np.float32)
