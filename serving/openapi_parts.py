"""What the parts of the OpenAPI document have in common."""

from typing import Any

COMPONENTS = "#/components/schemas/"
ERRORS = {
    400: "The body is not JSON, not an .npy file, or not compressed as Content-Encoding says.",
    401: "A key is needed.",
    403: "The key is none of GAN_ADMIN_KEYS.",
    404: "There is no such model.",
    409: "The folder of the model is bad; nothing was changed.",
    406: "None of the accepted types can be had.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is neither JSON nor .npy, nor pictures, in another charset, or compressed otherwise than by gzip or deflate.",
    422: "A field is wrong, unknown, in conflict with another, or over its limit.",
    429: "The queue is full; Retry-After says for how many seconds.",
    500: "The service failed.",
    503: "The service is about to stop; try again.",
    504: "Not done before the deadline.",
}
HEADERS = {
    "X-Model": ("name@version of the model.", {"type": "string"}),
    "Content-Disposition": ("A name for the answer as a file.", {"type": "string"}),
    "X-Seed": ("Seed of the first image; absent for images from noise.", {"type": "integer"}),
    "Server-Timing": ("Milliseconds spent waiting (queue), running the model (infer) and encoding (encode).", {"type": "string"}),
}
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
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

# Fields with a syntax of their own in a query: lists of lists, and names with values
QUERY_TEXT: dict[str, dict[str, Any]] = {
    "noise": {"type": "string", "pattern": r"^[-+.\deE]+([,;][-+.\deE]+)*$", "examples": ["0.1,-0.3;1.2,0.7"]},
    "label": {"type": "string", "examples": ["Bag", "3", "Bag,Coat,3"]},
    "picture_label": {"type": "string", "examples": ["Bag", "3", "Bag,Coat,3"]},
    "move": {"type": "string", "pattern": r"^[\w.-]+:[^;]+(;[\w.-]+:[^;]+)*$", "examples": ["width:2;brightness:-1", "width:-2,2"]},
    "mix": {"type": "string", "pattern": r"^\w+:[^;]+(;\w+:[^;]+)*$", "examples": ["seed:7;layers:0,1,2"]},
    "blend": {"type": "string", "pattern": r"^\d+:[-+.\deE]+(,\d+:[-+.\deE]+)*$", "examples": ["1:0.2,2:0.8"]},
    "codes": {"type": "string", "pattern": r"^\w+:[^;]+(;\w+:[^;]+)*$", "examples": ["shape:3;slant:0.1,-0.5"]},
}


def answer_with_images(title: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer in JSON: the model, and an object of these properties for each image."""
    item = {"type": "object", "required": required, "properties": properties}
    images = {"type": "array", "items": item}
    return {
        "title": title,
        "type": "object",
        "required": ["model", "images"],
        "properties": {"model": {"type": "string"}, "images": images},
    }


def without(schema: dict[str, Any], fields: set[str]) -> dict[str, Any]:
    """A schema of an object without some of its fields."""
    properties = {name: field for name, field in schema["properties"].items() if name not in fields}
    return schema | {"properties": properties, "required": [name for name in schema["required"] if name not in fields]}


def parameter(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """A field as a query parameter: without null, and with a list's items separated by commas."""
    schema = {key: value for key, value in field.items() if key not in ("anyOf", "default", "description", "title")}
    described = [option for option in field.get("anyOf", [{}]) if option.get("type") != "null"]
    schema |= QUERY_TEXT.get(name) or described[0]
    parameter = {"name": name, "in": "query", "description": field["description"], "schema": schema}
    return {**parameter, "style": "form", "explode": False} if schema.get("type") == "array" else parameter


def body(schema: str, examples: dict[str, Any]) -> dict[str, Any]:
    """A body of JSON of a schema among the components, with examples by name."""
    content = {"schema": {"$ref": COMPONENTS + schema}, "examples": {name: {"value": value} for name, value in examples.items()}}
    return {"content": {"application/json": content}}


def ok(description: str, media_types: dict[Any, str]) -> dict[str, Any]:
    """The answer with images, of these media types by format."""
    content: dict[str, Any] = {media_type: {} for media_type in media_types.values()}
    if "json" in media_types:
        content["application/json"] = {"schema": {"$ref": COMPONENTS + "Pictures"}}
    headers = {name: {"description": text, "schema": schema} for name, (text, schema) in HEADERS.items()}
    return {"200": {"description": description, "headers": headers, "content": content}}


def json_answer(description: str, schema: str) -> dict[str, Any]:
    """An answer of JSON of a schema among the components."""
    return {"description": description, "content": {"application/json": {"schema": {"$ref": COMPONENTS + schema}}}}


def failed(*statuses: int) -> dict[str, Any]:
    """Answers of these statuses, each a problem document."""
    content = {"application/problem+json": {"schema": {"$ref": COMPONENTS + "Problem"}}}
    return {str(status): {"description": ERRORS[status], "content": content} for status in statuses}
