"""IDX, the format of the MNIST files: one array of uint8, plain or gzipped."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError

_IDX_UINT8 = b"\x00\x00\x08"  # and the number of dimensions


def find_idx(folder: Path, name: str) -> Path | None:
    """Find the file of that name, gzipped or plain; None if there is neither."""
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read the whole array. Raises DataError if the file is damaged, empty, or of other dimensions."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        shape = _shape(content, dimensions)
        array = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
        if array.size == 0:
            raise ValueError("it is empty")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path, error) from error
    return array


def read_idx_shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """Read the shape from the header only. Raises DataError as `read_idx` does."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _shape(file.read(4 + 4 * dimensions), dimensions)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path, error) from error


def _shape(content: bytes, dimensions: int) -> tuple[int, ...]:
    if not content.startswith(_IDX_UINT8 + bytes([dimensions])):
        raise ValueError(f"not an IDX file of uint8 with {dimensions} dimension(s)")
    return tuple(np.frombuffer(content, ">u4", count=dimensions, offset=4).tolist())


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged ({error}): fetch it again, or give another --data")
