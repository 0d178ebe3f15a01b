"""A finished generator -> a model folder, each exported file compared with the network in memory.

As a command it writes the exported files of model folders again, from their weights.
"""

import argparse
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from gan import artifact, imaging, runtime
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
    ModelFolder,
    ModelFolderError,
    Origin,
)
from gan.latents import inputs
from gan.networks import families
from gan.networks.conditions import tensors
from gan.networks.families import Generator
from gan.paths import user_path
from training import console, spread
from training.config import TrainingConfig
from training.data import Dataset
from training.log import draw_grid
from training.state import TrainingState

COMPARED_LATENTS = 256
# A grey level is 1/127.5 = 0.0078 wide in the network's range; at a hundredth of that, one picture element in a hundred
# may round to the neighbouring level and none further.
TOLERANCE = 1e-4
# What programs of 2024 read, such as onnxruntime 1.17 and onnx2torch; the exporter's own choice is for newer ones.
_OPSET, _IR_VERSION = 18, 9
_DRAWN_AT_ONCE = 256


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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # that all inputs share the one name is meant
        program = torch.onnx.export(
            generator,
            (first, *others),
            input_names=generator.space.names,
            output_names=["pictures"],
            dynamic_shapes=({0: n}, *([tuple({0: n} for _ in others)] if others else [])),
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=_OPSET,
        )
    assert program is not None, "the exporter asked for by dynamo=True returns one"
    program.model.ir_version = _IR_VERSION
    program.save(path, external_data=False)


def export_torchscript(generator: Generator, path: Path) -> None:
    """The same as a traced module. It is not frozen, which would make constants of its weights that keep their type for ever."""
    with warnings.catch_warnings():
        # torch calls TorchScript deprecated but keeps it; it is the one format that runs without the network's source.
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.trace(generator, tuple(tensors(range(2), generator.space))), path)  # type: ignore[no-untyped-call]


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


def export_again(path: Path, seeds: int, take_changes: bool = False) -> Manifest:
    """Write the exported files of a model folder anew, from its weights, in one step; its name and version stay.

    Before that, `seeds` pictures are drawn with the files that are there and with the new ones. Raises ExportError, and changes
    nothing, if a picture would change that is not to, or an export is over its tolerance; ModelFolderError for bad weights.
    """
    path = path.resolve()  # the folder itself, where a link leads to it
    old = ModelFolder(path, artifact.read_manifest(path))
    generator = _rebuilt(old)
    written: list[Manifest] = []

    def fill(folder: Path) -> None:
        shutil.copytree(path, folder, dirs_exist_ok=True)
        export_onnx(generator, folder / ONNX)
        export_torchscript(generator, folder / TORCHSCRIPT)
        files = old.manifest.files | artifact.digests(folder, [ONNX, TORCHSCRIPT])
        manifest = old.manifest.model_copy(update={"exports": compare(generator, folder), "files": files})
        _write_manifest(folder, manifest)
        _compare_pictures(old, artifact.read(folder), seeds, take_changes)
        card = path / CARD
        if card.is_file() and card.read_text() == _card(old.manifest):  # else somebody has written into it
            (folder / CARD).write_text(_card(manifest))
        written.append(manifest)

    artifact.write_atomically(path, fill, replace=True)
    return written[0]


def _rebuilt(folder: ModelFolder) -> Generator:
    """The network in memory that a model folder's weights belong to. Raises ModelFolderError."""
    manifest = folder.manifest
    arguments = manifest.architecture.arguments
    try:
        generator = families.generator(
            manifest.architecture.name, manifest.space, manifest.channels, (manifest.height, manifest.width), arguments
        )
        generator.load_state_dict(load(folder.content(WEIGHTS)))
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelFolderError(
            f"{folder.path / WEIGHTS} are not the weights of the network in {MANIFEST} ({error}): copy the model folder again"
        ) from error
    return generator.eval()


def _compare_pictures(old: ModelFolder, new: ModelFolder, seeds: int, take_changes: bool) -> None:
    """Raises ExportError if a picture changes that is not to. Says what could not be compared."""
    runtimes: dict[runtime.RuntimeName, str] = {"onnx": ONNX, "torchscript": TORCHSCRIPT}
    for name, file in runtimes.items():
        try:
            before = runtime.load(old, name, "cpu")
        except ModelFolderError as error:
            print(f"{old.path}: no pictures to compare with those of the new {file}, since {error}")
            continue
        changed = _changed(before, runtime.load(new, name, "cpu"), new.manifest, seeds)
        print(f"{old.path}: {changed} of {seeds} pictures change with the new {file}")
        if changed and not take_changes:
            raise ExportError(
                f"{changed} of {seeds} pictures would change with the new {file}, and {new.title} promises the same ones for ever: "
                "not exported; to have them changed, add --take-changes"
            )


def _changed(before: runtime.Runtime, after: runtime.Runtime, manifest: Manifest, seeds: int) -> int:
    """How many of the pictures of the seeds 0, 1, 2 … are not the same bytes."""
    changed = 0
    for start in range(0, seeds, _DRAWN_AT_ONCE):
        rows = inputs(range(start, min(start + _DRAWN_AT_ONCE, seeds)), manifest.space)
        differs: NDArray[np.bool_] = runtime.draw(before, rows) != runtime.draw(after, rows)
        changed += int(differs.any((1, 2, 3)).sum())
    return changed


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


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        "python -m training.export",
        description="Write the exported files of model folders again, from their weights: for files that are damaged, or too old "
        "for what is to read them. Name, version and pictures stay.",
        epilog="example: python -m training.export models/shoes",
    )
    parser.add_argument("folders", nargs="+", type=user_path, metavar="MODEL", help="a model folder")
    parser.add_argument("--seeds", type=int, default=1000, help="pictures to compare before and after, %(default)s by default")
    parser.add_argument("--take-changes", action="store_true", help="export even if some of these pictures change")
    options = parser.parse_args(arguments)
    for folder in options.folders:
        try:
            manifest = export_again(folder, options.seeds, options.take_changes)
        except (ModelFolderError, ExportError, OSError) as error:
            print(f"training.export: {folder}: {error}", file=sys.stderr)
            return 1
        print(f"{folder}: {manifest.name}@{manifest.version} was exported again")
    return 0


if __name__ == "__main__":
    console.run(main)
