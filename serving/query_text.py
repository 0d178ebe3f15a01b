"""Fields in the text of a query or of a form."""

from typing import Any

from serving.errors import field_error

_EXAMPLES = {"codes": "codes=slant:0.5", "move": "move=width:2", "mix": "mix=seed:7;layers:0,1"}


def from_texts(name: str, texts: list[str]) -> Any:
    """A field's value from all its values in a query. Raises RequestError."""
    if name == "seeds":
        return [seed for text in texts for seed in text.split(",")]
    if name == "noise":
        return [vector.split(",") for text in texts for vector in text.split(";")]
    if name in ("codes", "move", "mix"):
        return _by_name(name, [part for text in texts for part in text.split(";")])
    if name == "blend":
        return [part.split(":") for text in texts for part in text.split(",")]
    if len(texts) > 1 and name != "label":
        raise field_error((name[:100],), "is given more than once; give it once")
    return texts if len(texts) > 1 else texts[0]  # only the model knows where a label's commas are part of a name


def _by_name(field: str, parts: list[str]) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for part in filter(str.strip, parts):
        name, colon, values = part.partition(":")
        if not colon:
            raise field_error((field,), f"write values by name, such as {_EXAMPLES[field]}, and several with ; between them")
        if name in found:
            raise field_error((field, name[:100]), "is given more than once")
        found[name] = values.split(",") if "," in values else values
    return found
