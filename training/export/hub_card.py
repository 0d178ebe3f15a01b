"""The header of a model card on the Hugging Face Hub: the YAML at the top of README.md that the Hub shows and searches by."""

import re
from typing import Any

import yaml

from gan.manifest import Manifest
from gan.manifest_parts import Trained
from training.errors import UsageError

_TASK = "unconditional-image-generation"  # the Hub's only one for generators of images without a text; labels do not matter
_LIBRARY = "gan-service"

# Identifiers of the Hub that a manifest's licence may begin with (https://huggingface.co/docs/hub/repositories-licenses)
_LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "openrail", "unlicense"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0"),
    *("cc-by-3.0", "cc-by-sa-3.0", "cc-by-nc-sa-3.0", "cc-by-2.0"),
)


def with_header(card: str, manifest: Manifest, licence: str | None) -> str:
    """The card with its YAML header; what a header that it has already says is kept, but for the licence if one is given.

    Raises UsageError if the licence is not known, or that header is none.
    """
    header, text = _parted(card)
    ours = _header(manifest, licence or header.get("license") or licence_of(manifest))
    if licence is not None:
        header = {**header, "license": licence}
    return f"---\n{yaml.safe_dump({**ours, **header}, sort_keys=False, allow_unicode=True, width=1000)}---\n\n{text.lstrip()}"


def licence_of(manifest: Manifest) -> str:
    """The Hub's identifier of the manifest's licence. Raises UsageError if it names none of those."""
    words = re.match(r"[\w.-]+", manifest.licence.lower())
    if words is None or words[0] not in _LICENCES:
        raise UsageError(
            f"the licence is missing: the model says {manifest.licence!r}, which the Hub has no name for; add --licence mit, "
            "cc-by-4.0, other … (https://huggingface.co/docs/hub/repositories-licenses), as the images that it was trained on allow"
        )
    return words[0]


def _parted(card: str) -> tuple[dict[str, Any], str]:
    """The header of a card, empty if it has none, and its text. Raises UsageError."""
    match = re.match(r"---[ \t]*\n(.*?\n)?---[ \t]*\n", card, re.DOTALL)
    if match is None:
        return {}, card
    try:
        header = yaml.safe_load(match[1] or "")
    except yaml.YAMLError as error:
        raise UsageError(f"README.md: its header is no YAML ({' '.join(str(error).split())}): correct it, or remove it") from error
    if not isinstance(header, dict | None):
        raise UsageError("README.md: its header must hold names and values: correct it, or remove it")
    return header or {}, card[match.end() :]


def _header(manifest: Manifest, licence: str) -> dict[str, Any]:
    formats = {"weights": "safetensors", "onnx": "onnx", "torchscript": "torchscript"}
    architecture = manifest.architecture
    tags = [
        *("gan", "image-generation"),
        *([] if architecture is None else [architecture.name]),
        *(["class-conditional"] if manifest.classes else []),
        *(formats[kind] for kind in manifest.networks["generator"].files if kind in formats),
    ]
    header: dict[str, Any] = {
        "license": licence,
        "library_name": _LIBRARY,
        "pipeline_tag": _TASK,
        "tags": list(dict.fromkeys(tags)),
    }
    if manifest.metrics:
        header["model-index"] = [{"name": manifest.name, "results": [_results(manifest)]}]
    return header


def _results(manifest: Manifest) -> dict[str, Any]:
    """All measures with their protocols, as the Hub's model-index has them."""
    origin = manifest.origin
    dataset = origin.dataset if isinstance(origin, Trained) else origin.source
    metrics = [
        {
            "type": metric.name,
            "name": metric.name,
            "value": metric.value,
            "args": {"protocol": metric.protocol, "real": metric.real},
        }
        for metric in manifest.metrics
    ]
    return {"task": {"type": _TASK}, "dataset": {"type": dataset, "name": dataset}, "metrics": metrics}
