import io

import numpy as np
import pytest
import torch
from PIL import Image

from gan import imaging


@pytest.mark.parametrize(
    ("x", "level"),
    [(-1, 0), (1, 255), (0, 128), (-9, 0), (9, 255), (0.51 / 127.5 - 1, 1), (0.49 / 127.5 - 1, 0), (254.51 / 127.5 - 1, 255)],
)
def test_levels_round_half_up_and_are_clamped(x, level):
    assert imaging.grey_levels(np.array(x)).astype(np.uint8) == level
    assert imaging.grey_levels(torch.tensor(x, dtype=torch.float64)).to(torch.uint8) == level


def test_numpy_and_torch_agree_on_every_float32_near_a_boundary():
    boundaries = (np.arange(0, 255, dtype=np.float32) + np.float32(0.5)) / np.float32(127.5) - 1
    x = np.concatenate([np.nextafter(boundaries, np.float32(-2)), boundaries, np.nextafter(boundaries, np.float32(2))])
    expected = imaging.grey_levels(x).astype(np.uint8)
    assert np.array_equal(imaging.grey_levels(torch.from_numpy(x)).to(torch.uint8).numpy(), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_places_pictures_row_by_row(channels):
    pictures = np.random.default_rng(0).integers(0, 256, (7, 4, 5, channels), np.uint8)
    sheet = imaging.grid(pictures)  # 3 columns, 3 rows
    assert sheet.shape == (12, 15, channels)
    for place, picture in enumerate(pictures):
        top, left = 4 * (place // 3), 5 * (place % 3)
        assert np.array_equal(sheet[top : top + 4, left : left + 5], picture)
    assert not sheet[8:, 5:].any()
    assert imaging.grid(pictures, columns=7).shape == (4, 35, channels)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_png_gives_back_the_pixels(channels, mode):
    picture = np.random.default_rng(0).integers(0, 256, (9, 6, channels), np.uint8)
    image = Image.open(io.BytesIO(imaging.encode(picture, "png")))
    assert (image.format, image.mode) == ("PNG", mode)
    assert np.array_equal(np.asarray(image).reshape(picture.shape), picture)
