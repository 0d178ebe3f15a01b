"""Real pictures that attributes are learned from, decoded as a model's training pictures were."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan.images.colours import luminance
from gan.images.decoding import DECODING_ERRORS, bombs_are_errors, decode
from gan.manifest import Manifest
from gan.model.pictures import options_of
from training.data.dataset import slug
from training.data.decode_files import in_threads
from training.data.image_files import find_files
from training.data.tables import FILE, Table
from training.directions.attributes import Attribute
from training.directions.predictor import FEWEST_PICTURES, MOST_PICTURES
from training.directions.scores import Target
from training.errors import UsageError
from training.evaluation.subsets import fixed_subset

_MOST_BAD = 0.01  # share of the files

Pictures = NDArray[np.uint8]  # [n, channels, height, width]


def of_table(table: Table, targets: Sequence[Target], folder: Path, manifest: Manifest, seed: int) -> tuple[Pictures, list[Target]]:
    """Decode the pictures that a table names, at most 12,000 of them, and what it says of these.

    Raises UsageError for pictures that are not there or cannot be decoded, if they are more than one in a hundred.
    """
    some = fixed_subset(len(table.rows), MOST_PICTURES, seed=seed)
    paths = [folder / table.rows[row][FILE] for row in some]
    pictures, readable = _decode(
        paths, manifest, f"--attributes: {table.path}", "give the folder that its column file starts from as --data"
    )
    return pictures, [Target(target.attribute, target.values[some[readable]]) for target in targets]


def of_two_folders(folder: Path, manifest: Manifest, seed: int) -> tuple[Pictures, list[Target]]:
    """Decode the pictures of a folder with two folders in it, and one attribute: from those of the first to those of the second.

    Raises UsageError if there are not two, DataError where there are no pictures.
    """
    if not folder.is_dir():
        raise UsageError(f"--classes: {folder} is no folder: give one with two folders of pictures in it, without and with")
    files = find_files(str(folder))
    if len(files.classes) != 2:
        raise UsageError(f"--classes: {folder} needs two folders of pictures, without and with, and has {len(files.classes)}")
    one, other = files.classes
    labelled = [file for file in files.files if file.label in (one, other)]
    some = fixed_subset(len(labelled), MOST_PICTURES, seed=seed)
    pictures, readable = _decode(
        [folder / labelled[place].name for place in some], manifest, f"--classes: {folder}", "take them away"
    )
    values = np.array([float(labelled[place].label == other) for place in some[readable]])
    return pictures, [Target(Attribute(slug(other), f"from {one} to {other}", yes_or_no=True), values)]


def _decode(paths: Sequence[Path], manifest: Manifest, where: str, remedy: str) -> tuple[Pictures, NDArray[np.int64]]:
    """Decode files -> pictures, and the indices of the files that could be."""
    options = options_of(manifest, None, None)

    def work(place: int) -> Pictures | str:
        try:
            return decode(paths[place].read_bytes(), options).pixels
        except DECODING_ERRORS as error:
            return f"{paths[place]} ({error})"

    with bombs_are_errors():
        decoded = in_threads(work, len(paths), "decoding")
    bad = [one for one in decoded if isinstance(one, str)]
    if len(bad) > _MOST_BAD * len(paths):
        raise UsageError(f"{where}: {len(bad)} of {len(paths)} pictures cannot be read, such as {bad[0]}: {remedy}")
    readable = np.array([place for place, one in enumerate(decoded) if not isinstance(one, str)], np.int64)
    if len(readable) < FEWEST_PICTURES:
        raise UsageError(f"{where}: a predictor needs {FEWEST_PICTURES} pictures or more, and there are {len(readable)}")
    pictures = np.stack([one for one in decoded if not isinstance(one, str)])
    return (luminance(pictures) if manifest.channels == 1 else pictures), readable
