"""The files in a folder or a zip file, by name, and the numbers of ignored files."""

import lzma
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from gan.images.formats import HEAD, hint, suffix_of
from gan.paths import check_searchable
from training.data.dataset import escape_undecodable
from training.data.zip_names import names_of
from training.errors import DataError

_LARGEST = 1 << 30  # bytes: more than most images have, in any format, and less than memory
_READ_ERRORS = (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, lzma.LZMAError)
# Folders of operating systems: thumbnails, deleted files, older versions.
_OF_SYSTEMS = {
    *("__macosx", "@eadir", "@tmp", "@recycle", "@sharebin", "@__thumb", "#recycle", "#snapshot", "~snapshot", "lost+found"),
    *("found.000", "$recycle.bin", "recycler", "system volume information", "_thumbs"),
}
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 10: "PKWARE's own", 93: "Zstandard", 95: "XZ", 97: "WavPack", 98: "PPMd"}
_PLURAL = re.compile("(?<=^folder)s|(?<=^link)s|(?<=^image)s")
_READ = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}


@dataclass(frozen=True)
class File:
    """A file of the source."""

    name: str  # relative to the source, with forward slashes
    length: int  # bytes
    open: Callable[[], IO[bytes]]  # raises OSError or ValueError for what cannot be read

    @property
    def title(self) -> str:
        """The name for people, with escapes for what is not text."""
        return escape_undecodable(self.name)

    @contextmanager
    def reading(self) -> Iterator[IO[bytes]]:
        """Open the content as a stream. Raises OSError or ValueError for what cannot be read or is too large."""
        if self.length > _LARGEST:
            raise ValueError(f"it has {self.length:,} bytes, more than {_LARGEST:,}")
        try:
            with self.open() as file:
                yield file
        except _READ_ERRORS as error:
            raise ValueError(f"the zip file is damaged there: {error}") from error

    def read(self) -> bytes:
        """Read all of it. Raises as `reading` does."""
        with self.reading() as file:
            return file.read()

    def head(self) -> bytes:
        """Read the first HEAD bytes, or fewer. Raises as `reading` does."""
        with self.reading() as file:
            return file.read(HEAD)


@dataclass
class Listing:
    """The files of a source, sorted by name, and the numbers of other files."""

    files: list[File] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)  # number of each kind
    encoding: str | None = None  # guessed for the names in a zip file

    def count_ignored(self, file: File) -> None:
        """Count a file as ignored."""
        self.passed_over[suffix_of(file.name) or "without an ending"] += 1

    @property
    def ignored_summary(self) -> str:
        """'passed over: 12 .heic, 3 .txt'; '' if no file was ignored."""
        kinds = sorted(self.passed_over.items(), key=lambda kind: (-kind[1], kind[0]))
        said = ", ".join(f"{count:,} {_PLURAL.sub('', kind) if count == 1 else kind}" for kind, count in kinds)
        return f"passed over: {said}{hint(self.passed_over)}" if said else ""


def list_folder(folder: Path) -> Listing:
    """List all files below a folder but hidden ones. Raises DataError for folders that cannot be read.

    Links are followed. A folder with several paths counts once, by its own name if it is below this one, or else by the
    first of its links; a link to a folder that contains this one is not followed.
    """
    listing = Listing()
    seen = {_identity(place) for place in (folder.resolve(), *folder.resolve().parents)}
    links: list[PurePosixPath] = []
    waiting = [PurePosixPath()]
    while waiting or links:
        if not waiting:  # all folders below before linked ones: which name counts must not depend on the file system
            links.sort()
            link = links.pop(0)
            if (target := _identity(folder / link)) in seen:
                listing.passed_over["links to folders that are read already"] += 1
                continue
            seen.add(target)
            waiting.append(link)
        _list_one(folder, waiting.pop(), listing, waiting, links, seen)
    listing.files.sort(key=lambda file: file.name)
    return listing


def _list_one(
    folder: Path,
    place: PurePosixPath,
    listing: Listing,
    waiting: list[PurePosixPath],
    links: list[PurePosixPath],
    seen: set[tuple[int, int]],
) -> None:
    """List one folder: add its files to the listing, its folders to `waiting`, and links to folders to `links`."""
    try:
        with os.scandir(folder / place) as scanned:
            entries = list(scanned)
        check_searchable(folder / place)
    except OSError as error:
        raise DataError(f"--data {folder}: cannot read {folder / place} ({error.strerror}); allow it, or give another") from error
    for entry in entries:
        name = place / entry.name
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link to itself, or no permission
            is_folder = is_file = False
        if not _is_wanted(entry.name, listing, is_folder):
            continue
        if is_folder:
            if entry.is_symlink():
                links.append(name)
            elif (identity := _identity(folder / name)) not in seen:
                seen.add(identity)
                waiting.append(name)
        elif is_file:
            with suppress(OSError):  # removed meanwhile
                listing.files.append(File(name.as_posix(), entry.stat().st_size, partial(_open, folder / name)))
        elif entry.is_symlink() and not _exists(folder / name):
            listing.passed_over["links to nothing"] += 1
        else:
            listing.passed_over["pipes, sockets and devices"] += 1


def _exists(path: Path) -> bool:
    with suppress(OSError):
        return path.exists()
    return False


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _is_wanted(name: str, listing: Listing, is_folder: bool) -> bool:
    """Whether to read a file or folder of this name; folders of operating systems are counted as ignored, hidden files not."""
    if is_folder and name.lower() in _OF_SYSTEMS:
        listing.passed_over[f"folders {name}"] += 1
        return False
    return not name.startswith(".")


def _identity(place: Path) -> tuple[int, int]:
    """An identity that is equal for two names of one folder. For a removed folder it is arbitrary; reading that will fail."""
    try:
        found = place.stat()
    except OSError:
        return (-1, hash(place))
    return found.st_dev, found.st_ino


def list_zip(path: Path) -> Listing:
    """List all files in a zip file but hidden ones. Raises DataError if it is damaged, encrypted, or names files outside itself."""
    try:
        archive = zipfile.ZipFile(path)  # stays open: threads read from it at once
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"--data {path}: the zip file is damaged ({error}); pack it again") from error
    listing = Listing()
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}  # of two with one name the last counts, as when unpacking
    names, listing.encoding = names_of(archive.infolist())
    for member, text in zip(archive.infolist(), names, strict=True):
        name = PurePosixPath(text)
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"--data {path}: it names a file outside itself ({text!r}); do not trust this zip file")
        if text.endswith("/"):
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            listing.passed_over["links without content in a zip file"] += 1
        else:
            members[name] = member
    folders_left = Listing()
    left = {
        folder for name in members for folder in name.parents if folder.name and not _is_wanted(folder.name, folders_left, True)
    }
    outermost = {folder for folder in left if not left & set(folder.parents)}
    listing.passed_over.update(f"folders {folder.name}" for folder in outermost if not folder.name.startswith("."))
    for name, member in members.items():
        if not left & set(name.parents) and not name.name.startswith("."):
            listing.files.append(File(name.as_posix(), member.file_size, partial(archive.open, member)))
    listing.files.sort(key=lambda file: file.name)
    _check_readable(path, (members[PurePosixPath(file.name)] for file in listing.files))
    return listing


def _check_readable(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    for member in members:
        if member.flag_bits & 1:
            raise DataError(f"--data {path}: {member.filename} is encrypted; pack it again without a password")
        if member.compress_type not in _READ:
            method = _METHODS.get(member.compress_type, "a method of its own")
            raise DataError(
                f"--data {path}: {member.filename} is packed by {method} (method {member.compress_type}), which is not read here; "
                "pack it again with ordinary deflate (zip -r), or unpack it and give the folder"
            )
