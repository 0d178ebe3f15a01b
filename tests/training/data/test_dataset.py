import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SMALL_DATA
from training import data
from training.data import Dataset, dataset

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SHIPPED = Path(__file__).parents[3] / "models" / "fashion-mnist-dcgan" / "model.json"


def ten():
    return Dataset("x", np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), "", ("a", "b"), np.arange(10) % 2)


def test_every_round_shows_every_image_once_in_an_order_of_its_own():
    stream = np.concatenate([ten().batch(seed=1, seen=seen, size=4)[0] for seen in range(0, 40, 4)]).ravel()
    rounds = [stream[start : start + 10].tolist() for start in range(0, 40, 10)]
    assert rounds == [np.random.default_rng([1, lap]).permutation(10).tolist() for lap in range(4)]
    assert len({tuple(order) for order in rounds}) == 4
    # A pure function of where it stands: no matter in which steps one got there.
    assert np.array_equal(ten().batch(seed=1, seen=7, size=20)[0].ravel(), stream[7:27])
    assert not np.array_equal(ten().batch(seed=2, seen=0, size=10)[0].ravel(), stream[:10])


def test_labels_go_with_their_images():
    images, labels = ten().batch(seed=3, seen=8, size=25)
    assert labels.tolist() == (images.ravel() % 2).tolist()
    assert labels.dtype == np.int64


def test_a_batch_is_a_copy():
    images, labels = (small := ten()).batch(seed=1, seen=0, size=10)
    images[:] = labels[:] = 99
    assert small.images.max() == 9
    assert small.labels.max() == 1


def test_an_order_is_drawn_once_for_each_round(monkeypatch):
    drawn = []
    original = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: drawn.append(seed) or original(seed))
    dataset._permutation.cache_clear()
    small = ten()
    for seen in range(0, 40, 4):
        small.batch(seed=5, seen=seen, size=4)
    assert drawn == [[5, 0], [5, 1], [5, 2], [5, 3]]
    small.batch(seed=5, seen=28, size=4)  # over the border of the last two
    assert len(drawn) == 4


def test_the_fingerprint_is_that_of_shape_pixels_and_labels(monkeypatch):
    images = np.arange(60, dtype=np.uint8).reshape(5, 3, 2, 2)
    expected = hashlib.sha256(b"(5, 3, 2, 2)" + images.tobytes())
    assert Dataset("x", images, "").fingerprint == expected.hexdigest()
    labels = np.array([0, 1, 0, 1, 0])
    expected.update(b"('a', 'b')" + labels.tobytes())
    assert Dataset("x", images, "", ("a", "b"), labels).fingerprint == expected.hexdigest()
    monkeypatch.setattr(dataset, "_HASHED_AT_ONCE", 25)  # two images
    assert Dataset("x", images, "", ("a", "b"), labels).fingerprint == expected.hexdigest()


def test_labels_can_be_left_out():
    labelled, plain = data.load(str(SMALL_DATA), (32, 32), labelled=True), data.load(str(SMALL_DATA), (32, 32))
    without = labelled.without_labels()
    assert (without.labels, without.classes, without.held_out.labels) == (None, (), None)
    assert without.fingerprint == plain.fingerprint != labelled.fingerprint


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_shipped_model_was_trained_on_what_fashion_mnist_is_today():
    whole = data.load("fashion-mnist", (32, 32))
    assert whole.fingerprint == json.loads(SHIPPED.read_text())["origin"]["dataset_fingerprint"]
    assert whole.held_out.images.shape == (10_000, 1, 32, 32)
