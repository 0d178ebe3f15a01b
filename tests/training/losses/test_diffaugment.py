"""DiffAugment beside the same changes written out pixel by pixel."""

import numpy as np
import pytest
import torch

from training.losses.diffaugment import CHANCES, augment

HEIGHT, WIDTH = 20, 28  # of no square, so that rows and columns cannot be exchanged


@pytest.fixture
def pictures():
    return np.random.default_rng(0).uniform(-1, 1, (6, 3, HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture
def chances():
    return np.random.default_rng(1).random((6, CHANCES)).astype(np.float32)


def augmented(pictures, chances, policy):
    return augment(torch.from_numpy(pictures), torch.from_numpy(chances), policy).numpy()


def coloured(picture, chances):
    """Brightness by up to a half; saturation, 0 to 2, about each pixel's mean; contrast, half to 3/2, about the picture's mean."""
    bright = picture + chances[0] - 0.5
    grey = sum(bright) / 3
    saturated = grey + 2 * chances[1] * (bright - grey)
    mean = saturated.sum() / saturated.size
    return mean + (chances[2] + 0.5) * (saturated - mean)


def moved(picture, chances):
    """Right and down by whole pixels, at most an eighth of the sides, rounded: 4 of 28 columns, 3 of 20 rows."""
    found = np.zeros_like(picture)
    columns, rows = int(chances[3] * 9) - 4, int(chances[4] * 7) - 3
    for row in range(HEIGHT):
        for column in range(WIDTH):
            if 0 <= row + rows < HEIGHT and 0 <= column + columns < WIDTH:
                found[:, row, column] = picture[:, row + rows, column + columns]
    return found


def cut(picture, chances):
    """Nothing is left within a quarter of the sides of the centre."""
    found = picture.copy()
    for row in range(HEIGHT):
        for column in range(WIDTH):
            if abs(row - chances[5] * HEIGHT) <= HEIGHT / 4 and abs(column - chances[6] * WIDTH) <= WIDTH / 4:
                found[:, row, column] = 0
    return found


@pytest.mark.parametrize(
    ("policy", "by_hand"),
    [
        ("none", lambda picture, _: picture),
        ("translation", moved),
        ("translation-cutout", lambda picture, chances: cut(moved(picture, chances), chances)),
        ("diffaugment", lambda picture, chances: cut(moved(coloured(picture, chances), chances), chances)),
    ],
)
def test_what_is_done_is_what_the_chances_say(pictures, chances, policy, by_hand):
    expected = np.stack([by_hand(picture, chance) for picture, chance in zip(pictures, chances, strict=True)])
    np.testing.assert_allclose(augmented(pictures, chances, policy), expected, atol=1e-5)
    assert policy == "none" or np.abs(expected - pictures).max() > 0.5
