"""POST /edit: images of seeds, latent vectors or pictures, moved along directions, or drawn as another class."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageSequence
from safetensors.numpy import save_file

from gan import model_folder
from gan.latents import InputSpec, inputs_of_seeds
from gan.manifest import DIRECTIONS, MANIFEST
from tests.services import serving
from tests.serving.test_api import pixels, refused

SPEC = InputSpec(100)
PNG = {"Content-Type": "image/png"}
MADE_UP = "a direction that a test made up"


def with_directions(folder, target, arrays):
    """A copy of a model folder that has some directions."""
    shutil.copytree(folder, target)
    save_file({name: array.astype(np.float32) for name, array in arrays.items()}, target / DIRECTIONS)
    manifest = json.loads((target / MANIFEST).read_text())
    manifest["directions"] = [{"name": name, "kind": "regression", "about": MADE_UP} for name in arrays]
    manifest["files"] |= model_folder.digests(target, [DIRECTIONS])
    (target / MANIFEST).write_text(json.dumps(manifest))


def directions():
    random = np.random.default_rng(0)
    found = {name: random.normal(size=100) for name in ("width", "tilt")}
    return {name: array / np.linalg.norm(array) for name, array in found.items()}


@pytest.fixture(scope="module")
def client(trained, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    with_directions(trained.model, models / trained.model.name, directions())
    with serving(models) as client:
        yield client


@pytest.fixture(scope="module")
def labelled(conditional, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    each = np.random.default_rng(1).normal(size=(10, 100))
    with_directions(conditional.model, models / conditional.model.name, {"width": each})
    with serving(models) as client:
        yield client


def arrays(answer):
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))["images"]


def edited(client, **fields):
    return arrays(client.post("/edit", json={"format": "npz", **fields}))


def drawn(client, **fields):
    return arrays(client.post("/generate", json={"format": "npz", **fields}))


def moved(z, **units):
    after = z.astype(np.float64) + sum(amount * directions()[name] for name, amount in units.items())
    return (after * np.linalg.norm(z) / np.linalg.norm(after)).tolist()


def test_a_move_goes_along_the_sphere_of_latent_vectors(client):
    z = inputs_of_seeds([7], SPEC)["z"][0]
    expected = drawn(client, noise=[moved(z, width=2, tilt=-1.5)])
    assert np.array_equal(edited(client, seed=7, move={"width": 2, "tilt": -1.5}), expected)
    assert np.array_equal(edited(client, noise=[z.tolist()], move={"width": 2, "tilt": -1.5}), expected)
    assert not np.array_equal(expected, drawn(client, seed=7))
    assert np.array_equal(edited(client, seed=7), drawn(client, seed=7))
    assert np.array_equal(edited(client, seed=7, move={"width": 0}), drawn(client, seed=7))


def test_several_images_are_edited_at_once(client):
    each = [edited(client, seed=seed, move={"tilt": 3})[0] for seed in (5, 1, 5)]
    assert np.array_equal(edited(client, seeds=[5, 1, 5], move={"tilt": 3}), each)


def test_a_picture_is_edited_by_way_of_its_latent_vector(client):
    png = client.post("/generate", json={"seed": 1007}).content
    (found,) = client.post("/invert?iterations=3", content=png, headers=PNG).json()["images"]
    answer = client.post("/edit?iterations=3&move=width:2;tilt:-1&format=npz", content=png, headers=PNG)
    assert np.array_equal(arrays(answer), edited(client, noise=[found["noise"]], move={"width": 2, "tilt": -1}))
    assert "search" in answer.headers["server-timing"]
    assert "infer" in answer.headers["server-timing"]
    form = client.post(
        "/edit", files={"image": ("a.png", png)}, data={"fields": '{"iterations": 3, "move": {"width": 2, "tilt": -1}}'}
    )
    assert np.array_equal(pixels(form.content), arrays(answer)[0, :, :, 0])


def test_the_steps_of_a_move(client):
    z = inputs_of_seeds([7], SPEC)["z"][0]
    expected = drawn(client, noise=[moved(z, width=amount) for amount in (0, 0.75, 1.5, 2.25, 3)])
    strip = edited(client, seed=7, move={"width": 3}, steps=5)
    assert np.abs(strip.astype(int) - expected).max() <= 1
    assert np.array_equal(strip[0], drawn(client, seed=7)[0])
    assert np.array_equal(strip[-1], edited(client, seed=7, move={"width": 3})[0])
    both = edited(client, seed=7, move={"width": [-3, 3]}, steps=3)
    assert np.array_equal(both[0], edited(client, seed=7, move={"width": -3})[0])
    assert np.array_equal(both[2], strip[-1])
    assert np.array_equal(
        arrays(client.post("/edit", json={"seed": 7, "move": {"width": [-3, 3]}, "steps": 3, "format": "npz"})), both
    )
    sheet = client.post("/edit", json={"seed": 7, "move": {"width": 3}, "steps": 5, "format": "png", "scale": 2})
    assert pixels(sheet.content).shape == (64, 5 * 64)
    for name in ("webp", "gif"):
        image = Image.open(
            io.BytesIO(client.post("/edit", json={"seed": 7, "move": {"width": 3}, "steps": 5, "format": name}).content)
        )
        assert image.format.lower() == name
        assert len(list(ImageSequence.Iterator(image))) > 1


def test_every_format_of_generate(client):
    for name in ("png", "webp", "jpeg"):
        answer = client.post("/edit", json={"seed": 7, "move": {"width": 1}, "format": name})
        assert Image.open(io.BytesIO(answer.content)).format.lower() == name
        assert "-edited." in answer.headers["content-disposition"]
    (image,) = client.post("/edit", json={"seed": 7, "move": {"width": 1}, "format": "json", "latents": True}).json()["images"]
    assert image["seed"] is None  # the seed draws another image
    assert np.array_equal(drawn(client, noise=[image["noise"]]), edited(client, seed=7, move={"width": 1}))
    assert client.post("/edit", json={"seed": 7}, headers={"Accept": "image/webp"}).headers["content-type"] == "image/webp"
    assert client.post("/edit", json={"seed": 7}, headers={"Accept": "text/html"}).status_code == 406


def test_the_label_can_be_switched(labelled):
    own = labelled.post("/generate", json={"seed": 7, "format": "json", "latents": True}).json()["images"][0]
    other = "Bag" if own["label"] != "Bag" else "Coat"
    assert np.array_equal(edited(labelled, seed=7, label=other), drawn(labelled, noise=[own["noise"]], label=other))
    png = labelled.post("/generate", json={"seed": 7, "label": "Bag"}).content
    (found,) = labelled.post("/invert?iterations=3", content=png, headers=PNG).json()["images"]
    answer = labelled.post("/edit?iterations=3&label=Coat&format=npz", content=png, headers=PNG)
    assert np.array_equal(arrays(answer), drawn(labelled, noise=[found["noise"]], label="Coat"))
    answer = labelled.post("/edit?iterations=3&picture_label=Bag&format=json", content=png, headers=PNG)
    assert answer.json()["images"][0]["label"] == "Bag"
    refused(labelled.post("/edit?picture_label=Hat", content=png, headers=PNG), 422, ("picture_label",))
    refused(labelled.post("/edit", json={"noise": [own["noise"]]}), 422, ("label",))


def test_each_class_has_a_direction_of_its_own(labelled):
    each = np.random.default_rng(1).normal(size=(10, 100)).astype(np.float32).astype(np.float64)
    z = inputs_of_seeds([7], InputSpec(100, classes=10))["z"][0]
    for label in (2, 8):
        after = z + 2 * each[label]
        noise = (after * np.linalg.norm(z) / np.linalg.norm(after)).tolist()
        assert np.array_equal(edited(labelled, seed=7, label=label, move={"width": 2}), drawn(labelled, noise=[noise], label=label))


def test_edits_that_cannot_be(client):
    png = client.post("/generate", json={"seed": 1}).content
    cases = [
        ({}, ("seed",)),
        ({"seed": 1, "seeds": [1]}, ("seeds",)),
        ({"seed": 1, "noise": [[0.0] * 100]}, ("noise",)),
        ({"noise": [[0.0] * 99]}, ("noise", 0)),
        ({"seed": 1, "move": {"height": 1}}, ("move", "height")),
        ({"seed": 1, "move": {"width": 3.1}}, ("move", "width")),
        ({"seed": 1, "move": {"width": "2"}}, ("move", "width")),
        ({"seed": 1, "move": {"width": [1]}, "steps": 2}, ("move", "width")),
        ({"seed": 1, "move": {"width": [0, 4]}, "steps": 2}, ("move", "width", 1)),
        ({"seed": 1, "move": {"width": [1, 2]}}, ("move", "width")),
        ({"seed": 1, "move": 3}, ("move",)),
        ({"seed": 1, "steps": 1}, ("steps",)),
        ({"seed": 1, "steps": 241}, ("steps",)),
        ({"seeds": [1, 2], "steps": 3}, ("steps",)),
        ({"seed": 1, "steps": 3, "format": "jpeg"}, ("format",)),
        ({"seed": 1, "steps": 3, "columns": 2}, ("columns",)),
        ({"seed": 1, "format": "gif"}, ("format",)),
        ({"seed": 1, "fps": 5}, ("fps",)),
        ({"seed": 1, "label": 1}, ("label",)),
        ({"seed": 1, "picture_label": 1}, ("picture_label",)),
        ({"seed": 1, "mix": {"seed": 2, "layers": [0]}}, ("mix",)),
        ({"seed": 1, "mix": {"seed": 2}}, ("mix", "layers")),
        ({"noise": [[0.0] * 100], "truncation": 0.5}, ("truncation",)),
        ({"seed": 1, "codes": {"a": 1}}, ("codes", "a")),
        ({"seed": 1, "n": 3}, ("n",)),
        ({"seed": 1, "scale": 200}, ("scale",)),
    ]
    for fields, place in cases:
        refused(client.post("/edit", json=fields), 422, place)
    refused(client.post("/edit?seed=1", content=png, headers=PNG), 422, ("image",))
    refused(client.post("/edit?truncation=0.5", content=png, headers=PNG), 422, ("truncation",))
    refused(client.post("/edit?move=width", content=png, headers=PNG), 422, ("move",))
    refused(client.post("/edit", content=b"no picture", headers=PNG), 422, ("image",))
    assert "there is width, tilt" in client.post("/edit", json={"seed": 1, "move": {"height": 1}}).json()["detail"]


def test_a_model_without_directions_says_how_to_make_some(trained):
    with serving(trained.models) as client:
        problem = refused(client.post("/edit", json={"seed": 1, "move": {"width": 1}}), 422, ("move", "width"))
        assert "python -m training.directions makes some" in problem["detail"]


def test_directions_are_part_of_the_manifest(client):
    (manifest,) = client.get("/models").json()["models"]
    assert [one["name"] for one in manifest["directions"]] == ["width", "tilt"]
    assert manifest["directions"][0]["about"] == MADE_UP
