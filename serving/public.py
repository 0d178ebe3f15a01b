"""The public part of a manifest: all but facts about the machine that trained the model."""

from typing import Any

from gan.manifest import Manifest

# Fields of the origin's environment and configuration that are not shown; the latter contain paths
HIDDEN_ENVIRONMENT = {"git_revision", "hardware"}
_HIDDEN_CONFIG = {"data", "inception_weights", "out", "models"}


def public_manifest(manifest: Manifest) -> dict[str, Any]:
    """A manifest as JSON, without paths of the machine that trained the model, its hardware, and the revision of the code."""
    shown = manifest.model_dump(mode="json", exclude={"origin": {"environment": HIDDEN_ENVIRONMENT, "config": _HIDDEN_CONFIG}})
    config = shown["origin"]["config"]
    shown["origin"]["config"] = {name: value for name, value in config.items() if not _may_be_a_path(value)}
    return shown


def _may_be_a_path(value: Any) -> bool:
    return isinstance(value, str) and any(sign in value for sign in "/\\~")
