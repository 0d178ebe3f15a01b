"""Caching of images: the headers Cache-Control and ETag (RFC 9111; RFC 9110, section 8.8.3)."""

import hashlib
from functools import cache
from importlib.metadata import version

from gan.processors import hardware
from serving.encoding import ENCODER
from serving.loaded_model import LoadedModel
from serving.prepared_requests import PreparedGeneration


def headers(
    model: LoadedModel,
    prepared: PreparedGeneration,
    pinned: bool,  # whether the request names the model's version
    private: bool,  # whether it needs a key
) -> dict[str, str]:
    """The headers: no-store for a random seed; else an ETag over all that the answer's bytes depend on.

    A shared cache would give an answer that needs a key to callers without one, so only the caller's own may store it.
    """
    if not prepared.reproducible:
        return {"Cache-Control": "no-store"}
    digest = hashlib.sha256(_programs(model).encode() + prepared.parameters()).hexdigest()[:32]
    # name@version names these images for ever; a bare name may come to mean another version.
    how_long = "max-age=31536000, immutable" if pinned else "no-cache"
    scope = "private, " if private else "public, " if pinned else ""
    return {"ETag": f'"{digest}"', "Cache-Control": scope + how_long}


def matches(if_none_match: str, etag: str | None) -> bool:
    """Whether the caller already has the answer with this ETag."""
    if etag is None:
        return False
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def _programs(model: LoadedModel) -> str:
    """All that generates and encodes. A model's version is that of its weights, which may round otherwise when exported again.

    Other processors round otherwise too: images are equal to within one grey level everywhere, and bit for bit on equal ones.
    """
    runtime, manifest = model.runtime, model.folder.manifest
    program = (
        f"{' '.join(manifest.files[name] for name in runtime.files)} {manifest.classes} {runtime.name} {_version(runtime.library)}"
    )
    return f"{model.folder.title} {program} {hardware()} {ENCODER} "


_version = cache(version)  # which reads files
