"""Model folders from an address: https, s3, gs and whatever else fsspec knows."""

import hashlib
import os
import re
from pathlib import Path

import fsspec

from gan import artifact
from gan.artifact import MANIFEST, ModelFolderError

_ADDRESS = re.compile(r"(?P<folder>\S+?)/?#sha256=(?P<digest>[0-9a-f]{64})")


def fetch(address: str, models: Path) -> Path:
    """Put the model folder at an address into the folder of models, in one step, unless it is there; returns where.

    The address ends in #sha256= and the SHA-256 of the folder's model.json, which in turn has those of all other files: nothing
    but the very model that was meant is taken. Raises ModelFolderError with one sentence that names the file and the reason.
    """
    try:
        return _fetch(address, models)
    except ModelFolderError as error:  # which ends up in logs, where the user and password of an address have no place
        raise ModelFolderError(re.sub(r"(?<=://)[^/@\s]*@", "", str(error))) from error


def _fetch(address: str, models: Path) -> Path:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ModelFolderError(
            f"GAN_FETCH: {address} does not end in #sha256= and 64 hex digits: add what `sha256sum {MANIFEST}` says of its folder"
        )
    folder, digest = match["folder"], match["digest"]
    for there in artifact.discover(models):
        if (there / MANIFEST).exists() and artifact.digests(there, [MANIFEST])[MANIFEST] == digest:
            return there  # its other files are checked when it is loaded

    text = _content(f"{folder}/{MANIFEST}", digest)
    manifest = artifact.parse_manifest(text, f"{folder}/{MANIFEST}")

    target = models / manifest.name
    if os.path.lexists(target) and target not in artifact.discover(models):
        raise ModelFolderError(
            f"{target} is in the way of {folder} and holds no model: move it, or set GAN_MODELS to another folder"
        )

    def fill(new: Path) -> None:
        (new / MANIFEST).write_bytes(text)
        for name, expected in manifest.files.items():
            (new / name).write_bytes(_content(f"{folder}/{name}", expected))

    try:
        artifact.write_atomically(target, fill, replace=True)
    except OSError as error:
        raise ModelFolderError(
            f"cannot write {target} ({error.strerror}): set GAN_MODELS to a folder that can be written and has room"
        ) from error
    return target


def _content(address: str, digest: str) -> bytes:
    """The file at an address, if it has this SHA-256. Raises ModelFolderError."""
    try:
        with fsspec.open(address, "rb") as file:
            content: bytes = file.read()
    except ImportError as error:
        raise ModelFolderError(
            f"cannot fetch {address}: its protocol needs a package that is not installed here ({error})"
        ) from error
    except Exception as error:  # those of the protocols share no base class below Exception
        reason = error.__cause__ or error  # fsspec calls every trouble with a server a file that is not there
        raise ModelFolderError(
            f"cannot fetch {address} ({type(reason).__name__}: {reason}): is the address right, and can it be reached from here?"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ModelFolderError(
            f"{address} is not the file that is meant (its SHA-256 begins {found[:12]}, not {digest[:12]}): "
            "correct the digest in GAN_FETCH, or put the right model there"
        )
    return content
