"""Which pictures an encoder learns from, which choose and which report."""

import numpy as np
import pytest

from training.data import Dataset, HeldOut
from training.data import split as splitting
from training.encoder import pictures
from training.encoder.pictures import split
from training.errors import UsageError


def images(n, first=0):
    return np.random.default_rng(first).integers(0, 256, (n, 1, 8, 8), np.uint8)


def keys(array):
    return {one.tobytes() for one in array}


def test_held_out_pictures_choose_and_report_but_not_both(monkeypatch):
    monkeypatch.setattr(splitting, "_FEWEST_TO_HALVE", 100)
    found = split(Dataset("some", images(50), "", held_out=HeldOut(images(200, 1))), "here")
    assert len(found.selection.images) + len(found.test.images) == 200
    assert not keys(found.selection.images) & keys(found.test.images)
    assert not keys(found.train.images) & (keys(found.selection.images) | keys(found.test.images))


def test_few_held_out_pictures_serve_both():
    found = split(Dataset("some", images(50), "", held_out=HeldOut(images(30, 1))), "here")
    assert keys(found.selection.images) == keys(found.test.images) == keys(images(30, 1))


def test_of_a_set_without_every_tenth_is_held_back():
    labels = np.arange(57) % 3
    found = split(Dataset("some", images(57), "", ("a", "b", "c"), labels), "here")
    assert (len(found.train.images), len(found.selection.images)) == (52, 5)
    assert not keys(found.train.images) & keys(found.selection.images)
    assert found.selection.labels.tolist() == labels[9::10].tolist()


def test_no_class_gives_more_than_a_quarter_of_its_pictures():
    labels = np.where(np.arange(60) % 10 == 9, np.arange(60), 0)  # of every tenth there is no other
    labels[[9, 19, 20, 21, 22]] = 9
    found = split(Dataset("some", images(60), "", tuple(map(str, range(60))), labels), "here")
    assert found.selection.labels.tolist() == [9]
    assert set(found.train.labels) == set(labels)


def test_too_few_pictures_are_refused():
    with pytest.raises(UsageError, match="--data here: 20 images are the least"):
        split(Dataset("some", images(19), ""), "here")


def test_data_must_fit_the_model(conditional, tmp_path):
    from PIL import Image

    from gan.model_folder import read_manifest

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for place, image in enumerate(images(20, len(name) + ord(name[0]))):
            Image.fromarray(image[0]).resize((32, 32)).save(tmp_path / name / f"{place}.png")
    with pytest.raises(UsageError, match="other classes than"):
        pictures.load(read_manifest(conditional.model), str(tmp_path))
