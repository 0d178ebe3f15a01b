"""The model card: README.md of a model folder."""

from gan.manifest import MANIFEST, Manifest, Trained
from gan.model_folder import SAMPLES
from training.evaluation import deviations


def model_card(manifest: Manifest) -> str:
    """Write Markdown: what the model is, its measures with their protocols, and how far the exports differ."""
    origin, architecture = manifest.origin, manifest.architecture
    assert isinstance(origin, Trained), "cards are written by training"
    assert architecture is not None, "which knows the network"
    latents = max(export.latents for export in manifest.exports.values())
    exports = "\n".join(f"| {file} | {export.largest_difference:.1e} |" for file, export in manifest.exports.items())
    return f"""# {manifest.name}

![64 images, seeds 0 to 63]({SAMPLES})

A {architecture.name} generator of {manifest.width}x{manifest.height} images with {manifest.channels} channel(s),
version {manifest.version}, trained on {origin.dataset} ({origin.dataset_pictures:,} images).
It saw {origin.pictures_seen:,} images in {origin.wall_time_seconds / 60:.0f} minutes on: {origin.environment.hardware}.

The grid shows seeds 0 to 63, unselected, as the service draws them. Licence: {manifest.licence}.

{_quality(manifest)}

| file | largest difference from the network in memory, {latents} latents, range -1 to 1 |
|---|---|
{exports}

What it draws is limited to what it was trained on. {MANIFEST} has the whole configuration and the digests of the files.
"""


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
