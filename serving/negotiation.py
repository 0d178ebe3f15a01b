"""The Accept header -> a format (RFC 9110, section 12.5.1)."""

import re
from functools import lru_cache
from http import HTTPStatus

from serving.encoding import MEDIA_TYPES, Format
from serving.errors import RequestError

# Other names that clients use: Java's own client sends * beside */*
_OTHER_NAMES = {"*": "*/*", "image/jpg": "image/jpeg"}


@lru_cache(maxsize=256)  # clients send the same few headers again and again
def choose_format(accept: str, among: tuple[Format, ...] = tuple(MEDIA_TYPES)) -> Format:
    """The format of some with the highest weight, the first where the header is empty or accepts all.

    Raises RequestError, 406, for none.
    """
    # A quoted parameter may contain separators.
    items = re.sub(r'"[^"]*"', lambda quoted: re.sub('[",;]', "", quoted[0]), accept).split(",")
    ranges = [(name, quality) for name, quality in map(_parse, items) if name]
    if not ranges:
        return among[0]
    best: Format = max(among, key=lambda name: _quality(MEDIA_TYPES[name], ranges))  # the first of equal weights
    if _quality(MEDIA_TYPES[best], ranges) == 0:
        raise RequestError(
            HTTPStatus.NOT_ACCEPTABLE,
            f"Accept: {accept[:200]}: there is {', '.join(MEDIA_TYPES[one] for one in among)}; or give the field format",
        )
    return best


def _parse(item: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            quality = _weight(value.strip())
            break  # what follows q is not part of the media range
    return _OTHER_NAMES.get(media_range, media_range), quality


def _weight(text: str) -> float:
    """A weight from 0 to 1: 1 for an empty text or not a number, 0 for other text that is no number."""
    try:
        weight = float(text or 1)
    except ValueError:
        return 0.0
    return min(max(weight, 0.0), 1.0) if weight == weight else 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The weight of the most specific range that covers the type."""
    for covering in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == covering]
        if qualities:
            return max(qualities)
    return 0.0
