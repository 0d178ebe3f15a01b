"""The score of a model folder, without torch."""

import subprocess
import sys

import numpy as np
import pytest

from gan import model_folder
from gan.scoring import Scorer
from tests.conftest import SMALL_DATA
from training import data


@pytest.fixture
def scorer(scored):
    return Scorer.load(model_folder.read(scored.model))


def real(n):
    images = data.load(str(SMALL_DATA), (32, 32)).images[:n]
    return images.astype(np.float32) / 127.5 - 1


def test_scores_shares_pictures_and_labels(scorer):
    x = real(20)
    scores, shares, drawn, labels = scorer.score(x)
    assert (scores.dtype, shares.dtype, drawn.dtype, labels.dtype) == (np.float32, np.float32, np.float32, np.int64)
    assert (scores.shape, shares.shape, drawn.shape, labels.shape) == ((20,), (20,), (20, 1, 32, 32), (20,))
    assert np.abs(drawn).max() <= 1
    assert set(labels.tolist()) <= set(range(10))
    order = np.argsort(scores)
    assert (np.diff(shares[order]) <= 0).all()


def test_noise_is_more_unusual_than_any_held_out_picture(scorer):
    noise = np.random.default_rng(0).uniform(-1, 1, (3, 1, 32, 32)).astype(np.float32)
    scores, shares, *_ = scorer.score(noise)
    assert scores.min() > scorer.score(real(50))[0].max()
    assert shares.tolist() == [0, 0, 0]


def test_a_score_does_not_depend_on_what_else_is_in_the_batch(scorer):
    x = real(9)
    together = scorer.score(x)
    for row in range(9):
        alone = scorer.score(x[row : row + 1])
        assert all(np.array_equal(one[0], other[row]) for one, other in zip(alone, together, strict=True))


def test_shares_are_those_of_held_out_pictures_that_score_higher(scored, scorer):
    quantiles = np.array(model_folder.read(scored.model).manifest.scoring.quantiles)
    asked = np.array([quantiles[0] - 1, quantiles[0], quantiles[500], quantiles[-1], quantiles[-1] + 1], np.float32)
    np.testing.assert_allclose(scorer.shares(asked), [1, 1, 0.5, 0, 0], atol=2e-3)


def test_a_folder_without_has_none(trained):
    assert Scorer.load(model_folder.read(trained.model)) is None


def test_torch_is_not_needed(scored):
    program = """
import sys, numpy as np
from pathlib import Path
from gan import model_folder
from gan.encoder import PictureEncoder
from gan.scoring import Scorer
folder, x = model_folder.read(Path(sys.argv[1])), np.zeros((2, 1, 32, 32), np.float32)
Scorer.load(folder).score(x)
PictureEncoder.load(folder).encode(x, np.zeros(2, np.int64))
assert 'torch' not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", program, str(scored.model)]).returncode == 0
