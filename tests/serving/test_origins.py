"""Files of images say which model and seed they are of."""

import base64
import io
import json
import zipfile

import pytest
from PIL import Image

from gan import model_folder
from gan.latents import InputSpec, inputs_of_seed
from serving.filenames import content_disposition, stem
from tests.conftest import latents
from tests.gan.images.test_encoding import told
from tests.serving.test_api import images
from tests.serving.test_labels import GARMENTS, serving


@pytest.fixture(scope="module")
def labelled(conditional):
    with serving(conditional.models) as client:
        yield client


@pytest.fixture(scope="module")
def title(conditional):
    return f"{model_folder.read(conditional.model).manifest.name}@{model_folder.read(conditional.model).manifest.version}"


def origin(client, **asked):
    response = client.post("/generate", json=asked)
    assert response.status_code == 200, response.text
    found = told(response.content)
    return None if found is None else json.loads(found)


@pytest.mark.parametrize("name", ["png", "webp", "jpeg"])
def test_a_image_says_what_it_is_of(labelled, title, name):
    asked = {"seed": 7, "label": "Bag", "truncation": 0.5, "format": name}
    assert origin(labelled, **asked) == {"model": title, "seed": 7, "label": "Bag", "truncation": 0.5}
    own = GARMENTS[inputs_of_seed(7, InputSpec(100, classes=10)).label]
    assert origin(labelled, seed=7, format=name) == {"model": title, "seed": 7, "label": own, "truncation": None}
    both = origin(labelled, seeds=[7, 3], label=["Bag", 0], format=name)
    assert both == {"model": title, "seeds": [7, 3], "labels": ["Bag", "T-shirt/top"], "truncation": None}


def test_a_image_without_a_seed_says_nothing(client):
    noise = latents([7, 8]).tolist()
    for name in ("png", "webp", "jpeg"):
        assert origin(client, noise=noise[:1], format=name) is None
        assert origin(client, noise=noise, format=name) is None
    (image,) = images(client.post("/generate", json={"noise": noise[:1], "format": "json"}))
    assert told(base64.b64decode(image["data"])) is None


def test_an_unconditional_model_has_no_label(client):
    assert origin(client, seed=7)["label"] is None


def test_every_image_can_be_had_again_alone_byte_for_byte(labelled):
    asked = {"seed": 7, "n": 3, "scale": 2, "truncation": 0.7}
    archive = zipfile.ZipFile(io.BytesIO(labelled.post("/generate", json={**asked, "format": "zip"}).content))
    in_json = images(labelled.post("/generate", json={**asked, "format": "json"}))
    for place, name in enumerate(archive.namelist()):
        alone = {"seed": 7 + place, "scale": 2, "truncation": 0.7}
        expected = labelled.post("/generate", json=alone).content
        assert archive.read(name) == base64.b64decode(in_json[place]["data"]) == expected
        # Asked for or the seed's own, it is the same label and so the same file.
        said = json.loads(told(expected))
        again = labelled.post(
            "/generate", json={"model": said["model"], "seed": said["seed"], "label": said["label"], "truncation": 0.7, "scale": 2}
        )
        assert again.content == expected
        assert labelled.get(f"/generate?seeds={7 + place}&scale=2&truncation=0.7").content == expected


@pytest.mark.parametrize("name", ["webp", "gif", "png"])
@pytest.mark.parametrize("seeds", [[7, 8], [7, 7]])
def test_an_animation_says_its_way(labelled, title, name, seeds):
    asked = {"seeds": seeds, "frames": 4, "label": "Bag", "loop": True, "format": name}
    said = json.loads(told(labelled.post("/interpolate", json=asked).content))
    assert said == {"model": title, "seeds": seeds, "label": "Bag", "truncation": None, "frames": 4, "loop": True}


def test_a_frame_says_its_way_and_its_place(labelled):
    response = labelled.post("/interpolate", json={"seeds": [7, 8], "frames": 3, "format": "zip"})
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    said = [json.loads(told(archive.read(name))) for name in archive.namelist()]
    assert [frame["frame"] for frame in said] == [0, 1, 2]
    assert said[0]["seeds"] == [7, 8]


def test_however_many_images_a_sheet_shows_its_file_can_be_written(conditional):
    with serving(conditional.models, max_n=5000, max_pixels=2**24, queue=5000) as client:
        for name in ("jpeg", "png"):
            response = client.post("/generate", json={"seed": 5, "n": 3000, "format": name})
            assert {"seed": 5, "n": 3000}.items() <= json.loads(told(response.content)).items()
            assert Image.open(io.BytesIO(response.content)).size[0] > 1000


@pytest.mark.parametrize(
    ("label", "plain", "encoded"),
    [
        ("Bag", "m-seed0000000007-Bag.png", None),
        ("T-shirt/top", "m-seed0000000007-T-shirt_top.png", None),
        ("Coat, red", "m-seed0000000007-Coat_ red.png", "m-seed0000000007-Coat%2C%20red.png"),
        ('a"b\\c\r\nd', "m-seed0000000007-a_b_c__d.png", None),
        ("../../etc", "m-seed0000000007-_.._etc.png", None),
        ("caf\u00e9", "m-seed0000000007-cafe.png", "m-seed0000000007-caf%C3%A9.png"),
        ("cafe\u0301", "m-seed0000000007-cafe.png", "m-seed0000000007-caf%C3%A9.png"),
        ("\u732b", "m-seed0000000007-.png", "m-seed0000000007-%E7%8C%AB.png"),
    ],
)
def test_a_label_in_a_file_name(label, plain, encoded):
    expected = f'inline; filename="{plain}"' + ("" if encoded is None else f"; filename*=UTF-8''{encoded}")
    assert content_disposition(stem("m", [7], label), "png") == expected
    assert len(content_disposition(stem("m" * 100, [7], "\u732b" * 1000), "png")) < 1000


def test_the_file_has_the_label_that_was_asked_for(labelled):
    named = labelled.post("/generate", json={"seed": 7, "label": "T-shirt/top"}).headers["content-disposition"]
    assert named.endswith('-seed0000000007-T-shirt_top.png"')
    assert "Bag" not in labelled.post("/generate", json={"seed": 7, "n": 2, "label": ["Bag", 1]}).headers["content-disposition"]
    assert "Bag" in labelled.post("/generate", json={"seed": 7, "n": 2, "label": "Bag"}).headers["content-disposition"]
