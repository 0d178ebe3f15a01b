"""The model card: README.md of a model folder."""

from gan.manifest import MANIFEST, Manifest
from gan.manifest_parts import Imported, Trained
from gan.model_folder import SAMPLES
from training.evaluation import deviations

_SHEET = 1024  # pixels of a side of the sample grid; more where 4 images have more


def sample_seeds(height: int, width: int) -> range:
    """The seeds whose images samples.png shows: 64, or fewer of images of more than 128 pixels a side."""
    return range(max(4, min(64, (_SHEET // max(height, width)) ** 2)))


def model_card(manifest: Manifest) -> str:
    """Write Markdown: what the model is, its measures with their protocols, and how far the exports differ."""
    origin, architecture = manifest.origin, manifest.architecture
    family = "generator" if architecture is None else f"{architecture.name} generator"
    seeds = sample_seeds(manifest.height, manifest.width)
    latents = max(export.latents for export in manifest.exports.values())
    exports = "\n".join(f"| {file} | {export.largest_difference:.1e} |" for file, export in manifest.exports.items())
    return f"""# {manifest.name}

![{len(seeds)} images, seeds 0 to {seeds[-1]}]({SAMPLES})

A {family} of {"grey" if manifest.channels == 1 else "coloured"} images of {manifest.width}x{manifest.height},
version {manifest.version}, {_from(origin)}

The grid shows seeds 0 to {seeds[-1]}, unselected, as the service draws them. Licence: {manifest.licence}.
{_pictures_in(manifest)}
{_quality(manifest)}

| file | largest difference from the network in memory, {latents} latents, range -1 to 1 |
|---|---|
{exports}

What it draws is limited to what it was trained on. {MANIFEST} has the whole configuration and the digests of the files.
"""


def _from(origin: Trained | Imported) -> str:
    """Where the weights come from."""
    if isinstance(origin, Imported):
        return f"imported from {origin.source}\n(SHA-256 {origin.digest})."
    return (
        f"trained on {origin.dataset} ({origin.dataset_pictures:,} images).\n"
        f"It saw {origin.pictures_seen:,} images in {origin.wall_time_seconds / 60:.0f} minutes on: {origin.environment.hardware}."
    )


def _pictures_in(manifest: Manifest) -> str:
    """What there is for pictures of one's own, as a paragraph."""
    if manifest.scoring is None:
        return ""
    return (
        "\nPictures of one's own: encoder.onnx finds the latent vector that draws one again, and scorer.onnx says how unusual\n"
        f"it is, beside {manifest.scoring.pictures:,} held-out images.\n"
    )


def _quality(manifest: Manifest) -> str:
    """The metrics as a table, with their protocols."""
    if not manifest.metrics:
        return "How good it is was not measured."
    protocols = list(dict.fromkeys(metric.protocol for metric in manifest.metrics))
    rows = [
        f"| {metric.name} | {' | '.join(deviations.format_measure(metric))} | {protocols.index(metric.protocol) + 1} |"
        for metric in manifest.metrics
    ]
    ways = [f"{number}. {protocol}" for number, protocol in enumerate(protocols, 1)]
    if any(metric.deviation is not None for metric in manifest.metrics):
        ways.append("\nBehind ± stands the standard deviation of one set of images from another.")
    return "\n".join(["| measure | generated | real images | protocol |", "|---|---|---|---|", *rows, "", "Protocols:", "", *ways])
