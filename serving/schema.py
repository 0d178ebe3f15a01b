"""The fields of requests, and the .npy body."""

import re
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo

from gan.latents import SEEDS
from serving import messages
from serving.encoding import AnimationFormat, Format
from serving.errors import RequestError, field_error

# A normal component hardly ever exceeds 6; far beyond that a network's sums overflow and there is no image.
NOISE_LIMIT = 1000.0


def _whole(value: Any, info: ValidationInfo) -> Any:
    """7.0 and 7e0 are whole numbers too, in JSON and in the text of a query."""
    value = _plain_number(value, info)
    if isinstance(value, str) and info.mode == "python" and not value.strip().isdecimal():
        with suppress(ValueError):
            value = float(value)
    return _without_point(value)


def _plain_number(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and info.mode == "python" and ("_" in value or not value.isascii()):  # a query; JSON has numbers
        raise ValueError("digits that only Python reads")  # 1_0 would be 10
    return value


def _without_point(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _format_name(value: Any) -> Any:
    """Accepts names in any case, and jpg for jpeg."""
    name = value.strip().lower() if isinstance(value, str) else value
    return "jpeg" if name == "jpg" else name


_Whole = BeforeValidator(_whole)
_PlainNumber = BeforeValidator(_plain_number)
_FormatName = BeforeValidator(_format_name)

Seed = Annotated[int, _Whole, Field(ge=0, lt=SEEDS)]
Count = Annotated[int, _Whole, Field(ge=1)]
Quality = Annotated[int, _Whole, Field(ge=1, le=100)]
# Text in a query stays text, which may be a name
ClassIndex = Annotated[int, BeforeValidator(_without_point), Field(ge=0)]
NoiseComponent = Annotated[float, _PlainNumber, Field(ge=-NOISE_LIMIT, le=NOISE_LIMIT, allow_inf_nan=False)]
CodeValue = Annotated[float, _PlainNumber, Field(allow_inf_nan=False)]  # the model's code of this name has the limits


class _Request(BaseModel):
    """Fields and parsers that all requests share. Types are strict, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    _wanted: ClassVar[dict[str, tuple[str, ...]]]
    _from_query: bool = PrivateAttr(False)

    truncation: Annotated[float, _PlainNumber, Field(gt=0, le=1)] | None = None
    """less variety for more typical images; none if absent"""
    model: str | None = None
    """name or name@version of the model; the default model if absent"""
    scale: Count | None = None
    """whole-number enlargement; 1 if absent"""
    quality: Quality | None = None
    """of webp and jpeg; 90 if absent"""

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read a JSON body; an empty one leaves every field out. Raises RequestError."""
        try:
            return cls.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise messages.from_validation(error, cls._wanted, in_query=False) from error

    @classmethod
    def from_query(cls, query: Iterable[tuple[str, str]]) -> Self:
        """Read fields from a query; an empty value is an absent one. Raises RequestError.

        Lists are separated by commas, or have their field once for each item.
        """
        given: dict[str, list[str]] = {}
        for name, text in query:
            if text.strip():
                given.setdefault(name, []).append(text)
        fields = {name: _from_texts(name, texts) for name, texts in given.items()}
        try:
            # Not strict: in a query every value is text.
            request = cls.model_validate(fields, strict=False)
        except ValidationError as error:
            raise messages.from_validation(error, cls._wanted, in_query=True) from error
        request._from_query = True
        return request

    @property
    def from_query_text(self) -> bool:
        """Whether every value was text, so that a label's index cannot be told from a name by its type."""
        return self._from_query


class GenerateRequest(_Request):
    """What POST /generate takes in its body and GET /generate in the query. Every field is optional."""

    _wanted = messages.GENERATE

    seed: Seed | None = None
    """of the first image; drawn, and reported in X-Seed, if absent"""
    n: Count | None = None
    """how many images, with seeds that count up from the first; 1 if absent"""
    seeds: Annotated[list[Seed], Field(min_length=1, fail_fast=True)] | None = None
    """one seed for each image, instead of seed and n"""
    noise: Annotated[list[Annotated[list[NoiseComponent], Field(fail_fast=True)]], Field(min_length=1, fail_fast=True)] | None = (
        None
    )
    """one latent vector for each image, instead of seeds; its numbers lie between -1000 and 1000"""
    label: ClassIndex | str | Annotated[list[ClassIndex | str], Field(min_length=1, fail_fast=True)] | None = None
    """for models with labels: a class by name or by index, one for all images or one for each; the seed's if absent"""
    codes: dict[str, CodeValue | Annotated[list[CodeValue], Field(min_length=1, fail_fast=True)]] | None = None
    """by name, for models with codes: a category's index, or a number, in training between -1 and 1; one for all images or one
    for each; the seed's if absent"""
    format: Annotated[Format, _FormatName] | None = None
    """of the answer, jpg being jpeg; the Accept header decides if absent"""
    columns: Count | None = None
    """of the grid that png, webp and jpeg show; as close to a square as possible if absent"""


class InterpolateRequest(_Request):
    """What POST /interpolate takes in its body: a way through the latent space from seed to seed."""

    _wanted = messages.INTERPOLATE

    seeds: Annotated[list[Seed], Field(min_length=2, fail_fast=True)]
    """the images that are passed through, in order; at least two"""
    label: ClassIndex | str | None = None
    """what to draw, for models with labels: a class by name or by index; that of the first seed if absent"""
    codes: dict[str, CodeValue] | None = None
    """by name, for models with codes, held in all frames; if absent a category is that of the first seed, and a number changes from
    seed to seed"""
    frames: Annotated[int, _Whole, Field(ge=2)] | None = None
    """how many images in all; 32 if absent"""
    loop: bool | None = None
    """whether to go on from the last seed to the first, so that the animation has no jump; false if absent"""
    fps: Annotated[float, Field(gt=0, le=50)] | None = None
    """frames per second of webp and gif; 12 if absent"""
    format: Annotated[AnimationFormat, _FormatName] | None = None
    """webp, if absent, and gif: an animation; png: all frames side by side; zip and npz: every frame by itself"""


def _from_texts(name: str, texts: list[str]) -> Any:
    """A field's value from all its values in a query. Raises RequestError."""
    if name == "seeds":
        return [seed for text in texts for seed in text.split(",")]
    if name == "noise":
        return [vector.split(",") for text in texts for vector in text.split(";")]
    if name == "codes":
        return _codes([part for text in texts for part in text.split(";")])
    if len(texts) > 1 and name != "label":
        raise field_error((name[:100],), "is given more than once; give it once")
    return texts if len(texts) > 1 else texts[0]  # only the model knows where a label's commas are part of a name


def _codes(parts: list[str]) -> dict[str, str | list[str]]:
    codes: dict[str, str | list[str]] = {}
    for part in parts:
        name, colon, values = part.partition(":")
        if not colon:
            raise field_error(("codes",), f"write codes by name, such as codes={name[:30]}:0.5, and several with ; between them")
        if name in codes:
            raise field_error(("codes", name[:100]), "is given more than once; separate the values for several images by commas")
        codes[name] = values.split(",") if "," in values else values
    return codes


# The header that NumPy and others write: the three entries of a dict in this order
_NPY_HEADER = re.compile(
    rb"""\{\s*['"]descr['"]\s*:\s*['"]([^'"]*)['"]\s*,"""
    rb"""\s*['"]fortran_order['"]\s*:\s*(True|False)\s*,"""
    rb"""\s*['"]shape['"]\s*:\s*\(((?:\s*\d{1,18}\s*,)*\s*(?:\d{1,18}\s*)?)\)\s*,?\s*\}\s*"""
)
_LONGEST_HEADER = 10_000  # bytes; NumPy's own bound


def read_npy(body: bytes) -> NDArray[np.float32]:
    """The float32 [n, z_dim] array of an .npy body. Raises RequestError.

    NumPy would evaluate the header as Python, and reserve memory for any shape that it claims; so it is read by a pattern here,
    and checked against the body's length.
    """
    descr, fortran_order, shape, start = _npy_header(body)
    if descr != "<f4":
        raise field_error(("noise",), f"must be float32 [n, z_dim], not {descr[:20]}; convert it by astype('<f4')")
    if len(shape) != 2:
        remedy = "; make it one row by array[None]" if len(shape) == 1 else ""
        raise field_error(("noise",), f"must have two dimensions, [n, z_dim], not {shape[:4]}{remedy}")
    if fortran_order:
        raise field_error(("noise",), "must be in C order, not in Fortran order; convert it by numpy.ascontiguousarray")
    if 0 in shape:
        raise field_error(("noise",), f"must have at least one row and one column, not {shape}")
    if len(body) - start != 4 * shape[0] * shape[1]:
        raise field_error(("noise",), f"holds {len(body) - start} bytes of numbers, not those of {shape} float32")
    noise = np.frombuffer(body, np.float32, offset=start).reshape(shape)
    inside = np.abs(noise) <= NOISE_LIMIT  # not a number is not inside
    if not inside.all():
        row, column = np.argwhere(~inside)[0].tolist()
        raise field_error(("noise", row, column), f"must be a number between {-NOISE_LIMIT:g} and {NOISE_LIMIT:g}")
    return noise


def _npy_header(body: bytes) -> tuple[str, bool, list[int], int]:
    """Type, order and shape of an .npy file's array, and where its numbers begin. Raises RequestError, 400, for anything else."""
    size_bytes = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(body[6:8])
    if body[:6] != b"\x93NUMPY" or size_bytes is None:
        raise _no_npy("it does not begin as one of format version 1, 2 or 3")
    size, start = int.from_bytes(body[8 : 8 + size_bytes], "little"), 8 + size_bytes
    header = _NPY_HEADER.fullmatch(body, start, start + size) if start + size <= len(body) and size <= _LONGEST_HEADER else None
    if header is None:
        raise _no_npy("its header is not as NumPy writes it")
    descr, order, shape = (part.decode("latin-1") for part in header.groups())
    return descr, order == "True", [int(length) for length in shape.split(",") if length.strip()], start + size


def _no_npy(reason: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, f"the body is not an .npy file: {reason}; write it with numpy.save")
