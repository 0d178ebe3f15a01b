"""DiffAugment beside the same changes written out pixel by pixel."""

import numpy as np
import pytest
import torch

from training.losses.diffaugment import AUGMENT_PARAMS, augment

HEIGHT, WIDTH = 20, 28  # of no square, so that rows and columns cannot be exchanged


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (6, 3, HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture
def augment_params():
    return np.random.default_rng(1).random((6, AUGMENT_PARAMS)).astype(np.float32)


def augmented(images, augment_params, policy):
    return augment(torch.from_numpy(images), torch.from_numpy(augment_params), policy).numpy()


def coloured(image, augment_params):
    """Brightness by up to a half; saturation, 0 to 2, about each pixel's mean; contrast, half to 3/2, about the image's mean."""
    bright = image + augment_params[0] - 0.5
    grey = sum(bright) / 3
    saturated = grey + 2 * augment_params[1] * (bright - grey)
    mean = saturated.sum() / saturated.size
    return mean + (augment_params[2] + 0.5) * (saturated - mean)


def moved(image, augment_params):
    """Right and down by whole pixels, at most an eighth of the sides, rounded: 4 of 28 columns, 3 of 20 rows."""
    found = np.zeros_like(image)
    columns, rows = int(augment_params[3] * 9) - 4, int(augment_params[4] * 7) - 3
    for row in range(HEIGHT):
        for column in range(WIDTH):
            if 0 <= row + rows < HEIGHT and 0 <= column + columns < WIDTH:
                found[:, row, column] = image[:, row + rows, column + columns]
    return found


def cut(image, augment_params):
    """Nothing is left within a quarter of the sides of the centre."""
    found = image.copy()
    for row in range(HEIGHT):
        for column in range(WIDTH):
            if abs(row - augment_params[5] * HEIGHT) <= HEIGHT / 4 and abs(column - augment_params[6] * WIDTH) <= WIDTH / 4:
                found[:, row, column] = 0
    return found


@pytest.mark.parametrize(
    ("policy", "by_hand"),
    [
        ("none", lambda image, _: image),
        ("translation", moved),
        ("translation-cutout", lambda image, augment_params: cut(moved(image, augment_params), augment_params)),
        ("diffaugment", lambda image, augment_params: cut(moved(coloured(image, augment_params), augment_params), augment_params)),
    ],
)
def test_augmentations_follow_their_params(images, augment_params, policy, by_hand):
    expected = np.stack([by_hand(image, params) for image, params in zip(images, augment_params, strict=True)])
    np.testing.assert_allclose(augmented(images, augment_params, policy), expected, atol=1e-5)
    assert policy == "none" or np.abs(expected - images).max() > 0.5
