"""The public part of a manifest: all but facts about the machine that trained the model."""

from typing import Any, Literal

from gan import manifest as stored
from gan.latents import Code, Distribution
from gan.manifest_parts import (
    Architecture,
    Direction,
    Export,
    Imported,
    Input,
    ManifestModel,
    Metric,
    Network,
    Output,
    Sampling,
    Scoring,
    Styles,
    Trained,
)

# Fields of the origin's environment and configuration that are not shown; the latter contain paths
HIDDEN_ENVIRONMENT = {"git_revision", "hardware"}
_HIDDEN_CONFIG = {"data", "inception_weights", "out", "models"}


class Manifest(ManifestModel):
    """A model's manifest: its fields, and beside them those of version 1, for programs that know that one."""

    format_version: Literal[2]
    name: str
    version: str
    task: str
    inputs: list[Input]
    outputs: list[Output]
    networks: dict[str, Network]
    styles: Styles | None
    sampling: Sampling
    origin: Trained | Imported
    metrics: list[Metric]
    directions: list[Direction]
    scoring: Scoring | None
    licence: str
    files: dict[str, str]

    architecture: Architecture | None
    z_dim: int
    latent: Distribution
    channels: int
    height: int
    width: int
    classes: list[str] | None
    codes: list[Code]
    exports: dict[str, Export]


def public_manifest(manifest: stored.Manifest) -> dict[str, Any]:
    """A manifest as JSON, without paths of the machine that trained the model, its hardware, and the revision of the code."""
    whole = Manifest.model_validate({name: getattr(manifest, name) for name in Manifest.model_fields})
    shown = whole.model_dump(mode="json", exclude={"origin": {"environment": HIDDEN_ENVIRONMENT, "config": _HIDDEN_CONFIG}})
    config = shown["origin"].get("config", {})
    if config:
        shown["origin"]["config"] = {name: value for name, value in config.items() if not _may_be_a_path(value)}
    return shown


def _may_be_a_path(value: Any) -> bool:
    return isinstance(value, str) and any(sign in value for sign in "/\\~")
