"""Loading: the value of --data -> a dataset."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan.images.colours import WHOLE_DEPTH
from gan.images.decoding import MAX_PIXELS, Options, parse_colour
from gan.images.fitting import Colour, Fit, fit_array
from gan.paths import check_searchable
from training.data import points
from training.data.cache_limit import limit_of
from training.data.catalog import BUILTIN_DATASETS, CATALOG, CatalogEntry, RawSet, find_raw_set
from training.data.dataset import Dataset, HeldOut
from training.data.decode_cache import Cached, Record, cache_size, decoded
from training.data.image_files import Files, find_files
from training.data.published import Arrays, read_builtin, read_raw_set
from training.data.split import LEAST_HELD_OUT
from training.errors import DataError

_OF_THE_PICTURES = "that of the images it was trained on"
_NAMED = 5  # files that could not be decoded, at most, in the notes
_DARK = 64  # of 256 levels
_SMALL_CLASS = 10  # images
_FEW = 300  # images
_LISTED = 30  # classes, at most, in the notes
_DOMINANT = 0.5  # of the images: a class of more is pointed out
_PADDED_FROM, _PADDED_TO = 28, 36  # pixels a side: between these sizes an image of MNIST's size is padded and not scaled


def load(
    source: str,  # a name in CATALOG or POINT_SETS, a folder or a zip file
    size: tuple[int, int],  # height, width
    *,
    labelled: bool = False,  # with the labels of a builtin set, or of the files (`image_files.find_files`)
    fit: Fit = "crop",  # or "pad": with margins in the colour of the background
    background: str = "white",  # behind transparent pixels: a CSS colour name or #rrggbb
    max_bad: float = 0.01,  # share of the files that may be broken
    max_pixels: int = MAX_PIXELS,  # of one image; with more it counts as broken
) -> Dataset:
    """Find the images and decode them at one size; those to train on are uint8 [n, channels, *size].

    One channel if all images are grey, else RGB. Raises DataError, which names --data, --conditional, --background or --max-bad.
    """
    if source in points.POINT_SETS:
        return points.load(source)
    try:
        colour = parse_colour(background)
    except ValueError as error:
        raise DataError(f"--background {error}") from error
    found = locate(source)
    if isinstance(found, Files):
        return _load_files(found, Options(size, fit, colour, max_pixels), labelled, max_bad)
    if isinstance(found, RawSet):
        arrays = read_raw_set(found, labelled)
        return _load_arrays(found.name, found.entry, arrays, size, fit, colour)
    return _load_arrays(found, CATALOG[found], read_builtin(found, labelled), size, fit, colour)


def locate(source: str) -> str | RawSet | Files:
    """Resolve --data: the name of a builtin set, a folder of a set's raw files, or image files. Raises DataError for others."""
    if source in BUILTIN_DATASETS:
        return source
    path = Path(source)
    try:
        exists, is_folder = path.exists(), path.is_dir()
        if is_folder:
            check_searchable(path)
        elif path.is_file():
            path.open("rb").close()
    except OSError as error:  # no permission, or an impossible file name
        raise DataError(f"--data {source}: it cannot be read ({error.strerror}); allow it, or give another") from error
    if not exists:
        raise DataError(
            f"--data {source}: there is no such folder; give a folder or a zip file of images, "
            f"or one of {', '.join(BUILTIN_DATASETS)}, or points: {', '.join(points.POINT_SETS)}"
        )
    return (find_raw_set(path) if is_folder else None) or find_files(source)


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
    if labelled and len(record.classes) < 2:
        raise _no_classes(files)
    labels, images, held_out = np.array(record.labels, np.int64), cached.images, cached.held_out
    held_out_labels = np.array(record.held_out_labels, np.int64)
    if labelled and held_out is not None and (held_out_labels < 0).any():
        held_out, held_out_labels = held_out[held_out_labels >= 0], held_out_labels[held_out_labels >= 0]
    apart = None
    if held_out is not None and len(held_out) >= LEAST_HELD_OUT:
        apart = HeldOut(held_out, held_out_labels if labelled else None)
    former = tuple(record.former_classes) if labelled else ()
    return Dataset(
        files.name,
        images,
        licence=_OF_THE_PICTURES,
        classes=tuple(record.classes) if labelled else (),
        labels=labels if labelled else None,
        held_out=apart,
        notes=tuple(_notes(files, cached, options, 0 if apart is None else len(apart.images), labelled)),
        skipped=skipped,
        depth=record.depth,
        recorded_fingerprint=record.labelled_fingerprint if labelled else record.fingerprint,
        former_classes=() if former == tuple(record.classes) else former,
        names_file=cached.names_file,
    )


def _notes(files: Files, cached: Cached, options: Options, held_out: int, labelled: bool) -> Iterator[str]:
    """What was found and how it was decoded, for people."""
    record = cached.record
    yield record.changes.describe(options.size)
    if held_out:
        yield f"{held_out} of them held out"
    yield from files.notes
    if len(cached.images) < _FEW:
        yield f"only {len(cached.images)} images to learn from: so few are learned by heart; some hundreds more would help"
    if record.depth < WHOLE_DEPTH:
        yield f"the values of 16-bit files are taken for {record.depth} bits, since none is over {(1 << record.depth) - 1:,}"
    if record.brightest < _DARK:
        yield f"dark: the brightest point of all images is {record.brightest} of 255; save them with values that fill their bits"
    if record.copies:
        images = len(cached.images) + (0 if cached.held_out is None else len(cached.held_out))
        yield (f"{record.copies:,} of {images:,} are copies of others" if record.copies < images - 1 else "all are the same image")
    if labelled:
        yield from _about_classes(record)
    yield from (f"skipped {reason}" for reason in record.skipped[:_NAMED])
    if len(record.skipped) > _NAMED:
        yield f"skipped {len(record.skipped) - _NAMED} more files"
    megabytes, root = sum(record.sizes.values()) / 1e6, cached.folder.parent
    yield (
        f"decoded images are kept in {cached.folder} ({megabytes:.1f} MB, {cache_size(root) / 1e6:,.1f} MB with other sets; "
        f"beyond {limit_of(root) / 1e6:,.0f} MB those not used for longest are removed)"
    )


def _about_classes(record: Record) -> Iterator[str]:
    """The classes with their counts, and which of them are too small or very large."""
    counts = np.bincount(record.labels, minlength=len(record.classes)).tolist()
    listed = [f"{name} {count:,}" for name, count in zip(record.classes, counts, strict=True)]
    more = f" and {len(listed) - _LISTED:,} more" if len(listed) > _LISTED else ""
    yield f"{len(listed)} classes: {', '.join(listed[:_LISTED])}{more}"
    largest = int(np.argmax(counts))
    if counts[largest] > _DOMINANT * sum(counts):
        yield (
            f"{counts[largest] / sum(counts):.0%} of the images are {record.classes[largest]}, and seeds draw every class equally "
            "often: the others will be generated more often than they occur"
        )
    small = [f"{name} ({count})" for name, count in zip(record.classes, counts, strict=True) if count < _SMALL_CLASS]
    if small:
        named = ", ".join(small[:_NAMED]) + (", …" if len(small) > _NAMED else "")
        yield f"{len(small)} of {len(counts)} classes have under {_SMALL_CLASS} images, too few to learn them from: {named}"


def _no_classes(files: Files) -> DataError:
    return DataError(f"--conditional: {files.source} {files.no_classes}")


def _load_arrays(
    name: str, entry: CatalogEntry | None, arrays: Arrays, size: tuple[int, int], fit: Fit, background: Colour
) -> Dataset:
    # The background of grey sets is black, so their margins are black too.
    margin = 0 if arrays.training.images.shape[1] == 1 else background
    images, done = _resize(arrays.training.images, size, fit, margin)
    notes, held_out = [done], None
    if arrays.held_out is not None:
        held_out = HeldOut(_resize(arrays.held_out.images, size, fit, margin)[0], arrays.held_out.labels)
        notes.append(f"{len(held_out.images)} others held out")
    return Dataset(
        name,
        images,
        licence=_OF_THE_PICTURES if entry is None else entry.licence,
        classes=arrays.classes,
        labels=arrays.training.labels,
        held_out=held_out,
        notes=tuple(notes),
    )


def _resize(images: NDArray[np.uint8], size: tuple[int, int], fit: Fit, margin: Colour | int) -> tuple[NDArray[np.uint8], str]:
    """Pad images of MNIST's size where that suffices, since scaling by 8/7 would blur them; scale all others."""
    n, _, height, width = images.shape
    if (height, width) == (_PADDED_FROM, _PADDED_FROM) and all(_PADDED_FROM <= side <= _PADDED_TO for side in size):
        margins = [(total // 2, total - total // 2) for total in (size[0] - height, size[1] - width)]
        padded = f" padded with black to {size[0]}x{size[1]}" if size != (height, width) else ""
        return np.pad(images, [(0, 0), (0, 0), *margins]), f"{n} images of 28x28{padded}"
    fitted, changes = fit_array(images, size, fit, margin)
    return fitted, changes.describe(size)
