"""What a request may say."""

import io
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from gan.latents import SEEDS
from serving.encoding import AnimationFormat, Format
from serving.errors import RequestError, field_error, from_validation

Seed = Annotated[int, Field(ge=0, lt=SEEDS)]

# A normal component is hardly ever beyond 6; far beyond that a network's sums overflow and there is no picture to draw.
NOISE_LIMIT = 1000.0
NoiseComponent = Annotated[float, Field(ge=-NOISE_LIMIT, le=NOISE_LIMIT, allow_inf_nan=False)]

_LIST_FIELDS = {"seeds"}

ClassIndex = Annotated[int, Field(ge=0)]
CodeValue = int | Annotated[float, Field(ge=-NOISE_LIMIT, le=NOISE_LIMIT, allow_inf_nan=False)]


class _Request(BaseModel):
    """Fields and ways of reading that all requests share. Types are strict, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    _from_query: bool = PrivateAttr(False)

    truncation: Annotated[float, Field(gt=0, le=1)] | None = None
    """less variety for more typical pictures; none if absent"""
    model: str | None = None
    """name or name@version of the model; the default model if absent"""
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
            asked = cls.model_validate(fields, strict=False)
        except ValidationError as error:
            raise from_validation(error) from error
        asked._from_query = True
        return asked

    @property
    def from_query_text(self) -> bool:
        """Whether every value was text, so that a label's index cannot be told from a name by its type."""
        return self._from_query


class GenerateRequest(_Request):
    """What POST /generate takes in its body and GET /generate in the query. Every field is optional."""

    seed: Seed | None = None
    """of the first picture; drawn, and reported in X-Seed, if absent"""
    n: Annotated[int, Field(ge=1)] | None = None
    """how many pictures, with seeds that count up from the first; 1 if absent"""
    seeds: Annotated[list[Seed], Field(min_length=1, fail_fast=True)] | None = None
    """one seed for each picture, instead of seed and n"""
    noise: Annotated[list[Annotated[list[NoiseComponent], Field(fail_fast=True)]], Field(min_length=1, fail_fast=True)] | None = (
        None
    )
    """one latent vector for each picture, instead of seeds; its numbers lie between -1000 and 1000"""
    label: ClassIndex | str | Annotated[list[ClassIndex | str], Field(min_length=1, fail_fast=True)] | None = None
    """for models with labels: a class by name or by index, one for all pictures or one for each; the seed's if absent"""
    codes: dict[str, CodeValue | Annotated[list[CodeValue], Field(min_length=1, fail_fast=True)]] | None = None
    """by name, for models with codes: a category's index, or a number, in training between -1 and 1; one for all pictures or one
    for each; the seed's if absent"""
    format: Format | None = None
    """of the answer; the Accept header decides if absent"""
    columns: Annotated[int, Field(ge=1)] | None = None
    """of the grid that png, webp and jpeg show; as close to a square as possible if absent"""


class InterpolateRequest(_Request):
    """What POST /interpolate takes in its body: a way through the latent space from seed to seed."""

    seeds: Annotated[list[Seed], Field(min_length=2, fail_fast=True)]
    """the pictures that are passed through, in order; at least two"""
    label: ClassIndex | str | None = None
    """what to draw, for models with labels: a class by name or by index; that of the first seed if absent"""
    codes: dict[str, CodeValue] | None = None
    """by name, for models with codes, held in all frames; if absent a category is that of the first seed, and a number changes from
    seed to seed"""
    frames: Annotated[int, Field(ge=2)] | None = None
    """how many pictures in all; 32 if absent"""
    loop: bool | None = None
    """whether to go on from the last seed to the first, so that the animation has no jump; false if absent"""
    fps: Annotated[float, Field(gt=0, le=50)] | None = None
    """frames per second of webp and gif; 12 if absent"""
    format: AnimationFormat | None = None
    """webp, if absent, and gif: an animation; png: all frames side by side; zip and npz: every frame by itself"""


def _split(text: str, name: str) -> Any:
    if name == "noise":
        return [vector.split(",") for vector in text.split(";")]
    if name == "codes":
        return {code: _one_or_many(values) for code, _, values in (part.partition(":") for part in text.split(";"))}
    if name == "label":
        return _one_or_many(text)
    return text.split(",") if name in _LIST_FIELDS else text


def _one_or_many(text: str) -> str | list[str]:
    return text.split(",") if "," in text else text


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
    inside = np.abs(noise) <= NOISE_LIMIT  # not a number is not inside
    if not inside.all():
        row, column = np.argwhere(~inside)[0].tolist()
        raise field_error(("noise", row, column), f"must be a number between {-NOISE_LIMIT:g} and {NOISE_LIMIT:g}")
    return noise
