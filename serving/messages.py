"""Messages about wrong fields: what a field must be, what was given, and what to write instead.

The sentences are our own: those of pydantic, which checks the fields, are about types, for programmers who know it.
"""

import re
from http import HTTPStatus
from typing import Any, get_args

from pydantic import ValidationError

from gan.latents import SEEDS
from serving.encoding import AnimationFormat, Format
from serving.errors import Location, RequestError, dotted

# Bounds on what is quoted of a request, so that an answer is never much larger than an honest mistake needs
_SHOWN_ERRORS, _SHOWN_LETTERS = 10, 100
_MOST_FINDINGS = 100  # of pydantic's errors that are read; several may concern one field

_SEED = f"a whole number from 0 to {SEEDS - 1}"
_COUNT = "a whole number, 1 or more"
_COMPONENT = "a number between -1000 and 1000"
_CLASS = "a class by its name (text) or by its index (a whole number from 0)"
_BY_NAME = 'numbers by name, such as {"slant": 0.5}'
_WEIGHT = f"{_SEED}, and a weight from 0 to 1000"
_BODY = 'an object in braces, such as {"seed": 7}'

_DECIMAL = ("truncation", "fps", "noise", "threshold", "move")
_BY_NAME_LOCS = (("codes",), ("move",), ("mix",))  # fields with names within

# By field: what it must be, what an item of it must be, and what an item of that must be
_SHARED = {
    "body": (_BODY,),
    "model": ("a model's name, or name@version, as text",),
    "scale": (_COUNT,),
    "quality": ("a whole number from 1 to 100",),
}
_TRUNCATION = {"truncation": ("a number from 0 to 1",)}
_NOISE = ("a list of latent vectors, one for each image", "a list of numbers", _COMPONENT)
_TRUE_OR_FALSE = ("true or false",)
GENERATE: dict[str, tuple[str, ...]] = {
    "seed": (_SEED,),
    "n": (_COUNT,),
    "seeds": ("a list of at least one seed", _SEED),
    "noise": _NOISE,
    "label": (f"{_CLASS}, or a list with one for each image", _CLASS),
    "codes": (_BY_NAME, "", f"{_COMPONENT}, or a list with one for each image", _COMPONENT),
    "format": (f"one of {', '.join(get_args(Format))}",),
    "columns": (_COUNT,),
    "blend": ("a list of at most 16 pairs of a seed and a weight", "a seed and its weight, such as [7, 0.5]", _WEIGHT),
    "latents": _TRUE_OR_FALSE,
    **_TRUNCATION,
    **_SHARED,
}
INTERPOLATE: dict[str, tuple[str, ...]] = {
    "seeds": ("a list of at least two seeds", _SEED),
    "noise": _NOISE,
    "label": (_CLASS,),
    "codes": (_BY_NAME, "", _COMPONENT),
    "frames": ("a whole number, 2 or more",),
    "loop": _TRUE_OR_FALSE,
    "fps": ("a number over 0 and at most 50",),
    "format": (f"one of {', '.join(get_args(AnimationFormat))}",),
    **_TRUNCATION,
    **_SHARED,
}
BENTO = {name: INTERPOLATE.get(name, GENERATE[name]) for name in ("seed", "n", "label", "truncation", "model", "body")}
_PICTURES = {
    "body": (_BODY,),
    "model": _SHARED["model"],
    "images": ("a list of pictures in base64", "a picture, PNG, JPEG or WebP, in base64"),
    "fit": ("crop or pad",),
    "background": ("a CSS colour name or #rrggbb, as text",),
}
INVERT: dict[str, tuple[str, ...]] = {
    **_PICTURES,
    "label": GENERATE["label"],
    "codes": GENERATE["codes"],
    "iterations": ("a whole number from 0 to 100",),
    "format": ("one of json, png, webp, jpeg",),
    "original": _TRUE_OR_FALSE,
    "scale": (_COUNT,),
    "quality": _SHARED["quality"],
}
EDIT: dict[str, tuple[str, ...]] = {
    **{name: sentences for name, sentences in GENERATE.items() if name not in ("n", "blend", "format")},
    **INVERT,
    "move": (
        'numbers by the names of directions, such as {"width": 2}',
        "",
        "a number from -3 to 3, or two of them with steps",
        "a number from -3 to 3",
    ),
    "picture_label": GENERATE["label"],
    "mix": ('a seed and layers, such as {"seed": 7, "layers": [0, 1]}',),
    "steps": ("a whole number, 2 or more",),
    "fps": INTERPOLATE["fps"],
    "format": (f"one of {', '.join(get_args(Format))}, or with steps gif",),
}
del EDIT["original"]
SCORE: dict[str, tuple[str, ...]] = {
    **_PICTURES,
    "threshold": ("a number from 0 to 1",),
    "format": INVERT["format"],
    "scale": (_COUNT,),
    "quality": _SHARED["quality"],
}
_OF_ROUTES = {"/generate": GENERATE, "/interpolate": INTERPOLATE, "/invert": INVERT, "/edit": EDIT, "/score": SCORE}


def from_validation(error: ValidationError, wanted: dict[str, tuple[str, ...]], in_query: bool) -> RequestError:
    """400 for a body that is not JSON, 422 for JSON or a query whose fields are not as `wanted`."""
    findings = error.errors(include_url=False, include_context=False)[:_MOST_FINDINGS]
    if findings[0]["type"] == "json_invalid":
        if not findings[0]["input"].strip():
            return RequestError(HTTPStatus.BAD_REQUEST, f"the body is blank; send {_BODY}, or none at all")
        return RequestError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {findings[0]['msg'].removeprefix('Invalid JSON: ')}")
    messages: dict[Location, str] = {}
    for item in findings:
        place = _place(item["loc"])
        messages.setdefault(place, _message(item["type"], place, item["input"], wanted, in_query))
    # A field that may be one value or a list of them fails as both; the message for the wrong item is more precise.
    errors = [(place, text) for place, text in messages.items() if not any(_is_within(other, place) for other in messages)]
    errors = errors[:_SHOWN_ERRORS]
    return RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(f"{dotted(loc)}: {msg}" for loc, msg in errors[:3]), errors)


def shown(value: Any) -> str:
    """A value as a caller would write it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= 10**20:
        return "10^20 or more" if value > 0 else "-10^20 or less"  # Python may refuse to write out what has thousands of digits
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 30 else f'"{value[:30]}…"'
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return "an object" if isinstance(value, dict) else str(value)


def _place(loc: Location) -> Location:
    """The path to a field, without pydantic's names of the types that it tried."""
    names = 2 if loc[:1] in _BY_NAME_LOCS else 1
    path = (part for place, part in enumerate(loc) if place < names or isinstance(part, int))
    return tuple(part[:_SHOWN_LETTERS] if isinstance(part, str) else part for part in path) or ("body",)


def _is_within(inner: Location, outer: Location) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _message(kind: str, place: Location, given: Any, wanted: dict[str, tuple[str, ...]], in_query: bool) -> str:
    field = str(place[0])
    if kind == "extra_forbidden":
        return _no_such_field(field, wanted)
    sentences = wanted[field]
    # The name of a code is one step more.
    must_be = sentences[min(len(place) - 1 + ((field,) in _BY_NAME_LOCS and len(place) > 1), len(sentences) - 1)]
    if kind == "missing":
        return f"is missing; it must be {must_be}"
    return f"must be {must_be}, not {shown(given)}{_instead(field, given, in_query)}"


def _no_such_field(field: str, wanted: dict[str, tuple[str, ...]]) -> str:
    for path, fields in _OF_ROUTES.items():
        if fields is not wanted and field in fields and field != "body":
            return f"this field does not exist here, only for {path}"
    return f"this field does not exist; there are {', '.join(name for name in wanted if name != 'body')}"


def _instead(field: str, given: Any, in_query: bool) -> str:
    """What to write instead, where the caller's intention can be guessed; else nothing."""
    text = given.strip() if isinstance(given, str) else ""
    if field == "format":
        return "; animations come from /interpolate" if text == "gif" else ""
    if field in ("model", "label", "codes", "picture_label", "mix", "background"):
        return ""
    if field == "seeds" and (a_range := re.fullmatch(r"(\d{1,10})\s*(?:-|\.\.|:)\s*(\d{1,10})", text)):
        first, last = sorted(map(int, a_range.groups()))
        n = last - first + 1
        return f"; write seed={first} and n={n}" if in_query else f'; write "seed": {first} and "n": {n}'
    if field == "seed" and (isinstance(given, list) or "," in text):
        return "; several seeds are given as seeds"
    if field in ("seeds", "noise") and in_query and re.search(r"\d\s*[; ]\s*\d", text):
        return "; separate the items by commas"
    number = _number_meant(text, field in _DECIMAL) if text else given
    if field in ("seed", "seeds") and (seed := _without_point(number)) is not None and not 0 <= seed < SEEDS:
        return _seed_instead(field, seed)
    if not text or number is None or number < 0 or (in_query and text == str(number)):
        return ""
    return f"; write {number} without quotes" if text == str(number) else f"; write {number}"


def _without_point(number: Any) -> int | None:
    """A whole number, also one that is written with a point, as -1.0; None for anything else."""
    is_number = type(number) in (int, float)
    return int(number) if is_number and number % 1 == 0 else None


def _seed_instead(field: str, number: int) -> str:
    if number >= 0:
        return f"; write {number % SEEDS}, which is what it is modulo 2^32"
    return "; leave it out for a random one" if field == "seed" else ""


def _number_meant(text: str, decimal: bool) -> int | float | None:
    """The number meant by a text such as 0x10, 7, 2x and, where fractions are allowed, 0,5; None if it cannot be guessed."""
    if re.fullmatch(r"0[xX][\da-fA-F]{1,16}", text):
        return int(text, 16)
    if re.fullmatch(r"[-+]?\d{1,20}", text):
        return int(text)
    if decimal and (fraction := re.fullmatch(r"(\d{1,20})[.,](\d{1,20})", text)):
        return float(".".join(fraction.groups()))
    unit = re.fullmatch(r"(\d{1,20})\s*[a-zA-Z]{1,10}", text)
    return int(unit[1]) if unit else None
