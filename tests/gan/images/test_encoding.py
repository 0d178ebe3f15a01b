import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from gan.images import encoding


@pytest.mark.parametrize(
    ("x", "level"),
    [(-1, 0), (1, 255), (0, 128), (-9, 0), (9, 255), (0.51 / 127.5 - 1, 1), (0.49 / 127.5 - 1, 0), (254.51 / 127.5 - 1, 255)],
)
def test_levels_round_half_up_and_are_clamped(x, level):
    assert encoding.to_uint8_range(np.array(x)).astype(np.uint8) == level
    assert encoding.to_uint8_range(torch.tensor(x, dtype=torch.float64)).to(torch.uint8) == level


def test_numpy_and_torch_agree_on_every_float32_near_a_boundary():
    boundaries = (np.arange(0, 255, dtype=np.float32) + np.float32(0.5)) / np.float32(127.5) - 1
    x = np.concatenate([np.nextafter(boundaries, np.float32(-2)), boundaries, np.nextafter(boundaries, np.float32(2))])
    expected = encoding.to_uint8_range(x).astype(np.uint8)
    assert np.array_equal(encoding.to_uint8_range(torch.from_numpy(x)).to(torch.uint8).numpy(), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_places_images_row_by_row(channels):
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 5, channels), np.uint8)
    sheet = encoding.grid(images)  # 3 columns, 3 rows
    assert sheet.shape == (12, 15, channels)
    for place, image in enumerate(images):
        top, left = 4 * (place // 3), 5 * (place % 3)
        assert np.array_equal(sheet[top : top + 4, left : left + 5], image)
    assert not sheet[8:, 5:].any()
    assert encoding.grid(images, columns=7).shape == (4, 35, channels)


@pytest.mark.parametrize(("height", "width"), [(9, 6), (1, 1), (64, 64), (64, 65), (300, 2)])  # up to 4,096 pixels, and over
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_png_gives_back_the_pixels(channels, mode, height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    read = Image.open(io.BytesIO(encoding.encode(image, "png")))
    assert (read.format, read.mode) == ("PNG", mode)
    assert np.array_equal(np.asarray(read).reshape(image.shape), image)


ORIGIN = '{"model": "fashion-mnist@0123456789ab", "seed": 7}'


def told(data):
    """The origin that an image file carries."""
    image = Image.open(io.BytesIO(data))
    if image.format == "PNG":
        return image.info.get("gan-service")
    if image.format == "GIF":
        return image.info["comment"].decode()
    return image.getexif().get_ifd(0x8769).get(0x9286, b"").removeprefix(b"ASCII\0\0\0").decode() or None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("origin", [ORIGIN, "x", "y" * 60_000])
def test_a_file_carries_its_origin_beside_the_same_pixels(channels, format, origin):
    image = np.random.default_rng(0).integers(0, 256, (9, 6, channels), np.uint8)
    plain, marked = encoding.encode(image, format), encoding.encode(image, format, origin=origin)
    assert told(plain) is None
    assert told(marked) == origin
    assert encoding.encode(image, format, origin=origin) == marked
    shown = [np.asarray(Image.open(io.BytesIO(data))) for data in (plain, marked)]
    assert np.array_equal(*shown)


@pytest.mark.parametrize("side", [4, 80])
def test_a_png_with_its_origin_is_whole(side):
    data = encoding.encode(np.zeros((side, side, 1), np.uint8), "png", origin=ORIGIN)
    at, kinds = 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8])
        assert int.from_bytes(data[at + 8 + length : at + 12 + length], "big") == zlib.crc32(data[at + 4 : at + 8 + length])
        at += 12 + length
    assert kinds == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["webp", "gif"])
@pytest.mark.parametrize("alike", [False, True])
def test_an_animation_carries_its_origin_and_keeps_its_pace(channels, format, alike):
    frames = np.random.default_rng(0).integers(0, 256, (1 if alike else 10, 9, 6, channels), np.uint8).repeat(10 if alike else 1, 0)
    data = encoding.animate(frames, format, 7, origin=ORIGIN)
    assert told(data) == ORIGIN
    assert encoding.animate(frames, format, 7, origin=ORIGIN) == data
    image, lasts = Image.open(io.BytesIO(data)), 0
    for place in range(image.n_frames):
        image.seek(place)
        image.load()
        lasts += image.info["duration"]
    assert lasts == {"webp": 1429, "gif": 1430}[format]
