"""Which files are images: what their first bytes say, whatever they are called."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

# Of Pillow's decoders these alone: some of the others start programs, or take any file for an image.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# A file that is called so and cannot be decoded is broken; any other file is passed over unless its content is an image's.
SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
}
HEAD = 64  # bytes of a file that tell what it is

# Images that are not read here, or thumbnails and raw sensor data in the clothes of a JPEG or TIFF.
_OTHER_PICTURES = {
    *(".heic", ".heif", ".hif", ".jxl", ".psd", ".svg", ".tga", ".ico", ".eps", ".pdf", ".exr", ".hdr", ".raw", ".dcm"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".pef", ".srw", ".raf"),
}
_NEVER = _OTHER_PICTURES | {".thm"}

_STRONG = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", re.DOTALL)
_AVIF = re.compile(rb"....ftyp(avif|avis|.{4}.{0,40}avi[fs])", re.DOTALL)
_TIFF = re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")
_BMP = re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
_PNM = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s")
_HEIF = re.compile(rb"....ftyp(heic|heix|hevc|heim|heis|hevm|mif1|msf1)", re.DOTALL)


def suffix_of(name: str) -> str:
    """The ending of a file's name, such as '.png', in lower case; '' if it has none."""
    return PurePosixPath(name).suffix.lower()


def is_image(name: str, head: bytes) -> bool:
    """Whether a file that is not called like an image is one, by its first HEAD bytes."""
    suffix = suffix_of(name)
    if suffix in _NEVER:
        return False
    if suffix == "" and _TIFF.match(head):  # with other endings mostly slides, maps and cameras' raw files
        return True
    return any(pattern.match(head) for pattern in (_STRONG, _AVIF, _BMP, _PNM))


def is_known(head: bytes) -> bool:
    """Whether it may be an image of one of FORMATS, by its first HEAD bytes; the rest of what is none need not be read."""
    return any(pattern.match(head) for pattern in (_STRONG, _AVIF, _TIFF)) or head.startswith((b"BM", b"P", b"II", b"MM"))


def may_be_16_bits(head: bytes) -> bool:
    """Whether the format, by its first bytes, has grey values of 16 bits."""
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"
    return head.startswith((b"II", b"MM", b"P", b"\0\0\0\x0cjP", b"\xff\x4f"))


def explain(content: bytes) -> str:
    """Why Pillow does not know this content, for people."""
    if not content:
        return "it is empty"
    if _HEIF.match(content) and not _AVIF.match(content[:HEAD]):
        return f"it is HEIC, which is not read here; save it as PNG or JPEG: it is no {', '.join(FORMATS)}"
    return f"it is no {', '.join(FORMATS)}"


def hint(endings: Iterable[str]) -> str:
    """What to do with files that were passed over and are images after all; '' if none of these endings says so."""
    return " (save images among these as PNG or JPEG)" if _OTHER_PICTURES & set(endings) else ""
