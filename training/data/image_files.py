"""A folder or a zip file -> its image files, in an order that is the same everywhere, with labels and splits."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gan.images.formats import SUFFIXES, is_image, suffix_of
from training.data.classes import arrange, in_natural_order
from training.data.dataset import nfc, slug
from training.data.labels import LABEL_FILES, Labels, read_labels
from training.data.listing import File, Listing, list_folder, list_zip
from training.errors import DataError

_NO_CLASSES = "needs at least two folders, one for each class, and no images beside them"


@dataclass(frozen=True)
class ImageFile:
    """A file that is an image by its name or its content."""

    file: File
    label: str | None = None  # its class, as spelled by the folder or the file of labels; None if it has none
    held_out: bool | None = None  # whether it is in a test split; None where the set is not split

    @property
    def name(self) -> str:
        """Relative to the source, with forward slashes."""
        return self.file.name

    @property
    def title(self) -> str:
        """The name for people, with escapes for what is not text."""
        return self.file.title


@dataclass(frozen=True)
class Files:
    """The image files of a source, at least one to train on, sorted by name."""

    source: str  # as it was given
    name: str  # slug of the data set
    files: tuple[ImageFile, ...]
    notes: tuple[str, ...] = ()  # what else was found, for people
    no_classes: str = _NO_CLASSES  # the reason, where there are no classes

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in natural order, two or more; empty if there are none."""
        return in_natural_order(file.label for file in self.files if file.label is not None and not file.held_out)

    @property
    def count(self) -> int:
        """Number of images that are not in a test split."""
        return sum(not file.held_out for file in self.files)


def find_files(source: str) -> Files:
    """Find the images in a folder or zip file, however deep: by the suffixes of names, and other files by their content.

    Hidden files, and folders of operating systems, are ignored. Classes are those of a file of labels (`labels`), or folders
    (`classes.arrange`). Raises DataError where there is no image in it, for folders that cannot be read, and for zip files that
    are damaged, encrypted or name files outside.
    """
    path = Path(source)
    if path.is_dir():
        listing, name = list_folder(path), path.resolve().name
    elif path.is_file() and zipfile.is_zipfile(path):
        listing, name = list_zip(path), path.stem
    else:
        raise DataError(f"--data {source}: this is no zip file, or a damaged one; give a folder or a zip file of images")
    images, labels, without_labels = [], [], ""
    for file in listing.files:
        if PurePosixPath(file.name).name.lower() in LABEL_FILES:
            if (found := _read_labels(source, file)) is not None:
                labels.append(found)
                continue
            without_labels = without_labels or file.title
        if _is_image(file):
            images.append(file)
        else:
            listing.count_ignored(file)
    if not images:
        account = f"; {listing.ignored_summary}" if listing.ignored_summary else ""
        raise DataError(f"--data {source}: no images there; it needs files that end in {', '.join(sorted(SUFFIXES))}{account}")
    placed, no_classes = _label(_place(images, listing), labels)
    if without_labels and not labels:
        no_classes += f"; {without_labels} has no column label or labels"
    return Files(source, slug(name), placed, _notes(listing, placed, labels), no_classes)


def _is_image(file: File) -> bool:
    if suffix_of(file.name) in SUFFIXES:
        return True
    try:
        return is_image(file.name, file.head())
    except (OSError, ValueError):
        return False


def _read_labels(source: str, file: File) -> Labels | None:
    try:
        return read_labels(file.name, file.read())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"--data {source}: {file.name} is damaged ({error}); repair it, or remove it to go by folders") from error


def _place(images: Sequence[File], listing: Listing) -> list[ImageFile]:
    """The images with classes and splits by their folders, without those beside folders for training and testing."""
    places = arrange([PurePosixPath(file.name).parts for file in images])
    if beside := sum(place.beside for place in places):
        listing.passed_over["images beside the folders for training and testing"] += beside
    found = zip(images, places, strict=True)
    return [ImageFile(file, place.label, place.held_out) for file, place in found if not place.beside]


def _label(images: Sequence[ImageFile], labels: Sequence[Labels]) -> tuple[tuple[ImageFile, ...], str]:
    """The images with the labels of these files, where there are any, and the reason if there are no classes."""
    if not labels:
        return tuple(images), _NO_CLASSES
    found, no_classes = [], ""
    for image in images:
        about = max((one for one in labels if one.covers(image.name)), key=lambda one: len(one.file), default=None)
        label = None if about is None else about.labels.get(nfc(image.name))
        if label is None and not image.held_out and not no_classes:
            file = labels[0].file if about is None else about.file
            unusable = about.unusable if about is not None else ""
            no_classes = f"needs a label for every image, and {file} has none for {image.title}"
            if unusable:
                no_classes = f"cannot go by {file}: {unusable}; mend it, or remove it to go by folders"
        found.append(ImageFile(image.file, label, image.held_out))
    classes = in_natural_order(file.label for file in found if file.label is not None and not file.held_out)
    if not no_classes and len(classes) < 2:
        no_classes = f"needs at least two classes, and {labels[0].file} names one"
    known = set() if no_classes else set(classes)
    kept = (file if file.label in known else ImageFile(file.file, None, file.held_out) for file in found)
    return tuple(kept), no_classes


def _notes(listing: Listing, images: Sequence[ImageFile], labels: Sequence[Labels]) -> tuple[str, ...]:
    notes = [listing.ignored_summary] if listing.ignored_summary else []
    if listing.encoding is not None:
        notes.append(f"the names in the zip file are taken for {listing.encoding}; if they look wrong, pack it with names in UTF-8")
    if any(image.title != image.name for image in images):
        notes.append("some names are no UTF-8 text and are spelled out; rename them (convmv) if classes are among them")
    if labels and any(image.label is not None for image in images):
        notes.append(f"labels from {', '.join(one.file for one in labels)}")
    if apart := sum(bool(image.held_out) for image in images):
        notes.append(f"{apart} images in folders for testing, which are not trained on")
    return tuple(notes)
