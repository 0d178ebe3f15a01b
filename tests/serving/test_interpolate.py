"""POST /interpolate from outside."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.serving.test_api import pixels, refused


def frames(client, **fields):
    return np.load(io.BytesIO(client.post("/interpolate", json={"format": "npz", **fields}).content))["images"]


def total_duration(image):
    """In milliseconds; the encoders merge frames that look alike into one that lasts longer."""
    total = 0
    for frame in ImageSequence.Iterator(image):
        frame.load()
        total += frame.info["duration"]
    return total


def test_the_way_passes_through_the_images_of_its_seeds(client):
    way = frames(client, seeds=[1, 2, 3], frames=9)
    assert way.shape == (9, 32, 32, 1)
    for place, seed in ((0, 1), (4, 2), (8, 3)):
        assert np.array_equal(way[place, :, :, 0], pixels(client.post("/generate", json={"seed": seed}).content))
    assert not np.array_equal(way[1], way[0])


def test_a_loop_comes_back(client):
    way = frames(client, seeds=[1, 2], frames=8, loop=True)
    assert np.array_equal(way[4, :, :, 0], pixels(client.post("/generate", json={"seed": 2}).content))
    assert np.array_equal(way[1], frames(client, seeds=[1, 2], frames=8, loop=True)[1])
    assert np.abs(way[7].astype(int) - way[0]).mean() < np.abs(way[4].astype(int) - way[0]).mean()


@pytest.mark.parametrize(("name", "media_type"), [("webp", "image/webp"), ("gif", "image/gif")])
def test_animations(client, name, media_type):
    response = client.post("/interpolate", json={"seeds": [1, 2], "frames": 6, "fps": 10, "scale": 2, "format": name})
    assert response.headers["content-type"] == media_type
    assert response.headers["x-seed"] == "1"
    assert "x-model" in response.headers
    assert "infer" in response.headers["server-timing"]
    image = Image.open(io.BytesIO(response.content))
    assert (image.size, image.info["loop"]) == ((64, 64), 0)
    assert total_duration(image) == 6 * 100


@pytest.mark.parametrize(("fps", "frame_count"), [(35, 60), (30, 30), (12, 7), (7, 21), (50, 10), (0.3, 2), (47.3, 100)])
@pytest.mark.parametrize(("name", "unit"), [("gif", 10), ("webp", 1)])
@pytest.mark.parametrize("seeds", [[1, 2], [1, 1]])
def test_an_animation_lasts_as_long_as_its_frames(client, fps, frame_count, name, unit, seeds):
    response = client.post("/interpolate", json={"seeds": seeds, "frames": frame_count, "fps": fps, "format": name})
    lasts = total_duration(Image.open(io.BytesIO(response.content)))
    assert abs(lasts - 1000 * frame_count / fps) <= unit


@pytest.mark.parametrize("scale", [1, 3])
def test_a_way_that_goes_nowhere_is_an_animation_all_the_same(client, scale):
    response = client.post("/interpolate", json={"seeds": [1, 1], "frames": 5, "fps": 10, "scale": scale})
    image = Image.open(io.BytesIO(response.content))
    assert (image.is_animated, image.size, image.info["loop"]) == (True, (32 * scale, 32 * scale), 0)
    assert total_duration(image) == 500
    first, second = (np.asarray(frame.convert("L")).astype(int) for frame in ImageSequence.Iterator(image))
    assert np.array_equal(first, second)
    assert np.abs(first - pixels(client.post("/generate", json={"seed": 1, "scale": scale}).content)).mean() < 12


@pytest.mark.parametrize(("name", "fps"), [("gif", 0.003), ("gif", 1e-300), ("webp", 1e-4), ("webp", 5e-324)])
def test_an_animation_longer_than_its_format_has_room_for_is_refused(client, name, fps):
    response = client.post("/interpolate", json={"seeds": [1, 1], "frames": 2, "fps": fps, "format": name})
    least = re.search(r"at least ([\d.]+)", refused(response, 422, ("fps",))["detail"])[1]
    response = client.post("/interpolate", json={"seeds": [1, 1], "frames": 2, "fps": float(least), "format": name})
    assert abs(total_duration(Image.open(io.BytesIO(response.content))) - 2000 / float(least)) <= 10


@pytest.mark.parametrize(
    ("name", "how"), [("webp", "inline"), ("gif", "inline"), ("png", "inline"), ("zip", "attachment"), ("npz", "attachment")]
)
def test_an_animation_has_a_name_as_a_file(client, name, how):
    response = client.post("/interpolate", json={"seeds": [1, 2, 30], "frames": 3, "format": name})
    file = f"fashion-mnist-dcgan-seeds0000000001-0000000030.{name}"
    assert response.headers["content-disposition"] == f'{how}; filename="{file}"'


def test_strip_and_archive(client):
    strip = pixels(client.post("/interpolate", json={"seeds": [1, 2], "frames": 5, "format": "png"}).content)
    way = frames(client, seeds=[1, 2], frames=5)
    assert np.array_equal(strip, np.hstack(way[..., 0]))
    archive = zipfile.ZipFile(io.BytesIO(client.post("/interpolate", json={"seeds": [1, 2], "frames": 5, "format": "zip"}).content))
    assert archive.namelist() == [f"frame{place:010d}.png" for place in range(5)]
    assert np.array_equal(pixels(archive.read("frame0000000004.png")), way[4, :, :, 0])


def test_the_default_is_an_animated_webp(client):
    response = client.post("/interpolate", json={"seeds": [1, 2]})
    assert response.headers["content-type"] == "image/webp"
    image = Image.open(io.BytesIO(response.content))
    assert 1 < image.n_frames <= 32
    assert total_duration(image) == 2667  # 32 / 12 s


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seeds": [1]}, ("seeds",)),
        ({"seeds": None}, ("seeds",)),
        ({"seeds": [1, -1]}, ("seeds", 1)),
        ({"seeds": list(range(241))}, ("seeds",)),
        ({"frames": 1}, ("frames",)),
        ({"frames": 241}, ("frames",)),
        ({"loop": 1}, ("loop",)),
        ({"fps": 0}, ("fps",)),
        ({"fps": 51}, ("fps",)),
        ({"format": "json"}, ("format",)),
        ({"format": "gif", "quality": 50}, ("quality",)),
        ({"format": "npz", "scale": 2}, ("scale",)),
        ({"scale": 100}, ("scale",)),
        ({"n": 3}, ("n",)),
    ],
)
def test_a_wrong_field_is_named(client, change, field):
    refused(client.post("/interpolate", json={"seeds": [1, 2], "frames": 32, **change}), 422, field)


def test_seeds_are_needed(client):
    refused(client.post("/interpolate"), 422, ("seeds",))
    refused(client.get("/interpolate"), 405)
