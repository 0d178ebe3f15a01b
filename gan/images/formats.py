"""Recognising image files by their first bytes, whatever their names."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

# Only these of Pillow's decoders: some of the others start programs, or accept any file as an image.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# A file with such a name that cannot be decoded is broken; any other file is ignored unless its content is an image.
SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
}
HEAD = 64  # bytes of a file by which its format is recognised

# Images that are not read here, or thumbnails and raw sensor data inside a JPEG or TIFF.
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
    """The suffix of a file's name, such as '.png', in lower case; '' if it has none."""
    return PurePosixPath(name).suffix.lower()


def is_image(name: str, head: bytes) -> bool:
    """Whether a file without an image's suffix is an image, by its first HEAD bytes."""
    suffix = suffix_of(name)
    if suffix in _NEVER:
        return False
    if suffix == "" and _TIFF.match(head):  # with other suffixes mostly slides, maps and cameras' raw files
        return True
    return any(pattern.match(head) for pattern in (_STRONG, _AVIF, _BMP, _PNM))


def is_known(head: bytes) -> bool:
    """Whether a file may be an image of one of FORMATS, by its first HEAD bytes; if not, the rest need not be read."""
    return any(pattern.match(head) for pattern in (_STRONG, _AVIF, _TIFF)) or head.startswith((b"BM", b"P", b"II", b"MM"))


def may_be_16_bits(head: bytes) -> bool:
    """Whether a file may have 16-bit grey values, by its first bytes."""
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"
    return head.startswith((b"II", b"MM", b"P", b"\0\0\0\x0cjP", b"\xff\x4f"))


def explain(content: bytes) -> str:
    """Explain for people why Pillow cannot read this content."""
    if not content:
        return "it is empty"
    if _HEIF.match(content) and not _AVIF.match(content[:HEAD]):
        return f"it is HEIC, which is not read here; save it as PNG or JPEG: it is no {', '.join(FORMATS)}"
    return f"it is no {', '.join(FORMATS)}"


def hint(endings: Iterable[str]) -> str:
    """The remedy for ignored files that are images of other formats; '' if no suffix is one of those."""
    return " (save images among these as PNG or JPEG)" if _OTHER_PICTURES & set(endings) else ""
