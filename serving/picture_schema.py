"""The fields of requests that bring pictures."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gan.directions import MOST
from gan.images.fitting import Fit
from serving import messages
from serving.encoding import Format
from serving.errors import field_error
from serving.schema import (
    Codes,
    Count,
    FormatName,
    FramesPerSecond,
    Labels,
    Noise,
    PlainNumber,
    Quality,
    RequestFields,
    Seed,
    Truncation,
    Whole,
)

PictureFormat = Literal["json", "png", "webp", "jpeg"]

MOST_ITERATIONS = 100

Iterations = Annotated[int, Whole, Field(ge=0, le=MOST_ITERATIONS)]


def _listed(value: Any) -> Any:
    """One number is a list of one: a query has no lists of one."""
    return value if isinstance(value, list) else [value]


Amount = Annotated[float, PlainNumber, Field(ge=-MOST, le=MOST)]
Layer = Annotated[int, Whole, Field(ge=0)]


class Mix(BaseModel):
    """Styles of another seed, for some layers of the generator."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    seed: Seed
    """whose styles are taken"""
    layers: Annotated[Annotated[list[Layer], Field(min_length=1, fail_fast=True)], BeforeValidator(_listed)]
    """the layers that they are taken for, from 0, the coarsest"""


class PictureRequest(RequestFields):
    """Fields of every request that brings pictures."""

    images: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    """in a JSON body: pictures, PNG, JPEG or WebP, in base64"""
    fit: Fit | None = None
    """how a picture of another shape is made to fit: crop, to its middle, or pad, with margins; as in training if absent"""
    background: str | None = None
    """behind transparent pixels, and in margins: a CSS colour name or #rrggbb; as in training if absent"""

    @property
    def where(self) -> str:
        """What errors call the pictures of a request: the field of JSON, or the name of a form's parts."""
        return "image" if self.images is None else "images"

    @classmethod
    def from_query(cls, query: Iterable[tuple[str, str]]) -> Self:
        """See RequestFields."""
        given = list(query)
        if any(name == "images" for name, _ in given):
            raise field_error(("images",), "is for JSON; send pictures as the body, or as parts called image")
        return super().from_query(given)


class InvertRequest(PictureRequest):
    """What POST /invert takes beside pictures."""

    _wanted = messages.INVERT

    label: Labels | None = None
    """for models with labels: the class of the picture, by name or by index, one for all or one for each; every class is tried if
    absent"""
    codes: Codes | None = None
    """by name, for models with codes: those of the picture, one for all or one for each; if absent every category is tried, and a
    number is 0"""
    iterations: Iterations | None = None
    """of the search, at most; 10 if absent, or 5 for a model with an encoder"""
    format: Annotated[PictureFormat, FormatName] | None = None
    """json: what was found; png, webp and jpeg: the pictures that it draws; if absent the Accept header decides, and
    json is the first"""
    original: bool | None = None
    """true: the picture that was sent, as the model sees it, stands left of the one that was drawn; false if absent"""
    scale: Count | None = None
    """whole-number enlargement; 1 if absent"""
    quality: Quality | None = None
    """of webp and jpeg; 90 if absent"""


class EditRequest(PictureRequest):
    """What POST /edit takes beside pictures, or instead of them."""

    _wanted = messages.EDIT

    seed: Seed | None = None
    """of the image that is edited"""
    seeds: Annotated[list[Seed], Field(min_length=1, fail_fast=True)] | None = None
    """of several images that are edited, instead"""
    noise: Noise | None = None
    """latent vectors of the images that are edited, instead"""
    move: dict[str, Amount | Annotated[list[Amount], Field(min_length=2, max_length=2)]] | None = None
    """by the names of the model's directions: how far to move, from -3 to 3; with steps also two numbers, from where to where"""
    label: Labels | None = None
    """for models with labels: the class to draw, one for all images or one for each; if absent that of the seed or the picture"""
    picture_label: Labels | None = None
    """the class of a picture that is sent, where it is known; every class is tried if absent"""
    codes: Codes | None = None
    """by name, for models with codes: what to draw; if absent those of the seed or the picture"""
    mix: Mix | None = None
    """for models with styles: the styles of another seed in some layers, such as {"seed": 7, "layers": [0, 1, 2]}"""
    steps: Annotated[int, Whole, Field(ge=2)] | None = None
    """how many images from no move to the whole move, as an animation or a strip; without, the edited image alone"""
    truncation: Truncation | None = None
    """less variety for more typical images, of seeds; none if absent"""
    iterations: Iterations | None = None
    """of the search for a picture's latent vector, at most; 10 if absent, or 5 for a model with an encoder"""
    format: Annotated[Format | Literal["gif"], FormatName] | None = None
    """of the answer, jpg being jpeg; with steps webp, if absent, and gif: an animation, png: a strip; without, the Accept header
    decides if absent"""
    fps: FramesPerSecond | None = None
    """frames per second of an animation; 12 if absent"""
    columns: Count | None = None
    """of the grid that png, webp and jpeg show; as close to a square as possible if absent"""
    scale: Count | None = None
    """whole-number enlargement; 1 if absent"""
    quality: Quality | None = None
    """of webp and jpeg; 90 if absent"""
    latents: bool | None = None
    """true: json has the latent vector of each image too, as `noise`; false if absent"""


class ScoreRequest(PictureRequest):
    """What POST /score takes beside pictures."""

    _wanted = messages.SCORE

    threshold: Annotated[float, PlainNumber, Field(ge=0, le=1)] | None = None
    """a picture is anomalous if the share of held-out real pictures that score higher is below it"""
    format: Annotated[PictureFormat, FormatName] | None = None
    """json: the scores; png, webp and jpeg: each picture, and beside it how far its pixels are from the nearest that the model
    draws; if absent the Accept header decides, and json is the first"""
    scale: Count | None = None
    """whole-number enlargement; 1 if absent"""
    quality: Quality | None = None
    """of webp and jpeg; 90 if absent"""
