"""The .npy body: latent vectors as NumPy saves them."""

import re
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from serving.errors import RequestError, field_error

# A normal component hardly ever exceeds 6; far beyond that a network's sums overflow and there is no image.
NOISE_LIMIT = 1000.0

# The header that NumPy and others write: the three entries of a dict in this order
_NPY_HEADER = re.compile(
    rb"""\{\s*['"]descr['"]\s*:\s*['"]([^'"]*)['"]\s*,"""
    rb"""\s*['"]fortran_order['"]\s*:\s*(True|False)\s*,"""
    rb"""\s*['"]shape['"]\s*:\s*\(((?:\s*\d{1,18}\s*,)*\s*(?:\d{1,18}\s*)?)\)\s*,?\s*\}\s*"""
)
_LONGEST_HEADER = 10_000  # bytes; NumPy's own bound


def read_npy(body: bytes) -> NDArray[np.float32]:
    """The float32 [n, z_dim] array of an .npy body. Raises RequestError.

    NumPy would evaluate the header as Python, and reserve memory for any shape that it claims; so it is read by a pattern here,
    and checked against the body's length.
    """
    descr, fortran_order, shape, start = _npy_header(body)
    if descr != "<f4":
        raise field_error(("noise",), f"must be float32 [n, z_dim], not {descr[:20]}; convert it by astype('<f4')")
    if len(shape) != 2:
        remedy = "; make it one row by array[None]" if len(shape) == 1 else ""
        raise field_error(("noise",), f"must have two dimensions, [n, z_dim], not {shape[:4]}{remedy}")
    if fortran_order:
        raise field_error(("noise",), "must be in C order, not in Fortran order; convert it by numpy.ascontiguousarray")
    if 0 in shape:
        raise field_error(("noise",), f"must have at least one row and one column, not {shape}")
    if len(body) - start != 4 * shape[0] * shape[1]:
        raise field_error(("noise",), f"holds {len(body) - start} bytes of numbers, not those of {shape} float32")
    noise = np.frombuffer(body, np.float32, offset=start).reshape(shape)
    inside = np.abs(noise) <= NOISE_LIMIT  # not a number is not inside
    if not inside.all():
        row, column = np.argwhere(~inside)[0].tolist()
        raise field_error(("noise", row, column), f"must be a number between {-NOISE_LIMIT:g} and {NOISE_LIMIT:g}")
    return noise


def _npy_header(body: bytes) -> tuple[str, bool, list[int], int]:
    """Type, order and shape of an .npy file's array, and where its numbers begin. Raises RequestError, 400, for anything else."""
    size_bytes = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(body[6:8])
    if body[:6] != b"\x93NUMPY" or size_bytes is None:
        raise _no_npy("it does not begin as one of format version 1, 2 or 3")
    size, start = int.from_bytes(body[8 : 8 + size_bytes], "little"), 8 + size_bytes
    header = _NPY_HEADER.fullmatch(body, start, start + size) if start + size <= len(body) and size <= _LONGEST_HEADER else None
    if header is None:
        raise _no_npy("its header is not as NumPy writes it")
    descr, order, shape = (part.decode("latin-1") for part in header.groups())
    return descr, order == "True", [int(length) for length in shape.split(",") if length.strip()], start + size


def _no_npy(reason: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, f"the body is not an .npy file: {reason}; write it with numpy.save")
