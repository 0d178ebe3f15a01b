"""The names in a zip file -> text. Without the UTF-8 flag they should be in code page 437, but rarely are."""

import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence

_IS_UTF_8 = 0x800  # bit of a member's flags
_UNICODE_PATH = 0x7075  # an extra field with the name in UTF-8
_JAPANESE, _CHINESE, _RUSSIAN = "cp932", "gb18030", "cp866"
_LATIN_BESIDE_KANJI = re.compile(r"[A-Za-z][\u3040-\u9fff]|[\u3040-\u9fff][A-Za-z]")
_KANA_OR_KANJI = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\u3005-\u3007ー]")


def names_of(members: Sequence[zipfile.ZipInfo]) -> tuple[list[str], str | None]:
    """The names of members, with forward slashes, and the guessed encoding; None if none had to be guessed."""
    known = [_declared(member) for member in members]
    raw = [_raw(member) for member, name in zip(members, known, strict=True) if name is None]
    encoding = _guess(raw)
    guessed_names = [name.decode(encoding) for name in raw]
    guesses = iter(guessed_names)
    names = [next(guesses) if name is None else name for name in known]
    is_guess = encoding != "cp437" or not all(map(_is_latin, guessed_names))
    guessed = encoding if is_guess and any(not name.isascii() for name in raw) else None
    # Only after decoding: a backslash may be the second byte of a Japanese letter.
    return [name.replace("\\", "/") for name in names], guessed


def _raw(member: zipfile.ZipInfo) -> bytes:
    """The bytes of a name that zipfile has decoded as code page 437, without what follows a NUL."""
    return member.orig_filename.encode("cp437", "replace").partition(b"\0")[0]


def _declared(member: zipfile.ZipInfo) -> str | None:
    """The name if its encoding is declared; None if not."""
    if member.flag_bits & _IS_UTF_8 or member.filename.isascii():
        return member.filename
    extra = member.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and field[:1] == b"\1" and field[1:5] == struct.pack("<I", zlib.crc32(_raw(member))):
            return field[5:].decode("utf-8", "replace")
    return None


def _guess(names: Sequence[bytes]) -> str:
    """Guess the encoding of names from all of them together, since a single one is too little."""
    raw = sorted({name for name in names if not name.isascii()})
    for encoding, is_plausible in (("utf-8", bool), (_JAPANESE, _is_japanese), (_CHINESE, _is_chinese), (_RUSSIAN, _is_russian)):
        try:
            texts = [name.decode(encoding) for name in raw]
        except UnicodeDecodeError:
            continue
        if all(is_plausible(text) for text in texts):
            return encoding
    return "cp437"


def _is_japanese(text: str) -> bool:
    """Whether there are only kana and common kanji, none within a Latin word: é and ö before a letter have such bytes too."""
    foreign = [letter for letter in text if not letter.isascii()]
    common = all(_KANA_OR_KANJI.match(letter) and letter.encode(_JAPANESE)[0] < 0x98 for letter in foreign)
    return common and not _LATIN_BESIDE_KANJI.search(text)


def _is_chinese(text: str) -> bool:
    """Whether there are only letters of the first level of GB 2312, none within a Latin word."""
    foreign = [letter for letter in text if not letter.isascii()]
    common = all(0xB0 <= letter.encode(_CHINESE)[0] <= 0xD7 and letter.encode(_CHINESE)[1] >= 0xA1 for letter in foreign)
    return common and all(unicodedata.category(letter) == "Lo" for letter in foreign) and not _LATIN_BESIDE_KANJI.search(text)


def _is_russian(text: str) -> bool:
    """Whether words are all Cyrillic, with usual capitals: accented Latin letters share some of these bytes."""
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    foreign = [letter for letter in text if not letter.isascii()]
    return all(re.match("[\u0400-\u04ff]", letter) for letter in foreign) and all(
        len(word) > 1 and not re.search("[A-Za-z]", word) and (word[1:].islower() or word.isupper()) for word in words
    )


def _is_latin(text: str) -> bool:
    """Whether all letters are Latin, without box-drawing characters: otherwise code page 437 is unlikely."""
    return all(letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in text)
