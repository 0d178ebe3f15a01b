"""Many images in one file: zip, and NumPy's npz. Equal images give equal bytes."""

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.images import encoding
from gan.images.encoding import Images


def names(seeds: Sequence[int] | None, n: int) -> list[str]:
    """Names of n images by their seeds, or by their places if they have none."""
    return unique("noise", range(n)) if seeds is None else unique("seed", seeds)


def unique(stem: str, numbers: Sequence[int]) -> list[str]:
    """Names such as seed0000000042; where a number appears again, its name ends in -2, and so on."""
    counts: Counter[int] = Counter()
    names = []
    for number in numbers:
        counts[number] += 1
        names.append(f"{stem}{number:010d}" + (f"-{counts[number]}" if counts[number] > 1 else ""))
    return names


def member(name: str) -> zipfile.ZipInfo:
    """An archive's entry with a fixed date, where writestr would use the time of day, and readable by all once unpacked."""
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o100644 << 16  # a regular file in Unix, rw-r--r--
    return member


def as_zip(images: Images, names: Sequence[str], scale: int, origin: Callable[[int], str | None]) -> bytes:
    """One PNG for each image of these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored: PNG is compressed already
        for place, (name, image) in enumerate(zip(names, images, strict=True)):
            archive.writestr(member(f"{name}.png"), encoding.encode(image, "png", origin=origin(place), scale=scale))
    return buffer.getvalue()


def as_npz(images: Images, seeds: Sequence[int] | None, labels: NDArray[np.int64] | None) -> bytes:
    """NumPy's archive of `images`, and of `seeds` uint32 and `labels` where there are any."""
    arrays: dict[str, NDArray[Any]] = {"images": images}
    if seeds is not None:
        arrays["seeds"] = np.array(seeds, np.uint32)
    if labels is not None:
        arrays["labels"] = labels
    buffer = io.BytesIO()
    # As np.savez writes it, but without its 64-bit sizes, which versions of Python write differently.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.lib.format.write_array(file, array, allow_pickle=False)
            archive.writestr(member(f"{name}.npy"), file.getvalue())
    return buffer.getvalue()
