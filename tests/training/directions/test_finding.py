"""Directions of attributes: those of a generator whose directions are known are found, with figures that say so."""

import numpy as np
import pytest

from gan import model_folder
from training.directions import finding
from training.directions.attributes import Attribute, Measure, measured_on_images
from training.directions.finding import Options, follow
from training.directions.sampling import Sampler

from .conftest import paint

OPTIONS = Options(samples=160, first_seed=5, shared=False, least_r2=0.5, least_auroc=0.8)
LEVEL = measured_on_images(1)


def found(folder, measure=LEVEL, options=OPTIONS):
    directions, dropped = follow(Sampler(model_folder.read(folder)), [measure], options)
    return {one.about.name: one for one in directions}, dropped


def test_the_direction_of_brightness_is_the_one_that_the_generator_has(painter):
    folder, (level,) = painter
    directions, dropped = found(folder)
    brightness = directions["brightness"]
    assert brightness.array.shape == (16,)
    assert np.linalg.norm(brightness.array) == pytest.approx(1, abs=1e-6)
    assert brightness.array @ level > 0.98
    assert brightness.about.r2 > 0.95
    assert 0.7 < brightness.about.effect < 1.1
    assert brightness.shifts[-2.0] < -1.2 < 1.2 < brightness.shifts[2.0]
    # The checkerboard's contrast grows both ways from 0, which no straight line follows
    assert "contrast" not in directions
    assert any(sentence.startswith("contrast: held-out R² ") for sentence in dropped)


def test_each_class_has_its_own_direction_or_all_share_one(tmp_path):
    folder, levels = paint(tmp_path, classes=3)
    own = found(folder)[0]["brightness"]
    assert own.array.shape == (3, 16)
    assert (np.sum(own.array * levels, 1) > 0.97).all()
    assert own.classes == 3
    shared = found(folder, options=Options(160, 5, shared=True, least_r2=0, least_auroc=0.5))[0]["brightness"]
    assert shared.array.shape == (16,)
    assert shared.array @ levels.sum(0) / np.sqrt(3) > 0.9
    assert shared.about.r2 < own.about.r2 - 0.3


def test_a_class_that_lacks_an_attribute_does_not_move(tmp_path):
    folder, levels = paint(tmp_path, classes=3)
    bright = Attribute("bright", "", yes_or_no=True, classes=frozenset({0, 2}))
    measure = Measure([bright], lambda images: images.mean((1, 2)) - 127.5)
    one = found(folder, measure)[0]["bright"]
    assert not one.array[1].any()
    assert (np.sum(one.array * levels, 1)[[0, 2]] > 0.95).all()
    assert one.classes == 2
    assert one.about.auroc > 0.95


def test_what_no_image_has_is_dropped(painter):
    folder, _ = painter
    measure = Measure(
        [Attribute("never", "", yes_or_no=True), Attribute("same", "")], lambda images: np.full((len(images), 2), -1.0)
    )
    directions, dropped = found(folder, measure)
    assert directions == {}
    assert dropped == ["never: hardly any image, or every one, has it", "same: it is the same in all images"]


def test_noise_is_dropped_though_a_line_fits_the_images_it_was_fitted_to(painter):
    folder, _ = painter
    random = np.random.default_rng(0)
    directions, dropped = found(folder, Measure([Attribute("noise", "")], lambda images: random.standard_normal((len(images), 1))))
    assert directions == {}
    assert "held-out R²" in dropped[0]


def test_the_same_seed_finds_the_same(painter):
    folder, _ = painter
    first, again = (found(folder)[0]["brightness"] for _ in range(2))
    np.testing.assert_array_equal(first.array, again.array)
    other = found(folder, options=Options(160, 99, False, 0.5, 0.8))[0]["brightness"]
    assert (other.array != first.array).any()


def test_a_direction_that_hardly_changes_the_attribute_is_dropped(painter, monkeypatch):
    folder, _ = painter
    monkeypatch.setattr(finding, "_LEAST_SHIFT", 5)
    directions, dropped = found(folder)
    assert directions == {}
    assert any(sentence.startswith("brightness: a move by 2 shifts it by +1.") for sentence in dropped)
