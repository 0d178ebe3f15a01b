"""A predictor learns what people said of real pictures, and says how well."""

import numpy as np

from training.directions import predictor
from training.directions.attributes import Attribute
from training.directions.scores import Target


def pictures(n=320):
    """Noise with, in half of them, a white square, and a brightness of its own; and what people would say of them."""
    random = np.random.default_rng(0)
    level, square = random.uniform(20, 120, n), random.integers(0, 2, n)
    found = np.clip(level[:, None, None, None] + random.normal(0, 8, (n, 1, 16, 16)), 0, 255).astype(np.uint8)
    found[square == 1, :, 5:11, 5:11] = 255
    return found, level, square


def test_it_reads_numbers_and_yes_or_no_off_held_out_pictures():
    images, level, square = pictures()
    random = np.random.default_rng(1)
    unknown = np.where(np.arange(len(images)) % 3 == 0, np.nan, square)
    targets = [
        Target(Attribute("level", ""), level),
        Target(Attribute("square", "", yes_or_no=True), unknown),
        Target(Attribute("chance", "", yes_or_no=True), random.integers(0, 2, len(images)).astype(float)),
    ]
    trained = predictor.train(images, targets, seed=0)
    level_quality, square_quality, chance_quality = trained.quality
    assert level_quality.r2 > 0.5
    assert level_quality.auroc is None
    assert square_quality.auroc > 0.95
    assert chance_quality.auroc < 0.8
    measure = trained.measure([1])
    assert [attribute.name for attribute in measure.attributes] == ["square"]
    scores = measure.of(images.transpose(0, 2, 3, 1))
    assert scores.shape == (len(images), 1)
    assert ((scores[:, 0] > 0) == square).mean() > 0.9


def test_the_same_seed_trains_the_same(monkeypatch):
    monkeypatch.setattr(predictor, "_FEWEST_STEPS", 10)
    images, level, _ = pictures(64)
    first, again = (predictor.train(images, [Target(Attribute("level", ""), level)], seed=3) for _ in range(2))
    np.testing.assert_array_equal(predictor.scores(first.network, images), predictor.scores(again.network, images))
