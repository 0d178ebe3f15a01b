"""Precision is measured only where it tells real images from mosaics of their parts; checkpoints within the spread are tied."""

import numpy as np
import pytest

from training.evaluation import feature_extractors
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator, describe
from training.evaluation.comparison import evaluate
from training.evaluation.mosaics import mosaics
from training.evaluation.ranking import ranking
from training.evaluation.real_images import RealImages, SampleSet


def ramps(count, seed):
    """Grey ramps of every direction, which mosaics break."""
    random = np.random.default_rng(seed)
    across, down = (random.uniform(-3, 3, (count, 1, 1, 1)) for _ in range(2))
    x, y = np.meshgrid(np.arange(32) - 15.5, np.arange(32) - 15.5)
    return np.clip(128 + across * x + down * y, 0, 255).astype(np.uint8)


def patches(count, seed):
    """Images that are mosaics themselves: nothing tells theirs from them."""
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 4, 4), np.uint8).repeat(8, 2).repeat(8, 3)


def test_each_block_of_a_mosaic_is_of_another_image():
    images = np.arange(32, dtype=np.uint8).reshape(32, 1, 1, 1).repeat(3, 1).repeat(12, 2).repeat(10, 3)
    made = mosaics(images)
    assert (made.shape, made.dtype) == (images.shape, np.uint8)
    assert all(len(np.unique(image)) == 16 for image in made)
    assert np.bincount(made[:, 0, 0, 0], minlength=32).tolist() == [1] * 32
    assert np.array_equal(images[:, 0, 0, 0], np.arange(32))  # the images are as they were


@pytest.mark.parametrize(("make", "told_apart"), [(ramps, True), (patches, False)])
def test_precision_is_measured_where_mosaics_are_told_apart(make, told_apart):
    real = RealImages(make(600, 0), make(300, 1))
    checkpoints = CheckpointEvaluator(real, feature_extractors.random_network(), size=300)
    found = checkpoints.measure(make(300, 2))
    assert ("precision" in found) is ("precision_spread" in found) is told_apart
    row = checkpoints.row(64, 1.0, found)
    assert ("precision_real" in row) is ("precision_mosaic" in row) is told_apart
    assert row["recall_real"] > row["recall_mosaic"] or not told_apart
    assert "frechet" in describe(row)
    assert ("precision" in describe(row)) is told_apart
    assert any("mosaics of real images have a precision" in remark for remark in checkpoints.remarks) is not told_apart
    whole = evaluate([SampleSet(make(300, 2))], real, feature_extractors.random_network())
    names = {one.name for one in whole.measurements}
    assert ("precision" in names, "density" in names) == (told_apart, told_apart)
    assert {"frechet", "recall", "coverage"} <= names
    assert bool(whole.remarks) is not told_apart


def test_few_images_to_compare_with_are_said():
    def remarks(held_out):
        return CheckpointEvaluator(RealImages(ramps(600, 0), held_out), feature_extractors.random_network(), size=600).remarks

    assert remarks(ramps(93, 1))[0].startswith("only 93 held-out images")
    assert not any(remark.startswith("only") for remark in remarks(ramps(500, 1)))


@pytest.mark.parametrize(
    ("distances", "spreads", "first"),
    [
        ([17.78, 17.82, 18.40], [0.6, 0.6, 0.6], 2),  # within 0.85 of the first, so the last
        ([17.78, 17.82, 18.40], [0.01, 0.05, 0.1], 1),
        ([17.78, 17.82, 18.40], None, 0),
        ([4.0, 2.0, 5.0, 6.0], [0.1] * 4, 1),
        ([4.0, float("nan"), 3.0, None], [0.1] * 4, 2),
    ],
)
def test_of_checkpoints_within_the_spread_the_later_one_is_exported(distances, spreads, first):
    measures = [{} if distance is None else {"frechet": distance} for distance in distances]
    for one, spread in zip(measures, spreads or [], strict=False):
        one["frechet_spread"] = spread
    found = ranking(measures)
    assert found[0] == first
    assert sorted(found) == list(range(len(distances)))


def test_the_spread_is_that_of_other_seeds():
    """The standard error that is estimated from one sample is about the deviation over many."""
    checkpoints = CheckpointEvaluator(RealImages(ramps(600, 0), ramps(300, 1)), feature_extractors.random_network(), size=300)
    found = [checkpoints.measure(ramps(300, seed)) for seed in range(2, 22)]
    for name in ("frechet", "recall"):
        deviation = np.std([one[name] for one in found], ddof=1)
        assert deviation / 3 < np.mean([one[f"{name}_spread"] for one in found]) < 3 * deviation
