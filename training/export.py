"""A finished generator -> a model folder, each exported file compared with the network in memory."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from gan import artifact, imaging
from gan.artifact import (
    CARD,
    MANIFEST,
    ONNX,
    SAMPLES,
    TORCHSCRIPT,
    WEIGHTS,
    Architecture,
    Environment,
    Export,
    Manifest,
    Metric,
    Origin,
)
from gan.latents import inputs
from gan.networks.conditions import tensors
from gan.networks.families import Generator
from training import spread
from training.config import TrainingConfig
from training.data import Dataset
from training.log import draw_grid
from training.state import TrainingState

COMPARED_LATENTS = 256
# A grey level is 1/127.5 = 0.0078 wide in the network's range; at a hundredth of that, one picture element in a hundred
# may round to the neighbouring level and none further.
TOLERANCE = 1e-4


class ExportError(Exception):
    """An exported file that does not draw what the network in memory draws."""


def export_model(
    target: Path,  # what stands there is replaced once the new folder is whole
    name: str,
    state: TrainingState,
    dataset: Dataset,
    config: TrainingConfig,
    environment: Environment,  # as it was when the run was started
    measure: Callable[[Path], list[Metric]],  # a model folder that can be drawn from -> what its card is to say of it
) -> Manifest:
    """Write the model folder in one step. Raises ExportError, and leaves nothing behind, if an export is over its tolerance."""
    generator = state.finished_generator()
    _, channels, height, width = dataset.pictures.shape
    written: list[Manifest] = []

    def fill(folder: Path) -> None:
        save_file(generator.state_dict(), folder / WEIGHTS)
        export_onnx(generator, folder / ONNX)
        export_torchscript(generator, folder / TORCHSCRIPT)
        (folder / SAMPLES).write_bytes(imaging.encode(draw_grid(generator), "png"))
        files = artifact.digests(folder, [WEIGHTS, ONNX, TORCHSCRIPT])
        manifest = Manifest(
            name=name,
            version=files[WEIGHTS][:12],
            architecture=Architecture(name=config.arch, arguments=config.arguments),
            z_dim=config.z_dim,
            latent=config.latent,
            channels=channels,
            height=height,
            width=width,
            classes=list(dataset.classes) or None,
            codes=list(state.space.codes),
            exports=compare(generator, folder),
            origin=Origin(
                dataset=dataset.name,
                dataset_fingerprint=dataset.fingerprint,
                dataset_pictures=len(dataset.pictures),
                config=config.model_dump(mode="json"),
                environment=environment,
                seed=config.seed,
                pictures_seen=state.seen,
                wall_time_seconds=round(state.seconds, 1),
            ),
            licence=dataset.licence,
            files=files,
        )
        _write_manifest(folder, manifest)
        manifest = manifest.model_copy(update={"metrics": measure(folder)})
        _write_manifest(folder, manifest)
        (folder / CARD).write_text(_card(manifest))
        written.append(manifest)

    artifact.write_atomically(target, fill, replace=True)
    return written[0]


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def export_onnx(generator: Generator, path: Path) -> None:
    """`space.names`, such as z [n, z_dim], -> pictures [n, channels, height, width], any n, weights inside the file."""
    n = torch.export.Dim("n")
    first, *others = tensors(range(2), generator.space)
    torch.onnx.export(
        generator,
        (first, *others),
        path,
        input_names=generator.space.names,
        output_names=["pictures"],
        dynamic_shapes=({0: n}, *([tuple({0: n} for _ in others)] if others else [])),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def export_torchscript(generator: Generator, path: Path) -> None:
    """The same as a traced and frozen module."""
    with warnings.catch_warnings():
        # torch calls TorchScript deprecated but keeps it; it is the one format that runs without the network's source.
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.freeze(torch.jit.trace(generator, tuple(tensors(range(2), generator.space)))), path)  # type: ignore[no-untyped-call]


def compare(generator: Generator, folder: Path) -> dict[str, Export]:
    """Draw seeds 0 to 255 with the network in memory and with each exported file; the largest differences.

    Raises ExportError if one is over the tolerance.
    """
    rows = inputs(range(COMPARED_LATENTS), generator.space)
    values = [torch.from_numpy(column) for column in rows.values()]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = generator(*values).numpy()
        session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
        found: dict[str, NDArray[np.float32]] = {
            ONNX: session.run(None, rows)[0],
            TORCHSCRIPT: torch.jit.load(folder / TORCHSCRIPT)(*values).numpy(),  # type: ignore[no-untyped-call]
        }
    exports = {}
    for file, pictures in found.items():
        difference = float(np.abs(pictures - expected).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{file} differs from the network in memory by {difference:.2g}, more than {TOLERANCE:.0e}: not exported"
            )
        exports[file] = Export(largest_difference=difference, tolerance=TOLERANCE, latents=COMPARED_LATENTS)
    return exports


def _card(manifest: Manifest) -> str:
    origin = manifest.origin
    exports = "\n".join(f"| {file} | {export.largest_difference:.1e} |" for file, export in manifest.exports.items())
    return f"""# {manifest.name}

![64 pictures, seeds 0 to 63]({SAMPLES})

A {manifest.architecture.name} generator of {manifest.width}x{manifest.height} pictures with {manifest.channels} channel(s),
version {manifest.version}, trained on {origin.dataset} ({origin.dataset_pictures:,} pictures).
It saw {origin.pictures_seen:,} pictures in {origin.wall_time_seconds / 60:.0f} minutes on: {origin.environment.hardware}.

The grid shows seeds 0 to 63, unselected, as the service draws them. Licence: {manifest.licence}.

{_quality(manifest)}

| file | largest difference from the network in memory, {COMPARED_LATENTS} latents, range -1 to 1 |
|---|---|
{exports}

What it draws is limited to what it was trained on. {MANIFEST} has the whole configuration and the digests of the files.
"""


def _quality(manifest: Manifest) -> str:
    """The metrics as a table, and how each was measured."""
    if not manifest.metrics:
        return "How good it is was not measured."
    figures = spread.figures(manifest.metrics)
    protocols = list(dict.fromkeys(metric.protocol for metric, _ in figures))
    rows = [
        f"| {metric.name} | {' | '.join(spread.texts(metric, deviation))} | {protocols.index(metric.protocol) + 1} |"
        for metric, deviation in figures
    ]
    ways = [f"{number}. {protocol}" for number, protocol in enumerate(protocols, 1)]
    if any(deviation is not None for _, deviation in figures):
        ways.append("\nBehind ± stands the standard deviation of one set of pictures from another.")
    return "\n".join(
        ["| measure | generated | real pictures | protocol |", "|---|---|---|---|", *rows, "", "Protocols:", "", *ways]
    )
