"""The fields of requests."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo

from gan.latents import SEEDS
from serving import messages
from serving.encoding import AnimationFormat, Format
from serving.json_names import check_given_once
from serving.npy import NOISE_LIMIT
from serving.query_text import from_texts


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


Whole = BeforeValidator(_whole)
PlainNumber = BeforeValidator(_plain_number)
FormatName = BeforeValidator(_format_name)

Seed = Annotated[int, Whole, Field(ge=0, lt=SEEDS)]
Count = Annotated[int, Whole, Field(ge=1)]
Quality = Annotated[int, Whole, Field(ge=1, le=100)]
# Text in a query stays text, which may be a name
ClassIndex = Annotated[int, BeforeValidator(_without_point), Field(ge=0)]
NoiseComponent = Annotated[float, PlainNumber, Field(ge=-NOISE_LIMIT, le=NOISE_LIMIT, allow_inf_nan=False)]
CodeValue = Annotated[float, PlainNumber, Field(allow_inf_nan=False)]  # the model's code of this name has the limits
FramesPerSecond = Annotated[float, PlainNumber, Field(gt=0, le=50)]
Truncation = Annotated[float, PlainNumber, Field(ge=0, le=1)]
Noise = Annotated[list[Annotated[list[NoiseComponent], Field(fail_fast=True)]], Field(min_length=1, fail_fast=True)]
Labels = ClassIndex | str | Annotated[list[ClassIndex | str], Field(min_length=1, fail_fast=True)]
Codes = dict[str, CodeValue | Annotated[list[CodeValue], Field(min_length=1, fail_fast=True)]]
Weight = Annotated[float, PlainNumber, Field(ge=0, le=NOISE_LIMIT, allow_inf_nan=False)]
Blend = Annotated[list[tuple[Seed, Weight]], Field(min_length=1, max_length=16, fail_fast=True)]


class RequestFields(BaseModel):
    """Parsers, and the field, that all requests share. Types are strict, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    _wanted: ClassVar[dict[str, tuple[str, ...]]]
    _from_query: bool = PrivateAttr(False)

    model: str | None = None
    """name or name@version of the model; the default model if absent"""

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read a JSON body; an empty one leaves every field out. Raises RequestError."""
        try:
            fields = cls.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise messages.from_validation(error, cls._wanted, in_query=False) from error
        check_given_once(body)
        return fields

    @classmethod
    def from_query(cls, query: Iterable[tuple[str, str]]) -> Self:
        """Read fields from a query, or from a form's texts; an empty value is an absent one. Raises RequestError.

        Lists are separated by commas, or have their field once for each item.
        """
        given: dict[str, list[str]] = {}
        for name, text in query:
            if text.strip():
                given.setdefault(name, []).append(text)
        fields = {name: from_texts(name, texts) for name, texts in given.items()}
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


class GenerateRequest(RequestFields):
    """What POST /generate takes in its body and GET /generate in the query. Every field is optional."""

    _wanted = messages.GENERATE

    seed: Seed | None = None
    """of the first image; drawn, and reported in X-Seed, if absent"""
    n: Count | None = None
    """how many images, with seeds that count up from the first; 1 if absent"""
    seeds: Annotated[list[Seed], Field(min_length=1, fail_fast=True)] | None = None
    """one seed for each image, instead of seed and n"""
    noise: Noise | None = None
    """one latent vector for each image, instead of seeds; its numbers lie between -1000 and 1000"""
    label: Labels | None = None
    """for models with labels: a class by name or by index, one for all images or one for each; the seed's if absent"""
    codes: Codes | None = None
    """by name, for models with codes: a category's index, or a number, in training between -1 and 1; one for all images or one
    for each; the seed's if absent"""
    format: Annotated[Format, FormatName] | None = None
    """of the answer, jpg being jpeg; the Accept header decides if absent"""
    columns: Count | None = None
    """of the grid that png, webp and jpeg show; as close to a square as possible if absent"""
    blend: Blend | None = None
    """one image between those of some seeds, instead of seeds: pairs of a seed and its weight, such as [[1, 0.2], [2, 0.8]]"""
    latents: bool | None = None
    """true: json has the latent vector of each image too, as `noise`; false if absent"""
    truncation: Truncation | None = None
    """less variety for more typical images; none if absent"""
    scale: Count | None = None
    """whole-number enlargement; 1 if absent"""
    quality: Quality | None = None
    """of webp and jpeg; 90 if absent"""


class BentoRequest(RequestFields):
    """What POST /bento/generate takes, by BentoML's own clients."""

    _wanted = messages.BENTO

    seed: Seed | None = None
    n: Count | None = None
    label: ClassIndex | str | None = None
    truncation: Truncation | None = None


class InterpolateRequest(RequestFields):
    """What POST /interpolate takes in its body: a way through the latent space from seed to seed."""

    _wanted = messages.INTERPOLATE

    seeds: Annotated[list[Seed], Field(min_length=2, fail_fast=True)] | None = None
    """the images that are passed through, in order; at least two"""
    noise: Noise | None = None
    """latent vectors to pass through, instead of seeds; at least two"""
    label: ClassIndex | str | None = None
    """what to draw, for models with labels: a class by name or by index; that of the first seed if absent"""
    codes: dict[str, CodeValue] | None = None
    """by name, for models with codes, held in all frames; if absent a category is that of the first seed, and a number changes from
    seed to seed"""
    frames: Annotated[int, Whole, Field(ge=2)] | None = None
    """how many images in all; 32 if absent"""
    loop: bool | None = None
    """whether to go on from the last seed to the first, so that the animation has no jump; false if absent"""
    fps: FramesPerSecond | None = None
    """frames per second of webp and gif; 12 if absent"""
    format: Annotated[AnimationFormat, FormatName] | None = None
    """webp, if absent, and gif: an animation; png: all frames side by side; zip and npz: every frame by itself"""
    truncation: Truncation | None = None
    """less variety for more typical images; none if absent"""
    scale: Count | None = None
    """whole-number enlargement; 1 if absent"""
    quality: Quality | None = None
    """of webp and jpeg; 90 if absent"""
