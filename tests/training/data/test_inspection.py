import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan.images import decoding
from tests.conftest import SMALL_DATA
from tests.training.data.conftest import save
from tests.training.data.mixed import EMOJI
from training import data
from training.data import Survey, survey
from training.errors import DataError


def test_folders_are_looked_at_without_decoding(tmp_path, monkeypatch):
    for number, size in enumerate([(10, 20), (30, 40), (50, 60)]):
        save(tmp_path / "My Set" / "ab"[number % 2] / f"{number}.png", 9, size, "L")
    monkeypatch.setattr(Image.Image, "load", None)
    assert survey(str(tmp_path / "My Set")) == Survey("my-set", False, 3, 40, 30, 1, 2)


def test_one_coloured_image_makes_it_coloured_and_images_beside_folders_are_no_classes(tmp_path):
    save(tmp_path / "s" / "a" / "1.png", 9, mode="L")
    save(tmp_path / "s" / "b" / "2.png", 9)
    assert survey(str(tmp_path / "s")) == Survey("s", False, 2, 20, 20, 3, 2)
    save(tmp_path / "s" / "3.png", 9)
    assert survey(str(tmp_path / "s")).classes is None


def test_turned_photographs_count_as_they_are_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "s" / "a.jpg", "red", (60, 20), exif=exif)
    assert survey(str(tmp_path / "s")) == Survey("s", False, 1, 60, 20, 3, None)


def test_of_many_files_some_are_looked_at_from_all_over(tmp_path, monkeypatch):
    monkeypatch.setattr("training.data.inspection._LOOKED_AT", 5)
    looked_at = []
    original = decoding.read_header
    monkeypatch.setattr("training.data.inspection.read_header", lambda content: looked_at.append(content) or original(content))
    for number in range(20):
        save(tmp_path / f"{number:02d}.png", "red", (number + 1, 7))
    found = survey(str(tmp_path))
    assert (found.count, found.width, found.height, len(looked_at)) == (20, 9, 7, 5)  # widths 1, 5, 9, 13, 17


def test_zip_files_and_real_images():
    assert survey(str(EMOJI)) == Survey("emoji", False, 300, 64, 64, 3, 6)


def test_broken_files_are_counted_and_passed_over(tmp_path):
    save(tmp_path / "s" / "a.png", "red")
    (tmp_path / "s" / "b.png").write_bytes(b"")
    assert survey(str(tmp_path / "s")) == Survey("s", False, 2, 20, 20, 3, None)
    (tmp_path / "s" / "a.png").unlink()
    with pytest.raises(DataError, match=r"none of 1 files that were tried can be decoded, for example b\.png \(it is empty\)"):
        survey(str(tmp_path / "s"))


def test_named_sets_are_known_without_a_download():
    assert survey("fashion-mnist") == Survey("fashion-mnist", True, 60_000, 28, 28, 1, 10)
    assert survey("cifar10") == Survey("cifar10", True, 50_000, 32, 32, 3, 10)
    assert [survey(name).name for name in data.BUILTIN_DATASETS] == list(data.BUILTIN_DATASETS)
    assert survey(str(SMALL_DATA)) == Survey("fashion-mnist", True, 512, 28, 28, 1, 10)


def test_what_is_known_of_digits_is_so():
    dataset = data.load("digits", (8, 8), labelled=True)
    everything = np.concatenate([dataset.images, dataset.held_out.images])
    found = survey("digits")
    assert (found.count, found.channels, found.height, found.width) == everything.shape
    assert found.classes == len(dataset.classes)


def test_what_is_no_source_is_said(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        survey(str(tmp_path / "nowhere"))


def test_neither_survey_nor_import_needs_torch():
    command = "import sys; from training import data; data.survey('mnist'); print('torch' in sys.modules, 'sklearn' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert ran.stdout.split() == ["False", "False"]
