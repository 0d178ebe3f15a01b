"""The Accept header -> a format (RFC 9110, section 12.5.1)."""

from http import HTTPStatus

from serving.encoding import MEDIA_TYPES, Format
from serving.errors import RequestError


def choose_format(accept: str) -> Format:
    """The format the caller likes best; png where the header is empty or takes anything. Raises RequestError, 406, for none."""
    ranges = [_parse(item) for item in accept.split(",") if item.strip()]
    if not ranges:
        return "png"
    best: Format = max(MEDIA_TYPES, key=lambda name: _quality(MEDIA_TYPES[name], ranges))  # the first of equals
    if _quality(MEDIA_TYPES[best], ranges) == 0:
        raise RequestError(
            HTTPStatus.NOT_ACCEPTABLE, f"Accept: {accept}: there is {', '.join(MEDIA_TYPES.values())}; or give the field format"
        )
    return best


def _parse(item: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media_range, min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """That of the most specific range that covers the type."""
    for covering in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == covering]
        if qualities:
            return max(qualities)
    return 0.0
