"""What caches may do with images: Cache-Control and ETag (RFC 9111; RFC 9110, section 8.8.3)."""

import hashlib
from functools import cache
from importlib.metadata import version

from gan.model_folder import ONNX, TORCHSCRIPT
from gan.processors import hardware
from serving.encoding import ENCODER
from serving.models import LoadedModel
from serving.plans import PreparedGeneration


def headers(
    model: LoadedModel,
    plan: PreparedGeneration,
    pinned: bool,  # whether the request named the model's version
    private: bool,  # whether it needed a key
) -> dict[str, str]:
    """Nothing may be kept where the seed was drawn; else the ETag covers all that the answer's bytes depend on.

    A shared cache would give an answer that needed a key to those who have none; that is kept by its caller's own alone.
    """
    if not plan.reproducible:
        return {"Cache-Control": "no-store"}
    digest = hashlib.sha256(_programs(model).encode() + plan.parameters()).hexdigest()[:32]
    # name@version names these images for ever; a bare name may come to mean another version.
    how_long = "max-age=31536000, immutable" if pinned else "no-cache"
    scope = "private, " if private else "public, " if pinned else ""
    return {"ETag": f'"{digest}"', "Cache-Control": scope + how_long}


def matches(if_none_match: str, etag: str | None) -> bool:
    """Whether the caller has the very answer that it would get."""
    if etag is None:
        return False
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def _programs(model: LoadedModel) -> str:
    """All that draws and encodes. The version of a model is that of its weights; exported anew, they may round otherwise.

    So do other processors: images are the same to within one grey level everywhere, and to the last bit on equal ones.
    """
    runtime, manifest = model.runtime.name, model.folder.manifest
    file, library = (TORCHSCRIPT, "torch") if runtime.startswith("torchscript") else (ONNX, "onnxruntime")
    return f"{model.folder.title} {manifest.files[file]} {manifest.classes} {runtime} {_version(library)} {hardware()} {ENCODER} "


_version = cache(version)  # which looks through files
