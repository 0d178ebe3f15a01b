"""Files are images by what is in them, and what is passed over is said."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.training.data.conftest import save
from training import data
from training.errors import DataError


def load(source, **options):
    return data.load(str(source), (16, 16), **options)


def encoded(kind, colour="red", **options):
    content = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"a.{ending}", "JPEG") for ending in ("jfif", "JPE", "jpeg", "mpo", "dat", "png", "txt", "jpg_large")),
        *(("a", kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")),
        *(("a.avif", "AVIF"), ("a.jp2", "JPEG2000"), ("a.ppm", "PPM"), ("a.jpg", "WEBP"), ("a.jpg", "AVIF"), ("0f3a.1", "PNG")),
    ],
)
def test_images_are_known_by_their_content(tmp_path, name, kind):
    (tmp_path / name).write_bytes(encoded(kind))
    with zipfile.ZipFile(tmp_path.with_suffix(".zip"), "w") as archive:
        archive.write(tmp_path / name, name)
    for source in (tmp_path, tmp_path.with_suffix(".zip")):
        dataset = load(source)
        assert (len(dataset.images), dataset.skipped) == (1, ())
        assert np.abs(dataset.images[0, :, 8, 8].astype(int) - [255, 0, 0]).max() < 8
        assert data.survey(str(source)).count == 1


def test_what_is_passed_over_is_said_by_ending_and_number(tmp_path):
    save(tmp_path / "a.png", "red")
    for name in ("1.heic", "2.HEIC", "x/3.heic", "notes.txt", "README", "caption.txt", "data.json", "P5 is no image"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("P5 and BM are words too")
    for name in (".DS_Store", "x/.hidden.png"):
        (tmp_path / name).write_bytes(b"")
    dataset = load(tmp_path)
    assert dataset.skipped == ()
    said = "passed over: 3 .heic, 2 .txt, 2 without an ending, 1 .json (save images among these as PNG or JPEG)"
    assert said in dataset.notes
    with zipfile.ZipFile(tmp_path.with_suffix(".zip"), "w") as archive:
        for path in sorted(tmp_path.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    assert said in load(tmp_path.with_suffix(".zip")).notes


def test_if_nothing_is_left_it_is_said_what_there_was(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(DataError, match=r"no images there; .*passed over: 12 \.heic \(save images among these as PNG or JPEG\)"):
        load(tmp_path)


def test_heic_that_is_called_jpeg_is_named(tmp_path):
    save(tmp_path / "a.png", "red")
    (tmp_path / "b.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert load(tmp_path, max_bad=0.5).skipped[0].startswith("b.jpg (it is HEIC, which is not read here; save it as PNG or JPEG")


@pytest.mark.parametrize("name", ["a.nef", "a.dng", "a.svs", "a.tga"])
def test_thumbnails_in_raw_files_are_no_images(tmp_path, name):
    save(tmp_path / "b.png", "red")
    (tmp_path / name).write_bytes(encoded("TIFF", "blue"))
    dataset = load(tmp_path)
    assert dataset.images[:, :, 0, 0].tolist() == [[255, 0, 0]]
    assert any(note.startswith(f"passed over: 1 {name[1:]}") for note in dataset.notes)


def test_other_files_do_not_count_as_broken(tmp_path):
    for number in range(20):
        save(tmp_path / f"{number}.png", (number, 0, 0))
        (tmp_path / f"{number}.txt").write_text("a caption")
    dataset = load(tmp_path, max_bad=0)
    assert (len(dataset.images), dataset.skipped) == (20, ())
