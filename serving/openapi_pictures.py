"""The routes that pictures are sent to, in the OpenAPI document."""

from typing import Any

from serving.encoding import ANIMATION_MEDIA_TYPES, MEDIA_TYPES
from serving.openapi_parts import COMPONENTS, HEADERS, answer_with_images, failed, parameter
from serving.picture_schema import EditRequest, InvertRequest, PictureRequest, ScoreRequest

REQUESTS: dict[str, type[PictureRequest]] = {
    "/invert": InvertRequest,
    "/edit": EditRequest,
    "/score": ScoreRequest,
}

_MEDIA_TYPES: dict[str, str] = dict([*MEDIA_TYPES.items(), *ANIMATION_MEDIA_TYPES.items()])
_FAILED = (400, 401, 404, 406, 408, 413, 415, 422, 429, 500, 503, 504)
_FILES = ("image/png", "image/jpeg", "image/webp")
_HEADERS = ("X-Model", "Content-Disposition", "Server-Timing")
_FIELDS_PART = {"description": "All fields in one part of JSON, instead of a part for each.", "type": "string"}
_PICTURE_PARTS = {
    "description": "A PNG, JPEG or WebP file; the part may come several times.",
    "type": "array",
    "items": {"type": "string", "format": "binary"},
}
_NOISE = {"type": "array", "items": {"type": "number"}}
_FOUND = answer_with_images(
    "Inversions",
    ["noise", "psnr", "iterations", "stopped"],
    {
        "noise": {**_NOISE, "description": "The latent vector; given back to /generate it draws the picture."},
        "label": {"type": "string"},
        "codes": {"type": "object"},
        "psnr": {"type": "number", "description": "Peak signal-to-noise ratio of the picture it draws, in dB."},
        "iterations": {"type": "integer"},
        "stopped": {"enum": ["converged", "iterations", "deadline"]},
    },
)
_SCORES = answer_with_images(
    "Scores",
    ["score", "share"],
    {
        "score": {"type": "number", "description": "Higher for what is more unusual."},
        "share": {"type": "number", "description": "The share of held-out real pictures that score higher, 0 to 1: a p-value."},
        "anomalous": {"type": "boolean", "description": "With a threshold: whether the share is below it."},
    },
)

SCHEMAS = {"Inversions": _FOUND, "Scores": _SCORES}


def paths(schemas: dict[str, Any]) -> dict[str, Any]:
    """The routes; `schemas` are those of the requests."""
    invert = _route(
        schemas,
        "/invert",
        "The latent vectors that draw pictures best.",
        "Inversions",
        ("png", "webp", "jpeg"),
        {
            "of a picture": {
                "images": ["iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="]
            }
        },
    )
    edit = _route(
        schemas,
        "/edit",
        "Images of seeds, latent vectors or pictures, changed: moved along directions, mixed, or of another class.",
        "Pictures",
        ("png", "webp", "jpeg", "zip", "npz", "gif"),
        {"of a seed": {"seed": 7}, "enlarged": {"seed": 7, "scale": 4}},
    )
    score = _route(
        schemas,
        "/score",
        "How unusual pictures are, for models with a score.",
        "Scores",
        ("png", "webp", "jpeg"),
        {},
    )
    return {path: {"post": route} for path, route in (("/invert", invert), ("/edit", edit), ("/score", score))}


def _route(
    schemas: dict[str, Any], path: str, summary: str, answer: str, formats: tuple[str, ...], examples: dict[str, Any]
) -> dict[str, Any]:
    name = REQUESTS[path].__name__
    properties = schemas[name]["properties"]
    parameters = [parameter(field, about) for field, about in properties.items() if field != "images"]
    form = {field["name"]: {**field["schema"], "description": field["description"]} for field in parameters}
    content = {
        **{media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in _FILES},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"image": _PICTURE_PARTS, "fields": _FIELDS_PART, **form}}
        },
        "application/json": {
            "schema": {"$ref": COMPONENTS + name},
            "examples": {title: {"value": value} for title, value in examples.items()},
        },
    }
    media_types: dict[str, Any] = {_MEDIA_TYPES[one]: {} for one in formats}
    answers = {"application/json": {"schema": {"$ref": COMPONENTS + answer}}, **media_types}
    headers = {one: {"description": HEADERS[one][0], "schema": HEADERS[one][1]} for one in _HEADERS}
    return {
        "operationId": path.removeprefix("/"),
        "summary": summary,
        "description": "Pictures as the body, with the fields in the query; in a form; or in base64 within JSON.",
        "parameters": parameters,
        "requestBody": {"content": content, "required": True},
        "responses": {
            "200": {"description": "What was found, or the pictures that are drawn.", "headers": headers, "content": answers},
            **failed(*_FAILED),
        },
    }
