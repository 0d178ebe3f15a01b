import numpy as np
import pytest

from training.evaluation import nearest_neighbours as module
from training.evaluation.nearest_neighbours import distances_of_real, memorisation, nearest


def points(n, seed, d=6):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def compared(generated, train, held_out, **others):
    return memorisation(generated, train, distances_of_real(train, held_out), **others)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "_QUERIES", 7)
    monkeypatch.setattr(module, "_REFERENCES", 11)


def test_nearest_is_found_across_chunks(small_chunks):
    queries, references = points(50, 0), points(60, 1)
    distances, places = nearest(queries, references)
    every = np.linalg.norm(queries[:, None].astype(float) - references[None], axis=2)
    assert places.tolist() == every.argmin(1).tolist()
    np.testing.assert_allclose(distances, every.min(1), rtol=1e-12)


def test_what_is_excluded_does_not_count(small_chunks):
    references = points(60, 1)
    distances, places = nearest(references[20:40], references, exclude=np.arange(20, 40))
    every = np.linalg.norm(references[20:40, None].astype(float) - references[None], axis=2)
    every[np.arange(20), np.arange(20, 40)] = np.inf
    assert places.tolist() == every.argmin(1).tolist()
    np.testing.assert_allclose(distances, every.min(1), rtol=1e-12)


def test_a_copied_image_is_at_no_distance():
    train = np.random.default_rng(0).integers(0, 256, (300, 1, 32, 32), np.uint8)
    distances, places = nearest(train[[7, 200]], train)
    assert distances.tolist() == [0, 0]
    assert places.tolist() == [7, 200]
    changed = train[[7]].copy()
    changed[0, 0, 0, 0] ^= 3
    assert nearest(changed, train)[0][0] == abs(int(changed[0, 0, 0, 0]) - int(train[7, 0, 0, 0]))


def test_fresh_images_are_suspected_as_often_as_held_out_ones():
    found = compared(points(3000, 1), points(2000, 2), points(3000, 3))
    assert found.share == pytest.approx(0.01, abs=0.006)
    assert found.median == pytest.approx(found.median_real, rel=0.05)


@pytest.mark.parametrize("noise", [0, 0.01])
def test_copies_are_found_and_nothing_else(noise):
    train = points(2000, 2)
    copies = train[:100] + noise * points(100, 4)
    found = compared(np.concatenate([points(300, 1), copies]), train, points(3000, 3), pairs=100)
    assert 0.25 <= found.share < 0.27
    assert {(pair.generated, pair.training) for pair in found.pairs} >= {(300 + copy, copy) for copy in range(95)}
    assert [pair.ratio for pair in found.pairs] == sorted(pair.ratio for pair in found.pairs)
    assert (found.pairs[0].ratio == 0) == (noise == 0)
    assert compared(copies, train, points(3000, 3)).share == 1


def test_without_held_out_images_training_images_stand_in():
    train = points(3000, 2)
    shares = [compared(points(2000, seed), points(3000, 100 + seed), None).share for seed in range(8)]
    assert np.mean(shares) == pytest.approx(0.01, abs=0.004)
    assert compared(train[:200], train, None).share == 1


def test_a_set_full_of_doubles_still_finds_copies():
    train = points(100, 2).repeat(2, 0)
    found = compared(np.concatenate([train[:10], points(30, 1)]), train, None)
    assert (found.threshold, found.share) == (0, 0.25)
    assert [pair.ratio for pair in found.pairs] == [0] * 10 + [np.inf] * 6


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="needs generated images"):
        compared(points(0, 1), points(5, 2), None)
    for train, held_out in ((points(1, 2), None), (points(5, 2), points(0, 3))):
        with pytest.raises(ValueError, match="at least 2 training images, and held-out ones"):
            distances_of_real(train, held_out)
