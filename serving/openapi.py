"""The OpenAPI 3.1 document, made from the models that check requests, so that both always agree."""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from serving import openapi_pictures
from serving.encoding import ANIMATION_MEDIA_TYPES, MEDIA_TYPES
from serving.openapi_parts import COMPONENTS, PROBLEM, answer_with_images, body, failed, json_answer, ok, parameter, without
from serving.public import HIDDEN_ENVIRONMENT, Manifest
from serving.schema import GenerateRequest, InterpolateRequest, RequestFields

_PICTURES_JSON = answer_with_images(
    "Pictures",
    ["seed", "label", "format", "data"],
    {
        "seed": {"type": ["integer", "null"]},
        "label": {"type": ["string", "integer", "null"]},
        "format": {"const": "png"},
        "data": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
        "noise": {"type": ["array", "null"], "items": {"type": "number"}},
    },
)
_MODELS_JSON: dict[str, Any] = {
    "title": "Models",
    "type": "object",
    "required": ["default", "models"],
    "properties": {"default": {"type": "string"}, "models": {"type": "array", "items": {"$ref": COMPONENTS + "Manifest"}}},
}


@cache
def document() -> dict[str, Any]:
    """The whole document, made once; callers must not change it."""
    requests: list[type[RequestFields]] = [GenerateRequest, InterpolateRequest, *openapi_pictures.REQUESTS.values()]
    _, definitions = models_json_schema(
        [*((kind, "validation") for kind in requests), (Manifest, "serialization")],
        ref_template=COMPONENTS + "{model}",
    )
    schemas: dict[str, Any] = definitions["$defs"]
    schemas["Environment"] = without(schemas["Environment"], HIDDEN_ENVIRONMENT)
    generate = {**ok("The images.", MEDIA_TYPES), **failed(400, 401, 404, 406, 408, 413, 415, 422, 429, 500, 503, 504)}
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
                    "parameters": [parameter(name, field) for name, field in schemas["GenerateRequest"]["properties"].items()],
                    "responses": {**generate, **unchanged},
                },
                "post": {
                    "operationId": "generate",
                    "summary": "Images for seeds, or for latent vectors.",
                    "description": "Fields in JSON; or an .npy file of noise, float32 [n, z_dim], with the others in the query.",
                    "requestBody": {
                        "content": {
                            **body(
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
                        **body(
                            "InterpolateRequest", {"there and back": {"seeds": [1, 2, 3], "frames": 48, "loop": True, "scale": 4}}
                        ),
                        "required": True,
                    },
                    "responses": {
                        **ok("The animation, or its frames.", ANIMATION_MEDIA_TYPES),
                        **failed(400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504),
                    },
                }
            },
            **openapi_pictures.paths(schemas),
            "/models": {
                "get": {
                    "operationId": "listModels",
                    "summary": "All models with their manifests, and which is the default.",
                    "responses": {"200": json_answer("The models.", "Models"), **failed(401, 500)},
                }
            },
            "/models/{name}": {
                "get": {
                    "operationId": "showModel",
                    "summary": "One model's manifest, by name or name@version.",
                    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {"200": json_answer("The manifest.", "Manifest"), **failed(401, 404, 500)},
                }
            },
            "/models/{name}/reload": {
                "post": {
                    "operationId": "reloadModel",
                    "summary": "Serve what now stands in the model's folder; requests under way finish on what they began with.",
                    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {
                        "200": json_answer("The manifest of the model now served.", "Manifest"),
                        **failed(401, 403, 404, 409, 429, 500, 504),
                    },
                }
            },
        },
        "components": {
            "schemas": {
                **schemas,
                "Problem": PROBLEM,
                "Pictures": _PICTURES_JSON,
                "Models": _MODELS_JSON,
                **openapi_pictures.SCHEMAS,
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
