"""Files of tensors with a digest of all that is in them, so that a byte that has changed is noticed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from gan import atomic


def write_digested(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file in one step."""
    # safetensors stores dense tensors only, so channels-last ones are copied to the standard layout.
    dense = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    atomic.write_bytes_atomically(path, save(dense, {**metadata, "digest": _digest(dense, metadata)}))


def read_digested(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of such a file. Raises SafetensorError, OSError, and ValueError if a byte has changed."""
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict
    if metadata.pop("digest", None) != _digest(tensors, metadata):
        raise ValueError("its content does not fit its digest")
    return tensors, metadata


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
