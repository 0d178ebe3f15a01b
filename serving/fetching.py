"""Download of model folders from an address: https, hf, s3, gs and whatever else fsspec supports."""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec

from gan import atomic, model_folder
from gan.errors import ModelFolderError
from gan.manifest import MANIFEST
from gan.manifest_versions import parse_manifest
from serving import hub

_LARGEST_MANIFEST, _LARGEST_FILE = 2**20, 2**32  # bytes; a server's answer may have no end
_CHUNK = 2**20  # bytes
_SILENCE = 60.0  # seconds without a byte after which a download is given up
_SLOWEST = 1024.0  # bytes a second, on average, once a file has taken longer than that

_ADDRESS = re.compile(r"(?P<folder>\S+?)/?#sha256=(?P<digest>[0-9a-f]{64})")


def fetch(address: str, models: Path) -> Path:
    """Download the model folder at an address into the folder of models, in one step, unless it is there; returns its path.

    The address ends in #sha256= and the SHA-256 of the folder's model.json, which in turn has those of all other files: no other
    model than the one meant is accepted. Raises ModelFolderError with one sentence that names the file and the reason.
    """
    try:
        return _fetch(address, models)
    except ModelFolderError as error:  # logged later, where the user and password of an address must not appear
        raise ModelFolderError(re.sub(r"(?<=://)[^/@\s]*@", "", str(error))) from error


def _fetch(address: str, models: Path) -> Path:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ModelFolderError(
            f"GAN_FETCH: {address} does not end in #sha256= and 64 hex digits: add what `sha256sum {MANIFEST}` says of its folder"
        )
    folder, digest = match["folder"], match["digest"]
    target = _there(models, digest)
    if target is not None:
        try:
            return model_folder.read(target).path
        except ModelFolderError:  # damaged since; it is fetched again
            pass

    text = b"".join(_chunks(f"{folder}/{MANIFEST}", digest, _LARGEST_MANIFEST))
    manifest = parse_manifest(text, f"{folder}/{MANIFEST}")

    target = target or models / manifest.name
    if os.path.lexists(target) and not model_folder.holds_model(target):
        raise ModelFolderError(
            f"{target} is in the way of {folder} and holds no model: move it, or set GAN_MODELS to another folder"
        )

    def fill(new: Path) -> None:
        (new / MANIFEST).write_bytes(text)
        for name, expected in manifest.files.items():
            with (new / name).open("wb") as file:
                for chunk in _chunks(f"{folder}/{name}", expected, _LARGEST_FILE):
                    file.write(chunk)

    try:
        atomic.write_atomically(target, fill, replace=True)
    except OSError as error:
        raise ModelFolderError(
            f"cannot write {target} ({error.strerror}): set GAN_MODELS to a folder that can be written and has room"
        ) from error
    return target


def _there(models: Path, digest: str) -> Path | None:
    """The folder whose manifest has this SHA-256, if there is one."""
    for path in model_folder.discover(models):
        with suppress(OSError):  # it has no manifest, or cannot be read, which is reported when it is loaded
            if (path / MANIFEST).is_file() and model_folder.digests(path, [MANIFEST])[MANIFEST] == digest:
                return path
    return None


def _chunks(address: str, digest: str, largest: int) -> Iterator[bytes]:
    """The file at an address, piece by piece, as it comes; at its end raises ModelFolderError unless it has this SHA-256.

    Raises ModelFolderError as soon as it is larger than `largest` bytes, comes too slowly, or not at all.
    """
    sha256, size = hashlib.sha256(), 0
    for chunk in _read(address):
        size += len(chunk)
        if size > largest:
            raise ModelFolderError(f"{address} is larger than {largest:,} bytes and was given up: is the address right?")
        sha256.update(chunk)
        yield chunk
    if sha256.hexdigest() != digest:
        raise ModelFolderError(
            f"{address} is not the file that is meant (its SHA-256 begins {sha256.hexdigest()[:12]}, not {digest[:12]}): "
            "correct the digest in GAN_FETCH, or put the right model there"
        )


def _read(address: str) -> Iterator[bytes]:
    """The bytes at an address, at most `_CHUNK` at once. Raises ModelFolderError."""
    started, size = time.monotonic(), 0
    try:
        place, options = _locate(address)
        with fsspec.open(place, "rb", **options) as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                yield chunk
                if (seconds := time.monotonic() - started) > _SILENCE and size < _SLOWEST * seconds:
                    raise TimeoutError(f"{size:,} bytes came in {seconds:.0f} s")
    except ModelFolderError:
        raise
    except ImportError as error:
        raise ModelFolderError(
            f"cannot fetch {address}: its protocol needs a package that is not installed here ({error})"
        ) from error
    except Exception as error:  # the exceptions of the protocols share no base class below Exception
        reason = error.__cause__ or error  # fsspec raises FileNotFoundError for every failure of a server
        message = " ".join(str(reason).split())  # some have line breaks
        remedy = hub.REMEDY if address.startswith(hub.PROTOCOL) else "is the address right, and can it be reached from here?"
        raise ModelFolderError(f"cannot fetch {address} ({type(reason).__name__}: {message}): {remedy}") from error


def _locate(address: str) -> tuple[str, dict[str, Any]]:
    """Where fsspec finds a file, and options for it: read from a web server in one answer, as long as bytes come.

    Its own limit is five minutes in all. Raises ModelFolderError.
    """
    place, headers = hub.locate(address) if address.startswith(hub.PROTOCOL) else (address, {})
    if not place.startswith(("http://", "https://")):
        return place, {}
    from aiohttp import ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=_SILENCE / 2, sock_read=_SILENCE)
    return place, {"block_size": 0, "client_kwargs": {"timeout": timeout, "headers": headers}}
