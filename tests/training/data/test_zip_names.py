"""The names in zip files of all countries, and zip files that other programs pack otherwise."""

import io
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from tests.training.data.conftest import save
from training import data
from training.errors import DataError


def write_zip(path, names, encoding, extra=lambda raw, name: b""):
    """A zip file with an image for each name, which is written in that encoding and without the mark of UTF-8."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            content = io.BytesIO()
            Image.new("RGB", (20, 20), (number, 99, 0)).save(content, "PNG")
            raw = name.encode(encoding)
            info = zipfile.ZipInfo("x" * len(raw))
            archive.NameToInfo.clear()  # several names of one length are no mistake
            info.extra = extra(raw, name)
            archive.writestr(info, content.getvalue())
    packed = path.read_bytes()
    for name in names:  # in the order they were written in: of the files themselves, and of the list at the end
        raw = name.encode(encoding)
        for kind, at in ((b"PK\x03\x04", 30), (b"PK\x01\x02", 46)):
            place = packed.index(kind + packed[:0])
            while packed[place + at : place + at + len(raw)] != b"x" * len(raw):
                place = packed.index(kind, place + 1)
            packed = packed[: place + at] + raw + packed[place + at + len(raw) :]
    path.write_bytes(packed)
    return path


def load(source):
    return data.load(str(source), (16, 16), labelled=True)


@pytest.mark.parametrize(
    ("classes", "encoding", "said"),
    [
        (("猫", "犬"), "cp932", "cp932"),
        (("ソフト", "表"), "cp932", "cp932"),  # whose second byte is a backslash
        (("ひらがな", "カタカナ", "漢字"), "cp932", "cp932"),
        (("猫", "犬"), "utf-8", "utf-8"),
        (("Käse", "Öl"), "utf-8", "utf-8"),
        (("猫", "狗"), "gbk", "gb18030"),
        (("苹果", "香蕉", "葡萄"), "gb18030", "gb18030"),
        (("Äpfel", "Grün", "Käse", "Köln", "Männer", "weiß"), "cp437", None),
        (("café", "château", "crêpe", "forêt", "été"), "cp437", None),
        (("niño", "señal", "año"), "cp437", None),
        (("Кошка", "Собака", "птицы", "РЫБА"), "cp866", "cp866"),
    ],
)
def test_names_without_a_mark_are_read_as_they_were_meant(tmp_path, classes, encoding, said):
    dataset = load(write_zip(tmp_path / "a.zip", [f"{name}/{n}.png" for name in classes for n in "12"], encoding))
    assert set(dataset.classes) == set(classes)
    assert len(dataset.images) == 2 * len(classes)
    notes = [note for note in dataset.notes if "the names in the zip file are taken for" in note]
    assert notes == (
        [f"the names in the zip file are taken for {said}; if they look wrong, pack it with names in UTF-8"] if said else []
    )


def test_a_guess_that_looks_wrong_is_said(tmp_path):
    dataset = load(write_zip(tmp_path / "a.zip", [f"{name}/{n}.png" for name in ("Кошка", "Собака") for n in "12"], "cp1251"))
    assert "the names in the zip file are taken for cp437; if they look wrong, pack it with names in UTF-8" in dataset.notes


def test_a_field_with_the_name_in_utf_8_is_believed_if_it_fits(tmp_path):
    def field(raw, name, crc=0):
        content = b"\1" + struct.pack("<I", zlib.crc32(raw) ^ crc) + name.encode()
        return struct.pack("<HH", 0x7075, len(content)) + content

    names = ["Ölmühle/1.png", "Straße/1.png"]
    assert load(write_zip(tmp_path / "a.zip", names, "cp850", field)).classes == ("Straße", "Ölmühle")
    # One that was renamed by a program that knows no such field.
    dataset = load(write_zip(tmp_path / "b.zip", names, "cp437", lambda raw, name: field(raw, "else/1.png", 1)))
    assert dataset.classes == ("Straße", "Ölmühle")


def test_marked_names_need_no_guess(tmp_path):
    save(tmp_path / "1.png", "red")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("猫", "犬"):
            archive.write(tmp_path / "1.png", f"{name}/1.png")
    dataset = load(tmp_path / "a.zip")
    assert dataset.classes == ("犬", "猫")
    assert not any("taken for" in note for note in dataset.notes if note.startswith("the names"))


def test_names_that_lead_outside_are_refused_in_any_encoding(tmp_path):
    with pytest.raises(DataError, match="names a file outside itself"):
        load(write_zip(tmp_path / "a.zip", ["..\\猫/1.png"], "cp932"))


@pytest.mark.parametrize(
    ("method", "name"), [(9, "Deflate64"), (98, "PPMd"), (95, "XZ"), (1, "Shrink"), (77, "a method of its own")]
)
def test_other_ways_of_packing_are_named_with_the_remedy(tmp_path, method, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", b"12345")
        archive.writestr("notes.txt", b"12345")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x03\x04") + 8] = content[content.index(b"PK\x01\x02") + 10] = method
    (tmp_path / "a.zip").write_bytes(content)
    match = rf"a/1\.png is packed by {name} \(method {method}\), which is not read here; pack it again with ordinary deflate"
    for look in (load, lambda path: data.survey(str(path))):
        with pytest.raises(DataError, match=match):
            look(tmp_path / "a.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_these_are_read(tmp_path, method):
    save(tmp_path / "1.png", "red")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.write(tmp_path / "1.png", "1.png")
        archive.write(tmp_path / "1.png", "2.png")
        where = archive.getinfo("2.png").header_offset + 30 + len("2.png")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    assert len(data.load(str(tmp_path / "a.zip"), (16, 16)).images) == 2
    for place in (where + 12, where + 20):  # a damaged member is one that cannot be decoded, and no traceback
        (tmp_path / "a.zip").write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        assert [reason[:5] for reason in data.load(str(tmp_path / "a.zip"), (16, 16), max_bad=0.5).skipped] == ["2.png"]
