"""A folder of a few hundred real images of mixed modes, formats and sizes, in six classes, with five damaged files."""

import io
import random
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image

EMOJI = Path(__file__).parents[2] / "data" / "emoji.zip"  # 300 real images, 64x64, with alpha
CLASSES = ("animals", "faces", "food", "objects", "people", "travel")
DAMAGED = ("animals/empty.png", "faces/truncated.png", "food/text.png", "objects/bomb.png", "travel/garbage.jpg")
_TREATED_OF = 24  # images, the first ones get a treatment each


def write_mixed(folder: Path) -> None:
    """Fill the folder: 300 whole files, about half of them as they are in EMOJI, and those in DAMAGED."""
    with zipfile.ZipFile(EMOJI) as archive:
        for place, name in enumerate(sorted(archive.namelist())):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            content = archive.read(name)
            treatment = place % _TREATED_OF
            if treatment < len(_TREATMENTS):
                suffix, content = _TREATMENTS[treatment](Image.open(io.BytesIO(content)).convert("RGBA"))
                name = str(Path(name).with_suffix(suffix))
            (folder / name).write_bytes(content)
        whole = archive.read("faces/cry.png")
    damages = (b"", whole[: len(whole) // 2], b"not an image\n", png_header(20_000, 20_000), random.Random(0).randbytes(5000))
    for name, content in zip(DAMAGED, damages, strict=True):
        (folder / name).write_bytes(content)


def png_header(width, height, bits=8, colour_type=6, rows=b"") -> bytes:
    """A PNG that says it has that size, with these rows, each after its filter byte."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _saved(image, suffix, **options):
    content = io.BytesIO()
    image.save(content, Image.registered_extensions()[suffix], **options)
    return suffix, content.getvalue()


def _on_white(image):
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _sideways(image):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    return _saved(_on_white(image).transpose(Image.Transpose.ROTATE_90), ".jpg", exif=exif, quality=95)


def _animated(image):
    return _saved(image, ".gif", save_all=True, append_images=[image.rotate(90)], duration=100)


_TREATMENTS = (
    lambda image: _saved(image.quantize(64), ".png"),  # a palette with transparency
    lambda image: _saved(_on_white(image).convert("L"), ".png"),
    lambda image: _saved(image.convert("LA"), ".png"),
    lambda image: _saved(_on_white(image).convert("CMYK"), ".jpg", quality=95),
    lambda image: _saved(_on_white(image).convert("L").convert("I").point(lambda level: level * 257).convert("I;16"), ".png"),
    _sideways,
    lambda image: _saved(image, ".webp", lossless=True),
    _animated,
    lambda image: _saved(_on_white(image), ".bmp"),
    lambda image: _saved(image, ".tiff"),
    lambda image: _saved(image.resize((97, 41)), ".png"),
    lambda image: _saved(image.resize((150, 211)), ".png"),
)
