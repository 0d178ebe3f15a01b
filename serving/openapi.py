"""The OpenAPI 3.1 document, made from the models that check requests, so that both always agree."""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from serving.encoding import ANIMATION_MEDIA_TYPES, MEDIA_TYPES
from serving.public import HIDDEN_ENVIRONMENT, Manifest
from serving.schema import GenerateRequest, InterpolateRequest

_COMPONENTS = "#/components/schemas/"
_ERRORS = {
    400: "The body is not JSON, not an .npy file, or not compressed as Content-Encoding says.",
    401: "A key is needed.",
    403: "The key is none of GAN_ADMIN_KEYS.",
    404: "There is no such model.",
    409: "The folder of the model is bad; nothing was changed.",
    406: "None of the accepted types can be had.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is neither JSON nor .npy, in another charset, or compressed otherwise than by gzip or deflate.",
    422: "A field is wrong, unknown, in conflict with another, or over its limit.",
    429: "The queue is full; Retry-After says for how many seconds.",
    500: "The service failed.",
    503: "The service is about to stop; try again.",
    504: "Not done before the deadline.",
}
_HEADERS = {
    "X-Model": ("name@version of the model.", {"type": "string"}),
    "Content-Disposition": ("A name for the answer as a file.", {"type": "string"}),
    "X-Seed": ("Seed of the first image; absent for images from noise.", {"type": "integer"}),
    "Server-Timing": ("Milliseconds spent waiting (queue), running the model (infer) and encoding (encode).", {"type": "string"}),
}
_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg"],
                "properties": {"loc": {"type": "array", "items": {"type": ["string", "integer"]}}, "msg": {"type": "string"}},
            },
        },
    },
}
_PICTURES_JSON: dict[str, Any] = {
    "title": "Pictures",
    "type": "object",
    "required": ["model", "images"],
    "properties": {
        "model": {"type": "string"},
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["seed", "label", "format", "data"],
                "properties": {
                    "seed": {"type": ["integer", "null"]},
                    "label": {"type": ["string", "integer", "null"]},
                    "format": {"const": "png"},
                    "data": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
                },
            },
        },
    },
}
_MODELS_JSON: dict[str, Any] = {
    "title": "Models",
    "type": "object",
    "required": ["default", "models"],
    "properties": {"default": {"type": "string"}, "models": {"type": "array", "items": {"$ref": _COMPONENTS + "Manifest"}}},
}


# Fields with a syntax of their own in a query: lists of lists, and names with values
_QUERY_TEXT: dict[str, dict[str, Any]] = {
    "noise": {"type": "string", "pattern": r"^[-+.\deE]+([,;][-+.\deE]+)*$", "examples": ["0.1,-0.3;1.2,0.7"]},
    "label": {"type": "string", "examples": ["Bag", "3", "Bag,Coat,3"]},
    "codes": {"type": "string", "pattern": r"^\w+:[^;]+(;\w+:[^;]+)*$", "examples": ["shape:3;slant:0.1,-0.5"]},
}


@cache
def document() -> dict[str, Any]:
    """The whole document, made once; callers must not change it."""
    _, definitions = models_json_schema(
        [(GenerateRequest, "validation"), (InterpolateRequest, "validation"), (Manifest, "serialization")],
        ref_template=_COMPONENTS + "{model}",
    )
    schemas: dict[str, Any] = definitions["$defs"]
    schemas["Environment"] = _without(schemas["Environment"], HIDDEN_ENVIRONMENT)
    generate = {**_ok("The images.", MEDIA_TYPES), **_failed(400, 401, 404, 406, 408, 413, 415, 422, 429, 500, 503, 504)}
    unchanged = {"304": {"description": "The image that If-None-Match names is still the one."}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gan-service",
            "version": "1",
            "summary": "Draws images with a trained generator: the same image for the same seed.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "Relative to this document: right behind a prefix too."}],
        "security": [{}, {"key": []}],
        "paths": {
            "/generate": {
                "get": {
                    "operationId": "getPictures",
                    "summary": "Images for fields in the query; can be cached.",
                    "parameters": [_parameter(name, field) for name, field in schemas["GenerateRequest"]["properties"].items()],
                    "responses": {**generate, **unchanged},
                },
                "post": {
                    "operationId": "generate",
                    "summary": "Images for seeds, or for latent vectors.",
                    "description": "Fields in JSON; or an .npy file of noise, float32 [n, z_dim], with the others in the query.",
                    "requestBody": {
                        "content": {
                            **_body(
                                "GenerateRequest", {"16 images": {"seed": 7, "n": 16}, "one, enlarged": {"seed": 7, "scale": 8}}
                            )["content"],
                            "application/x-npy": {"schema": {"type": "string", "format": "binary"}},
                        }
                    },
                    "responses": generate,
                },
            },
            "/interpolate": {
                "post": {
                    "operationId": "interpolate",
                    "summary": "A way through the latent space from seed to seed.",
                    "requestBody": {
                        **_body(
                            "InterpolateRequest", {"there and back": {"seeds": [1, 2, 3], "frames": 48, "loop": True, "scale": 4}}
                        ),
                        "required": True,
                    },
                    "responses": {
                        **_ok("The animation, or its frames.", ANIMATION_MEDIA_TYPES),
                        **_failed(400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504),
                    },
                }
            },
            "/models": {
                "get": {
                    "operationId": "listModels",
                    "summary": "All models with their manifests, and which is the default.",
                    "responses": {"200": _json("The models.", "Models"), **_failed(401, 500)},
                }
            },
            "/models/{name}": {
                "get": {
                    "operationId": "showModel",
                    "summary": "One model's manifest, by name or name@version.",
                    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {"200": _json("The manifest.", "Manifest"), **_failed(401, 404, 500)},
                }
            },
            "/models/{name}/reload": {
                "post": {
                    "operationId": "reloadModel",
                    "summary": "Serve what now stands in the model's folder; requests under way finish on what they began with.",
                    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {
                        "200": _json("The manifest of the model now served.", "Manifest"),
                        **_failed(401, 403, 404, 409, 429, 500, 504),
                    },
                }
            },
        },
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM, "Pictures": _PICTURES_JSON, "Models": _MODELS_JSON},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _without(schema: dict[str, Any], fields: set[str]) -> dict[str, Any]:
    properties = {name: field for name, field in schema["properties"].items() if name not in fields}
    return schema | {"properties": properties, "required": [name for name in schema["required"] if name not in fields]}


def _parameter(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """A field as a query parameter: without null, and with a list's items separated by commas."""
    schema = {key: value for key, value in field.items() if key not in ("anyOf", "default", "description", "title")}
    described = [option for option in field.get("anyOf", [{}]) if option.get("type") != "null"]
    schema |= _QUERY_TEXT.get(name) or described[0]
    parameter = {"name": name, "in": "query", "description": field["description"], "schema": schema}
    return {**parameter, "style": "form", "explode": False} if schema.get("type") == "array" else parameter


def _body(schema: str, examples: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": {"$ref": _COMPONENTS + schema}, "examples": {name: {"value": value} for name, value in examples.items()}}
    return {"content": {"application/json": content}}


def _ok(description: str, media_types: dict[Any, str]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {} for media_type in media_types.values()}
    if "json" in media_types:
        content["application/json"] = {"schema": {"$ref": _COMPONENTS + "Pictures"}}
    headers = {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()}
    return {"200": {"description": description, "headers": headers, "content": content}}


def _json(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": _COMPONENTS + schema}}}}


def _failed(*statuses: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _COMPONENTS + "Problem"}}}
    return {str(status): {"description": _ERRORS[status], "content": content} for status in statuses}
