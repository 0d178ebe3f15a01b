"""What a request may say, and what it comes to."""

import io
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from gan.artifact import Manifest
from gan.latents import SEEDS, latents, seed_range
from serving.encoding import IMAGE_FORMATS, Format, Sheet
from serving.errors import RequestError, field_error, from_validation
from serving.settings import Settings

Seed = Annotated[int, Field(ge=0, lt=SEEDS)]

_LIST_FIELDS = {"seeds"}


class GenerateRequest(BaseModel):
    """What POST /generate takes in its body and GET /generate in the query. Every field is optional; types are strict."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    seed: Seed | None = None
    """of the first picture; drawn, and reported in X-Seed, if absent"""
    n: Annotated[int, Field(ge=1)] | None = None
    """how many pictures, with seeds that count up from the first; 1 if absent"""
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    """one seed for each picture, instead of seed and n"""
    noise: Annotated[list[list[FiniteFloat]], Field(min_length=1)] | None = None
    """one latent vector for each picture, instead of seeds"""
    truncation: Annotated[float, Field(gt=0, le=1)] | None = None
    """less variety for more typical pictures; none if absent"""
    model: str | None = None
    """name or name@version of the model; the default model if absent"""
    format: Format | None = None
    """of the answer; the Accept header decides if absent"""
    columns: Annotated[int, Field(ge=1)] | None = None
    """of the grid that png, webp and jpeg show; as close to a square as possible if absent"""
    scale: Annotated[int, Field(ge=1)] | None = None
    """whole-number enlargement; 1 if absent"""
    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    """of webp and jpeg; 90 if absent"""

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read a JSON body; an empty one leaves every field out. Raises RequestError."""
        try:
            return cls.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise from_validation(error) from error

    @classmethod
    def from_query(cls, query: Iterable[tuple[str, str]]) -> Self:
        """Read fields from a query; lists are comma-separated. Raises RequestError."""
        fields: dict[str, Any] = {}
        for name, text in query:
            if name in fields:
                raise field_error((name,), "is given more than once; separate the items of a list by commas")
            fields[name] = _split(text, name)
        try:
            # Not strict: in a query every value is text.
            return cls.model_validate(fields, strict=False)
        except ValidationError as error:
            raise from_validation(error) from error


def _split(text: str, name: str) -> Any:
    if name == "noise":
        return [vector.split(",") for vector in text.split(";")]
    return text.split(",") if name in _LIST_FIELDS else text


def read_npy(body: bytes) -> NDArray[np.float32]:
    """The float32 [n, z_dim] array of an .npy body. Raises RequestError.

    The header is checked by hand against the body's length: it may claim any shape, and NumPy would reserve memory for that.
    """
    file = io.BytesIO(body)
    try:
        version = npy.read_magic(file)
        shape, fortran_order, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    except ValueError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is not an .npy file: {error}") from error
    if dtype != np.float32 or len(shape) != 2 or fortran_order:
        raise field_error(("noise",), f"must be float32 [n, z_dim] in C order, not {dtype} {list(shape)}")
    if 0 in shape or len(body) - file.tell() != 4 * shape[0] * shape[1]:
        raise field_error(("noise",), f"holds {len(body) - file.tell()} bytes of numbers, not those of {list(shape)} float32")
    noise = np.frombuffer(body, np.float32, offset=file.tell()).reshape(shape)
    if not np.isfinite(noise).all():
        row, column = np.argwhere(~np.isfinite(noise))[0].tolist()
        raise field_error(("noise", row, column), "must be a finite number")
    return noise


@dataclass(frozen=True)
class Generation:
    """A request with everything settled: what to draw, and how to show it."""

    z: NDArray[np.float32]  # [n, z_dim]
    seeds: list[int] | None  # None for pictures from noise
    reproducible: bool  # whether the same request asks for the same pictures again
    format: Format
    sheet: Sheet

    @classmethod
    def plan(
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
            raise field_error((source,), f"at most {settings.max_n} pictures in one request, not {n}")
        sheet = _sheet(asked, n, manifest, settings)
        if noise is not None:
            if noise.shape[1] != manifest.z_dim:
                raise field_error(("noise", 0), f"a latent vector of this model has {manifest.z_dim} numbers, not {noise.shape[1]}")
            seeds, z = None, noise
        else:
            first = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
            seeds = asked.seeds or seed_range(first, n)
            z = latents(seeds, manifest.z_dim, manifest.latent, _truncation(asked, manifest))
        reproducible = noise is not None or asked.seeds is not None or asked.seed is not None
        return cls(z, seeds, reproducible, asked.format or accepted(), sheet)


def _check_exclusions(asked: GenerateRequest, noise: bool) -> None:
    """Seeds with n, a list of seeds, and noise exclude each other, even where they would agree."""
    for present, field, others in ((noise, "noise", ("seeds", "seed", "n", "truncation")), (asked.seeds, "seeds", ("seed", "n"))):
        for other in others:
            if present and getattr(asked, other) is not None:
                raise field_error((other,), f"excludes {field}; give one of them")


def _sheet(asked: GenerateRequest, n: int, manifest: Manifest, settings: Settings) -> Sheet:
    uses: dict[str, tuple[Format, ...]] = {
        "columns": IMAGE_FORMATS,
        "scale": (*IMAGE_FORMATS, "zip", "json"),
        "quality": ("webp", "jpeg"),
    }
    for field, formats in uses.items():
        if getattr(asked, field) is not None and asked.format is not None and asked.format not in formats:
            raise field_error((field,), f"has no meaning for {asked.format}, only for {', '.join(formats)}")
    if asked.columns is not None and asked.columns > n:
        raise field_error(("columns",), f"at most as many as there are pictures, {n}")
    scale = asked.scale or 1
    pixels = n * manifest.height * manifest.width * scale**2
    if pixels > settings.max_pixels:
        raise field_error(
            ("scale" if scale > 1 else "n",), f"comes to {pixels} pixels; at most {settings.max_pixels} in one answer"
        )
    return Sheet(asked.columns, scale, asked.quality or Sheet.quality)


def _truncation(asked: GenerateRequest, manifest: Manifest) -> float | None:
    if asked.truncation is not None and manifest.latent != "normal":
        raise field_error(("truncation",), "this model's latents are uniform; truncation is for normal ones")
    return manifest.sampling.truncation if asked.truncation is None else asked.truncation


def _noise_array(noise: list[list[float]]) -> NDArray[np.float32]:
    """float32 [n, z_dim]. Raises RequestError for vectors of different lengths or a number too large."""
    for row, vector in enumerate(noise):
        if len(vector) != len(noise[0]):
            raise field_error(("noise", row), f"has {len(vector)} numbers, the first vector has {len(noise[0])}")
    with np.errstate(over="ignore"):
        array = np.array(noise, np.float32)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0].tolist()
        raise field_error(("noise", row, column), "too large for a float32")
    return array
