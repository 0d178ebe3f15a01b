"""Where the files of a set are put: a folder, or a place that fsspec knows, such as s3://bucket/set."""

import json
import posixpath
from pathlib import Path
from typing import Any

import fsspec

from gan.atomic import write_bytes_atomically
from gan.errors import GanServiceError
from gan.paths import user_path


class StoreError(GanServiceError):
    """A place that cannot be written or read."""


class Store:
    """A folder whose files appear whole or not at all: here by renaming, and in object stores because these work so."""

    def __init__(self, address: str) -> None:
        """Raises StoreError for an address of a protocol that is not installed, and for a file."""
        self.address = address
        self._local = "://" not in address.removeprefix("file://")
        try:
            if self._local:
                self._root = str(user_path(address.removeprefix("file://")).absolute())
                Path(self._root).mkdir(parents=True, exist_ok=True)
            else:
                self._files, self._root = fsspec.core.url_to_fs(address)
        except (OSError, ValueError, ImportError) as error:
            raise StoreError(f"--out {address} cannot be used ({error})") from error

    @property
    def absolute(self) -> str:
        """The address for processes that have another current folder."""
        return self._root if self._local else self.address

    def put(self, name: str, content: bytes, durable: bool = True) -> None:
        """Write a file; of many small ones in a folder it costs less not to wait until each is on the disk. Raises StoreError."""
        try:
            if self._local:
                write_bytes_atomically(Path(self._root) / name, content, durable)
            else:
                self._files.pipe_file(self._path(name), content)
        except Exception as error:  # those of the protocols share no base class below Exception
            raise StoreError(f"{posixpath.join(self.address, name)} cannot be written ({error})") from error

    def get(self, name: str) -> bytes | None:
        """The content of a file; None if there is none. Raises StoreError."""
        try:
            if self._local:
                return (Path(self._root) / name).read_bytes()
            content: bytes = self._files.cat_file(self._path(name))
            return content
        except FileNotFoundError:
            return None
        except Exception as error:
            raise StoreError(f"{posixpath.join(self.address, name)} cannot be read ({error})") from error

    def names(self) -> set[str]:
        """The names of the files that are there. Raises StoreError."""
        try:
            if self._local:
                return {path.name for path in Path(self._root).iterdir()}
            self._files.invalidate_cache()
            return {posixpath.basename(path) for path in self._files.ls(self._root, detail=False)}
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise StoreError(f"{self.address} cannot be read ({error})") from error

    def get_json(self, name: str) -> Any:
        """What a file of JSON holds; None if there is none. Raises StoreError."""
        content = self.get(name)
        try:
            return None if content is None else json.loads(content)
        except ValueError as error:
            raise StoreError(f"{posixpath.join(self.address, name)} is damaged ({error}): remove it") from error

    def put_json(self, name: str, value: Any) -> None:
        """Write a file of JSON. Raises StoreError."""
        self.put(name, json.dumps(value, indent=2).encode() + b"\n")

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name)
