"""The Accept header -> a format (RFC 9110, section 12.5.1)."""

import re
from http import HTTPStatus

from serving.encoding import MEDIA_TYPES, Format
from serving.errors import RequestError

# What some clients call them: Java's own asks for * beside */*
_OTHER_NAMES = {"*": "*/*", "image/jpg": "image/jpeg"}


def choose_format(accept: str) -> Format:
    """The format the caller likes best; png where the header is empty or takes anything. Raises RequestError, 406, for none."""
    # A quoted parameter may hold the characters that separate.
    items = re.sub(r'"[^"]*"', lambda quoted: re.sub('[",;]', "", quoted[0]), accept).split(",")
    ranges = [(name, quality) for name, quality in map(_parse, items) if name]
    if not ranges:
        return "png"
    best: Format = max(MEDIA_TYPES, key=lambda name: _quality(MEDIA_TYPES[name], ranges))  # the first of equals
    if _quality(MEDIA_TYPES[best], ranges) == 0:
        raise RequestError(
            HTTPStatus.NOT_ACCEPTABLE,
            f"Accept: {accept[:200]}: there is {', '.join(MEDIA_TYPES.values())}; or give the field format",
        )
    return best


def _parse(item: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            quality = _weight(value.strip())
            break  # what follows q is not of the media range
    return _OTHER_NAMES.get(media_range, media_range), quality


def _weight(text: str) -> float:
    """Between 0 and 1. One that says nothing, empty or not a number, is as good as none; words rule a type out."""
    try:
        weight = float(text or 1)
    except ValueError:
        return 0.0
    return min(max(weight, 0.0), 1.0) if weight == weight else 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """That of the most specific range that covers the type."""
    for covering in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == covering]
        if qualities:
            return max(qualities)
    return 0.0
