"""Names that an object of a JSON body has twice: parsers take the last, and nobody can tell which was meant (RFC 8259)."""

import json
import re
from typing import Any

from serving.errors import field_error

_NAME = re.compile(rb'"([^"\\]*+)"\s*:')


def check_given_once(body: bytes) -> None:
    """Raises RequestError, 422, for valid JSON in which an object, at any depth, has a name twice."""
    names = _NAME.findall(body)
    if b"\\" in body or len(set(names)) < len(names):  # an escape may hide a name, and two objects may have the same
        json.loads(body, object_pairs_hook=_check_names, parse_int=str, parse_float=str)


def _check_names(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise field_error((twice[:100],), "is given more than once; give it once")
