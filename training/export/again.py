"""Write the exported files of a model folder again, from its weights."""

import logging
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load

from gan import atomic, model_folder, runtimes
from gan.errors import ModelFolderError
from gan.latents import inputs
from gan.manifest import MANIFEST, Manifest
from gan.model_folder import CARD, ONNX, TORCHSCRIPT, WEIGHTS, ModelFolder
from gan.networks import families
from gan.networks.families import Generator
from gan.runtimes.base import Runtime, RuntimeName
from training.errors import ExportError
from training.export.export import compare, export_onnx, export_torchscript, write_manifest
from training.export.model_card import model_card

_DRAWN_AT_ONCE = 256
_log = logging.getLogger(__name__)


def export_again(path: Path, seeds: int, take_changes: bool = False) -> Manifest:
    """Write the exported files of a model folder anew, from its weights, in one step; its name and version stay.

    Before that, `seeds` images are drawn with the files that are there and with the new ones. Raises ExportError, and changes
    nothing, if a image would change that is not to, or an export is over its tolerance; ModelFolderError for bad weights.
    """
    path = path.resolve()  # the folder itself, where a link leads to it
    old = ModelFolder(path, model_folder.read_manifest(path))
    generator = _rebuilt(old)
    written: list[Manifest] = []

    def fill(folder: Path) -> None:
        shutil.copytree(path, folder, dirs_exist_ok=True)
        export_onnx(generator, folder / ONNX)
        export_torchscript(generator, folder / TORCHSCRIPT)
        files = old.manifest.files | model_folder.digests(folder, [ONNX, TORCHSCRIPT])
        manifest = old.manifest.model_copy(update={"exports": compare(generator, folder), "files": files})
        write_manifest(folder, manifest)
        _compare_images(old, model_folder.read(folder), seeds, take_changes)
        card = path / CARD
        if card.is_file() and card.read_text() == model_card(old.manifest):  # else somebody has written into it
            (folder / CARD).write_text(model_card(manifest))
        written.append(manifest)

    atomic.write_atomically(path, fill, replace=True)
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


def _compare_images(old: ModelFolder, new: ModelFolder, seeds: int, take_changes: bool) -> None:
    """Raises ExportError if a image changes that is not to. Says what could not be compared."""
    files: dict[RuntimeName, str] = {"onnx": ONNX, "torchscript": TORCHSCRIPT}
    for name, file in files.items():
        try:
            before = runtimes.load(old, name, "cpu")
        except ModelFolderError as error:
            _log.info(f"{old.path}: no images to compare with those of the new {file}, since {error}")
            continue
        changed = _changed(before, runtimes.load(new, name, "cpu"), new.manifest, seeds)
        _log.info(f"{old.path}: {changed} of {seeds} images change with the new {file}")
        if changed and not take_changes:
            raise ExportError(
                f"{changed} of {seeds} images would change with the new {file}, and {new.title} promises the same ones for ever: "
                "not exported; to have them changed, add --take-changes"
            )


def _changed(before: Runtime, after: Runtime, manifest: Manifest, seeds: int) -> int:
    """How many of the images of the seeds 0, 1, 2 … are not the same bytes."""
    changed = 0
    for start in range(0, seeds, _DRAWN_AT_ONCE):
        rows = inputs(range(start, min(start + _DRAWN_AT_ONCE, seeds)), manifest.space)
        differs: NDArray[np.bool_] = runtimes.generate(before, rows) != runtimes.generate(after, rows)
        changed += int(differs.any((1, 2, 3)).sum())
    return changed
