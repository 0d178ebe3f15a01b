"""Directions in a model folder: written, replaced and removed in one step."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save_file

from gan import atomic, model_folder
from gan.directions import Directions
from gan.manifest import DIRECTIONS, Manifest
from gan.manifest_parts import Direction
from gan.model_folder import ModelFolder
from training.directions.finding import Found
from training.errors import UsageError
from training.export.again import check_replaceable
from training.export.export import write_manifest

Arrays = Mapping[str, NDArray[np.float32]]


def write(path: Path, found: Sequence[Found], keep: bool) -> Manifest:
    """Write directions; with `keep` those that are there stay, but for those of the same names.

    Raises ModelFolderError for a folder that is damaged or read-only.
    """
    old = model_folder.read(path.resolve())  # the folder itself if this is a link
    names = {one.about.name for one in found}
    kept = [direction for direction in old.manifest.directions if keep and direction.name not in names]
    arrays = _arrays(old)
    return _replace(
        old,
        [*kept, *(one.about for one in found)],
        {**{one.name: arrays[one.name] for one in kept}, **{one.about.name: one.array for one in found}},
    )


def remove(path: Path, names: Sequence[str]) -> Manifest:
    """Remove directions by their names, and the file with the last of them.

    Raises UsageError for a name that is not there, ModelFolderError as `write` does.
    """
    old = model_folder.read(path.resolve())
    there = [direction.name for direction in old.manifest.directions]
    if missing := [name for name in names if name not in there]:
        raise UsageError(f"--remove: {path} has no direction {missing[0]}, it has {', '.join(there) or 'none'}")
    kept = [direction for direction in old.manifest.directions if direction.name not in names]
    arrays = _arrays(old)
    return _replace(old, kept, {one.name: arrays[one.name] for one in kept})


def _arrays(folder: ModelFolder) -> Arrays:
    """Those in the folder, checked."""
    if not Directions.read(folder).names:
        return {}
    return load(folder.content(DIRECTIONS))


def _replace(old: ModelFolder, directions: list[Direction], arrays: Arrays) -> Manifest:
    check_replaceable(old.path)
    written: list[Manifest] = []

    def fill(folder: Path) -> None:
        shutil.copytree(old.path, folder, dirs_exist_ok=True)
        files = {name: digest for name, digest in old.manifest.files.items() if name != DIRECTIONS}
        (folder / DIRECTIONS).unlink(missing_ok=True)
        if directions:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / DIRECTIONS)
            files |= model_folder.digests(folder, [DIRECTIONS])
        write_manifest(folder, old.manifest.model_copy(update={"directions": directions, "files": files}))
        read = model_folder.read(folder)
        Directions.read(read)
        written.append(read.manifest)

    atomic.write_atomically(old.path, fill, replace=True)
    return written[0]
