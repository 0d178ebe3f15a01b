"""Pictures in memory: Fashion-MNIST or any folder -> one uint8 array."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

FASHION_MNIST = "fashion-mnist"
_FASHION_MNIST_FILE = "train-images-idx3-ubyte.gz"
_DEBIAN_PACKAGE = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
_DOWNLOADS = Path.home() / ".cache" / "gan-service"
_IDX_UINT8_3D = b"\x00\x00\x08\x03"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_GREY_MODES = {"1", "L", "LA"}
_GREY_16_BIT = "I;16"  # in either byte order


class DataError(Exception):
    """Data that cannot be trained on; the message names the flag or file and the remedy."""


@dataclass(frozen=True)
class Dataset:
    """All pictures of a set, decoded and of one size."""

    name: str
    pictures: NDArray[np.uint8]  # [n, channels, height, width]
    licence: str  # of the pictures
    notes: tuple[str, ...] = ()  # what was done to them, for people

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape and pixels: the same pictures in the same order have the same one on any machine."""
        digest = hashlib.sha256(repr(self.pictures.shape).encode())
        digest.update(np.ascontiguousarray(self.pictures).data)
        return digest.hexdigest()

    def batch(self, seed: int, seen: int, size: int) -> NDArray[np.uint8]:
        """The `size` pictures that follow the `seen` ones before them: a pure function of its arguments.

        Each round through the set has an order of its own, drawn from (seed, round).
        """
        return self.pictures[list(self._order(seed, seen, size))]

    def _order(self, seed: int, seen: int, size: int) -> Iterator[int]:
        n = len(self.pictures)
        for position in range(seen, seen + size):
            lap, place = divmod(position, n)
            if position == seen or place == 0:
                permutation = np.random.default_rng([seed, lap]).permutation(n)
            yield int(permutation[place])


def load(data: str, resolution: int) -> Dataset:
    """Find and decode the pictures named by --data at `resolution` pixels a side. Raises DataError."""
    if data == FASHION_MNIST:
        return _fashion_mnist(_find_fashion_mnist(), resolution)
    folder = Path(data)
    if not folder.is_dir():
        raise DataError(f"--data {data}: there is no such folder; give a folder of pictures, or '{FASHION_MNIST}'")
    if (folder / _FASHION_MNIST_FILE).is_file():
        return _fashion_mnist(folder / _FASHION_MNIST_FILE, resolution)
    return _folder(folder, resolution)


def _find_fashion_mnist() -> Path:
    for folder in (_DEBIAN_PACKAGE, _DOWNLOADS / "FashionMNIST" / "raw"):
        if (folder / _FASHION_MNIST_FILE).is_file():
            return folder / _FASHION_MNIST_FILE
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(_DOWNLOADS), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"--data {FASHION_MNIST}: it is not on this machine and could not be downloaded ({error}); "
            f"install Debian's package dataset-fashion-mnist, or give a folder that holds {_FASHION_MNIST_FILE}"
        ) from error
    return _DOWNLOADS / "FashionMNIST" / "raw" / _FASHION_MNIST_FILE


def _fashion_mnist(path: Path, resolution: int) -> Dataset:
    try:
        content = gzip.decompress(path.read_bytes())
        if not content.startswith(_IDX_UINT8_3D):
            raise ValueError("not an IDX file of uint8 pictures")
        n, height, width = np.frombuffer(content, ">u4", count=3, offset=4).tolist()
        pictures = np.frombuffer(content, np.uint8, offset=16).reshape(n, height, width)
        if pictures.size == 0:
            raise ValueError("it holds no pictures")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): fetch it again, or give another --data") from error
    if max(height, width) > resolution:
        raise DataError(f"--resolution {resolution} is smaller than Fashion-MNIST's {height}x{width}: take 32 or more")
    # The set's own background is black, so a black margin is what the pictures would show there anyway.
    margins = [(total // 2, total - total // 2) for total in (resolution - height, resolution - width)]
    padded = np.pad(pictures, [(0, 0), *margins])
    return Dataset(
        FASHION_MNIST,
        padded[:, np.newaxis],
        licence="MIT (Fashion-MNIST, Zalando SE)",
        notes=(f"{n} pictures of {height}x{width} padded with black to {resolution}x{resolution}",),
    )


def _folder(folder: Path, resolution: int) -> Dataset:
    paths = sorted(
        (path for path in folder.rglob("[!.]*") if path.suffix.lower() in _SUFFIXES and path.is_file()),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if not paths:
        raise DataError(f"--data {folder}: no pictures there; it needs files that end in {', '.join(sorted(_SUFFIXES))}")
    pictures, colour, broken = [], False, []
    for path in tqdm(paths, "decoding", unit="file", leave=False, disable=None):
        try:
            with Image.open(path) as image:
                colour = colour or not (image.mode in _GREY_MODES or image.mode.startswith(_GREY_16_BIT))
                pictures.append(_square(image, resolution))
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            broken.append(f"{path.relative_to(folder)} ({error})")
    if len(broken) > len(paths) / 100:
        raise DataError(
            f"--data {folder}: {len(broken)} of {len(paths)} files cannot be decoded, more than 1 in 100; "
            f"repair or remove them: {'; '.join(broken[:5])}"
        )
    stack = np.stack(pictures).transpose(0, 3, 1, 2)
    notes = [f"{len(pictures)} pictures cut to a square and scaled to {resolution}x{resolution}"]
    notes += [f"skipped {name}" for name in broken]
    return Dataset(
        _slug(folder.resolve().name),
        np.ascontiguousarray(stack if colour else stack[:, :1]),
        licence="that of the pictures it was trained on",
        notes=tuple(notes),
    )


def _square(image: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """uint8 [resolution, resolution, 3]: upright, on white where transparent, the middle square, scaled by Lanczos's filter.

    Raises ValueError for modes that do not say which value is white.
    """
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits for each pixel and no fixed white; save it with 8 or 16")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(_GREY_16_BIT):  # Pillow's own conversion would clip at 255
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    rgba = upright.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return np.asarray(ImageOps.fit(flat, (resolution, resolution), Image.Resampling.LANCZOS))


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text.lower()).strip("-") or "data"
