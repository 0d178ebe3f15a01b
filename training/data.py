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
_FASHION_MNIST_LABELS = "train-labels-idx1-ubyte.gz"
_GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_DEBIAN_PACKAGE = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
_DOWNLOADS = Path.home() / ".cache" / "gan-service"
_IDX_UINT8 = b"\x00\x00\x08"  # and the number of dimensions
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
    classes: tuple[str, ...] = ()  # names of the labels; empty if there are none
    labels: NDArray[np.int64] | None = None  # [n], of each picture: its place in `classes`
    notes: tuple[str, ...] = ()  # what was done to them, for people

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: the same pictures in the same order have the same one on any machine."""
        digest = hashlib.sha256(repr(self.pictures.shape).encode())
        digest.update(np.ascontiguousarray(self.pictures).data)
        if self.labels is not None:
            digest.update(repr(self.classes).encode() + self.labels.tobytes())
        return digest.hexdigest()

    def batch(self, seed: int, seen: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """The `size` pictures that follow the `seen` ones before them, and their labels: a pure function of its arguments.

        Each round through the set has an order of its own, drawn from (seed, round).
        """
        places = list(self._order(seed, seen, size))
        return self.pictures[places], None if self.labels is None else self.labels[places]

    def _order(self, seed: int, seen: int, size: int) -> Iterator[int]:
        n = len(self.pictures)
        for position in range(seen, seen + size):
            lap, place = divmod(position, n)
            if position == seen or place == 0:
                permutation = np.random.default_rng([seed, lap]).permutation(n)
            yield int(permutation[place])


def load(data: str, resolution: int, labelled: bool = False) -> Dataset:
    """Find and decode the pictures named by --data at `resolution` pixels a side, with labels if asked for. Raises DataError."""
    if data == FASHION_MNIST:
        return _fashion_mnist(_find_fashion_mnist(), resolution, labelled)
    folder = Path(data)
    if not folder.is_dir():
        raise DataError(f"--data {data}: there is no such folder; give a folder of pictures, or '{FASHION_MNIST}'")
    if (folder / _FASHION_MNIST_FILE).is_file():
        return _fashion_mnist(folder / _FASHION_MNIST_FILE, resolution, labelled)
    return _folder(folder, resolution, labelled)


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


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """A gzipped array in the format of the MNIST files. Raises DataError."""
    try:
        content = gzip.decompress(path.read_bytes())
        if not content.startswith(_IDX_UINT8 + bytes([dimensions])):
            raise ValueError(f"not an IDX file of uint8 with {dimensions} dimension(s)")
        shape = np.frombuffer(content, ">u4", count=dimensions, offset=4).tolist()
        array = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
        if array.size == 0:
            raise ValueError("it is empty")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): fetch it again, or give another --data") from error
    return array


def _fashion_mnist(path: Path, resolution: int, labelled: bool) -> Dataset:
    pictures = _read_idx(path, 3)
    n, height, width = pictures.shape
    labels = _read_idx(path.with_name(_FASHION_MNIST_LABELS), 1).astype(np.int64) if labelled else None
    if labels is not None and (len(labels) != n or labels.max() >= len(_GARMENTS)):
        raise DataError(f"{path.with_name(_FASHION_MNIST_LABELS)} does not fit {path.name}: fetch both again")
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
        classes=_GARMENTS if labelled else (),
        labels=labels,
    )


def _folder(folder: Path, resolution: int, labelled: bool) -> Dataset:
    paths = sorted(
        (path for path in folder.rglob("[!.]*") if path.suffix.lower() in _SUFFIXES and path.is_file()),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if not paths:
        raise DataError(f"--data {folder}: no pictures there; it needs files that end in {', '.join(sorted(_SUFFIXES))}")
    pictures, colour, broken, class_names = [], False, [], []
    for path in tqdm(paths, "decoding", unit="file", leave=False, disable=None):
        try:
            with Image.open(path) as image:
                colour = colour or not (image.mode in _GREY_MODES or image.mode.startswith(_GREY_16_BIT))
                pictures.append(_square(image, resolution))
                class_names.append(path.relative_to(folder).parts[0] if path.parent != folder else "")
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
    classes = tuple(sorted(set(class_names))) if labelled else ()
    if labelled and (len(classes) < 2 or "" in classes):
        raise DataError(f"--conditional: {folder} needs at least two folders, one for each class, and no pictures beside them")
    return Dataset(
        _slug(folder.resolve().name),
        np.ascontiguousarray(stack if colour else stack[:, :1]),
        licence="that of the pictures it was trained on",
        notes=tuple(notes),
        classes=classes,
        labels=np.array([classes.index(name) for name in class_names], np.int64) if labelled else None,
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
