"""A folder or a zip file -> its picture files, in an order that is the same everywhere."""

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from training.data.dataset import DataError, slug
from training.data.decoding import SUFFIXES

_LARGEST = 1 << 30  # bytes: more than Pillow's limit of pixels comes to, in any format, and less than memory


@dataclass(frozen=True)
class PictureFile:
    """A file that is called like a picture."""

    name: str  # relative to the source, with forward slashes
    read: Callable[[], bytes]  # raises OSError or ValueError for what cannot be read

    @property
    def title(self) -> str:
        """The name for people: what is not text in it is spelled out."""
        return self.name.encode("utf-8", "backslashreplace").decode()

    @property
    def top(self) -> str:
        """The folder that it lies in, of those at the top of the source; '' beside them."""
        return self.name.partition("/")[0] if "/" in self.name else ""


@dataclass(frozen=True)
class Files:
    """The picture files of one source, at least one, sorted by name."""

    source: str  # as it was given
    name: str  # slug of the data set
    files: tuple[PictureFile, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The folders at the top, sorted, if they can be classes: at least two, and no pictures beside them. Else empty."""
        tops = {file.top for file in self.files}
        return tuple(sorted(tops)) if len(tops) > 1 and "" not in tops else ()


def find_files(source: str) -> Files:
    """The pictures in a folder or zip file, however deep; hidden files, and folders that begin with a dot, are passed over.

    In a zip all of whose pictures lie in one folder, names count from inside that folder: that is how folders are packed.
    Raises DataError where there is no picture in it, and for zip files that are damaged, encrypted or name files outside.
    """
    path = Path(source)
    if path.is_dir():
        files, name = _in_folder(path), path.resolve().name
    elif path.is_file() and zipfile.is_zipfile(path):
        files, name = _in_zip(path), path.stem
    else:
        raise DataError(f"--data {source}: this is no zip file, or a damaged one; give a folder or a zip file of pictures")
    if not files:
        raise DataError(f"--data {source}: no pictures there; it needs files that end in {', '.join(sorted(SUFFIXES))}")
    return Files(source, slug(name), tuple(sorted(files, key=lambda file: file.name)))


def _is_picture(name: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return not hidden and name.suffix.lower() in SUFFIXES


def _in_folder(folder: Path) -> list[PictureFile]:
    def refuse(error: OSError) -> None:
        raise DataError(f"--data {folder}: cannot read {error.filename} ({error.strerror}); allow it, or give another") from error

    files = []
    for parent, _, names in os.walk(folder, onerror=refuse):
        for path in (Path(parent, name) for name in names):
            name = path.relative_to(folder).as_posix()
            if _is_picture(PurePosixPath(name)) and path.is_file():
                files.append(PictureFile(name, partial(_read_file, path)))
    return files


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        _check_length(os.fstat(file.fileno()).st_size)
        return file.read()


def _in_zip(path: Path) -> list[PictureFile]:
    try:
        archive = zipfile.ZipFile(path)  # stays open: threads read from it at once
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"--data {path}: the zip file is damaged ({error}); pack it again") from error
    members = {}  # of two with one name the last counts, as in unpacking
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"--data {path}: it names a file outside itself ({member.filename!r}); do not trust this zip file")
        if not member.is_dir() and _is_picture(name):
            members[name] = member
    if encrypted := [member.filename for member in members.values() if member.flag_bits & 1]:
        raise DataError(f"--data {path}: {encrypted[0]} is encrypted; pack it again without a password")
    tops = {name.parts[0] for name in members}
    inside = len(tops) == 1 and all(len(name.parts) > 1 for name in members)
    return [
        PictureFile("/".join(name.parts[int(inside) :]), partial(_read_member, archive, member)) for name, member in members.items()
    ]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    _check_length(member.file_size)
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
        raise ValueError(f"the zip file is damaged there: {error}") from error


def _check_length(length: int) -> None:
    if length > _LARGEST:
        raise ValueError(f"it has {length:,} bytes, more than {_LARGEST:,}")
