"""A quick survey of a data set, before anything is decoded or downloaded."""

import sys
from dataclasses import dataclass
from statistics import median

from gan.images.decoding import DECODING_ERRORS, MAX_PIXELS, Header, Options, bombs_are_errors, decode, read_header
from training.data import points
from training.data.catalog import CATALOG, RawSet, images_file
from training.data.idx import find_idx, read_idx_shape
from training.data.image_files import Files
from training.data.loading import locate
from training.errors import DataError

_LOOKED_AT = 200  # files
_ANY_SIZE = Options((64, 64), "crop", (255, 255, 255))


@dataclass(frozen=True)
class Survey:
    """The figures by which a recipe is chosen."""

    name: str
    builtin: bool  # whether it is a builtin set
    count: int  # images, or files with the name of one, whole or not; where there is no test split some will be held out
    height: int  # median, before anything is scaled
    width: int
    channels: int  # 1 or 3; 2 of points in the plane
    classes: int | None  # None where there are no labels
    all_labelled: bool = True  # False where only some images have labels


def survey(source: str) -> Survey:
    """Survey the source that --data names: all names, but the headers of at most 200 files. Raises DataError as `load` does.

    Sizes and channels are therefore those of a sample, spread evenly over the sorted names.
    """
    if source in points.POINT_SETS:
        images = points.load(source).images
        return Survey(source, True, len(images), *points.SIZE, images.shape[1], None)
    found = locate(source)
    if isinstance(found, Files):
        return _survey_files(found)
    entry = CATALOG[found] if isinstance(found, str) else found.entry
    name = found if isinstance(found, str) else found.name
    path = find_idx(found.folder, images_file(entry)) if isinstance(found, RawSet) and (entry is None or not entry.marker) else None
    if path is not None:
        count, height, width = read_idx_shape(path, 3)
        return Survey(name, entry is not None, count, height, width, 1, len(entry.classes) if entry else None)
    assert entry is not None
    return Survey(name, True, entry.count, entry.height, entry.width, entry.channels, len(entry.classes), entry.all_labelled)


def _survey_files(files: Files) -> Survey:
    considered = [file.file for file in files.files if not file.held_out]
    count = len(considered)
    looked_at = min(count, _LOOKED_AT)
    headers: list[Header] = []
    grey = True
    problem = ""
    with bombs_are_errors(sys.maxsize):  # headers are small, however large the images
        for place in range(looked_at):
            file = considered[place * count // looked_at]
            try:
                content = file.read()
                header = read_header(content)
                # An RGB image may show no colour, which takes decoding; only until one is found that does.
                small = header.height * header.width <= MAX_PIXELS
                grey = grey and (header.grey or (small and decode(content, _ANY_SIZE).grey))
                headers.append(header)
            except DECODING_ERRORS as error:
                problem = f"{file.title} ({error})"
    if not headers:
        raise DataError(f"--data {files.source}: none of {looked_at} files that were tried can be decoded, for example {problem}")
    return Survey(
        files.name,
        False,
        count,
        round(median(header.height for header in headers)),
        round(median(header.width for header in headers)),
        1 if grey else 3,
        len(files.classes) or None,
    )
