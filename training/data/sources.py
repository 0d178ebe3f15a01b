"""The text of --data -> a data set."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.cache import decoded
from training.data.dataset import DataError, Dataset, HeldOut
from training.data.decoding import Options, parse_colour
from training.data.files import Files, find_files
from training.data.fitting import Colour, Fit, fit_array
from training.data.known import KNOWN, KNOWN_SETS, Known, RawSet, recognise
from training.data.reading import Arrays, read_known, read_raw

_OF_THE_PICTURES = "that of the pictures it was trained on"
_NAMED = 5  # files that could not be decoded, of those in the notes
_PADDED_FROM, _PADDED_TO = 28, 36  # pixels a side, between which a picture of MNIST's size gets a margin and is not scaled


def load(
    source: str,  # a name in KNOWN, a folder or a zip file
    size: tuple[int, int],  # height, width
    *,
    labelled: bool = False,  # with the set's labels, or the folders at the top of the source as classes
    fit: Fit = "crop",  # or "pad": a margin in the colour of the background
    background: str = "white",  # under what is transparent: a CSS colour name or #rrggbb
    max_bad: float = 0.01,  # share of the files that may be broken
) -> Dataset:
    """Find the pictures and decode them at one size, without the held-out ones: uint8 [n, channels, *size].

    One channel if all pictures are grey, else RGB. Raises DataError, which names --data, --conditional, --background or --max-bad.
    """
    colour = parse_colour(background)
    found = locate(source)
    if isinstance(found, Files):
        return _load_files(found, Options(size, fit, colour), labelled, max_bad)
    if isinstance(found, RawSet):
        arrays = read_raw(found, labelled)
        return _load_arrays(found.name, found.known, arrays, size, fit, colour)
    return _load_arrays(found, KNOWN_SETS[found], read_known(found, labelled), size, fit, colour)


def locate(source: str) -> str | RawSet | Files:
    """What --data means: a set's name, a folder of a set's raw files, or picture files. Raises DataError for none of these."""
    if source in KNOWN:
        return source
    path = Path(source)
    if not path.exists():
        raise DataError(
            f"--data {source}: there is no such folder; give a folder or a zip file of pictures, or one of {', '.join(KNOWN)}"
        )
    return (recognise(path) if path.is_dir() else None) or find_files(source)


def _load_files(files: Files, options: Options, labelled: bool, max_bad: float) -> Dataset:
    if labelled and not files.classes:
        raise _no_classes(files)
    cached = decoded(files, options)
    record = cached.record
    skipped = tuple(record.skipped)
    if len(skipped) > max_bad * len(files.files):
        raise DataError(
            f"--data {files.source}: {len(skipped)} of {len(files.files)} files cannot be decoded, more than the share of "
            f"{max_bad:g} that --max-bad allows; repair or remove them, or raise --max-bad: {'; '.join(skipped[:_NAMED])}"
        )
    if labelled and len(record.folders) < 2:
        raise _no_classes(files)
    held_out = None
    if cached.held_out is not None:
        held_out = HeldOut(cached.held_out, np.array(record.held_out_places, np.int64) if labelled else None)
    megabytes = sum(record.sizes.values()) / 1e6
    notes = [record.changes.describe(options.size)]
    if held_out is not None:
        notes.append(f"{len(held_out.pictures)} of them held out")
    notes += [f"skipped {reason}" for reason in skipped[:_NAMED]]
    if len(skipped) > _NAMED:
        notes.append(f"skipped {len(skipped) - _NAMED} more files")
    notes.append(f"decoded pictures are kept in {cached.folder} ({megabytes:.1f} MB), for you to remove")
    return Dataset(
        files.name,
        cached.pictures,
        licence=_OF_THE_PICTURES,
        classes=tuple(record.folders) if labelled else (),
        labels=np.array(record.places, np.int64) if labelled else None,
        held_out=held_out,
        notes=tuple(notes),
        skipped=skipped,
        recorded_fingerprint=record.labelled_fingerprint if labelled else record.fingerprint,
    )


def _no_classes(files: Files) -> DataError:
    return DataError(f"--conditional: {files.source} needs at least two folders, one for each class, and no pictures beside them")


def _load_arrays(name: str, known: Known | None, arrays: Arrays, size: tuple[int, int], fit: Fit, background: Colour) -> Dataset:
    # A grey set's own background is black, so a black margin is what the pictures would show there anyway.
    margin = 0 if arrays.training.pictures.shape[1] == 1 else background
    pictures, done = _resize(arrays.training.pictures, size, fit, margin)
    notes, held_out = [done], None
    if arrays.held_out is not None:
        held_out = HeldOut(_resize(arrays.held_out.pictures, size, fit, margin)[0], arrays.held_out.labels)
        notes.append(f"{len(held_out.pictures)} others held out")
    return Dataset(
        name,
        pictures,
        licence=_OF_THE_PICTURES if known is None else known.licence,
        classes=arrays.classes,
        labels=arrays.training.labels,
        held_out=held_out,
        notes=tuple(notes),
    )


def _resize(pictures: NDArray[np.uint8], size: tuple[int, int], fit: Fit, margin: Colour | int) -> tuple[NDArray[np.uint8], str]:
    """Pictures of MNIST's size get a margin where that suffices, for scaling by 8/7 would blur them. All others are scaled."""
    n, _, height, width = pictures.shape
    if (height, width) == (_PADDED_FROM, _PADDED_FROM) and all(_PADDED_FROM <= side <= _PADDED_TO for side in size):
        margins = [(total // 2, total - total // 2) for total in (size[0] - height, size[1] - width)]
        padded = f" padded with black to {size[0]}x{size[1]}" if size != (height, width) else ""
        return np.pad(pictures, [(0, 0), (0, 0), *margins]), f"{n} pictures of 28x28{padded}"
    fitted, changes = fit_array(pictures, size, fit, margin)
    return fitted, changes.describe(size)
