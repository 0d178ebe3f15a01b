"""A model in a program gives what the service gives."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import gan
from gan.errors import ModelFolderError
from gan.model.drawing import Mix
from gan.model.model import UsageError
from tests.services import serving
from tests.serving.test_edit import with_directions
from tests.serving.test_score import with_scorer
from tests.serving.test_styles import model as styled  # noqa: F401

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def folder(conditional, tmp_path_factory):
    """A conditional model with a direction for each class."""
    target = tmp_path_factory.mktemp("models") / conditional.model.name
    with_directions(conditional.model, target, {"width": np.random.default_rng(1).normal(size=(10, 100))})
    return target


@pytest.fixture(scope="module")
def model(folder):
    return gan.load(folder, threads=1)


@pytest.fixture(scope="module")
def client(folder):
    with serving(folder.parent) as client:
        yield client


def answered(client, route, **fields):
    answer = client.post(route, json={"format": "npz", **fields})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))["images"]


def test_images_are_the_services_bytes(model, client):
    images = model.generate(seeds=range(40))
    assert (images.dtype, images.shape) == (np.uint8, (40, 32, 32, 1))
    assert np.array_equal(images, answered(client, "/generate", seed=0, n=40))
    labelled = model.generate(range(3), label="Bag", truncation=0.5)
    assert np.array_equal(labelled, answered(client, "/generate", seed=0, n=3, label="Bag", truncation=0.5))
    assert np.array_equal(model.generate([1, 2], label=[3, "Coat"]), answered(client, "/generate", seeds=[1, 2], label=[3, "Coat"]))
    assert np.array_equal(model.generate([1, 2], label=["BAG", "coat"]), model.generate([1, 2], label=["Bag", "Coat"]))
    assert np.array_equal(model.generate(np.arange(2), label=np.int64(8)), model.generate([0, 1], label="Bag"))
    noise = model.inputs(range(3))["z"]
    assert np.array_equal(
        model.generate(noise=noise, label="Bag"), answered(client, "/generate", noise=noise.tolist(), label="Bag")
    )


def test_interpolations_are_the_services_bytes(model, client):
    fields = {"frames": 7, "loop": True, "truncation": 0.7}
    assert np.array_equal(model.interpolate([3, 4], **fields), answered(client, "/interpolate", seeds=[3, 4], **fields))
    noise = model.inputs([3, 4])["z"]
    ours = model.interpolate(noise=noise, frames=5, label="Bag")
    assert np.array_equal(ours, answered(client, "/interpolate", noise=noise.tolist(), frames=5, label="Bag"))


def test_pictures_are_inverted_and_edited_as_the_service_does(model, client, tmp_path):
    png = client.post("/generate", json={"seed": 7, "label": "Bag", "scale": 2}).content
    (theirs,) = client.post("/invert?iterations=3", content=png, headers=PNG).json()["images"]
    (tmp_path / "bag.png").write_bytes(png)
    for picture in (png, tmp_path / "bag.png", str(tmp_path / "bag.png"), Image.open(io.BytesIO(png))):
        (ours,) = model.invert([picture], iterations=3)
        assert ours.z.tolist() == theirs["noise"]
        assert model.manifest.classes[ours.label] == theirs["label"] == "Bag"
    (pixels,) = model.invert([np.asarray(Image.open(io.BytesIO(png)))], iterations=3, label="Bag")
    assert np.array_equal(pixels.z, ours.z)
    answer = client.post("/edit?iterations=3&move=width:2&label=Coat&format=npz", content=png, headers=PNG)
    expected = np.load(io.BytesIO(answer.content))["images"]
    assert np.array_equal(model.edit(found=[ours], move={"width": 2}, label="Coat"), expected)


def test_edits_are_the_services_bytes(model, client):
    assert np.array_equal(
        model.edit([1, 2], move={"width": -1.5}, label="Bag"),
        answered(client, "/edit", seeds=[1, 2], move={"width": -1.5}, label="Bag"),
    )
    assert np.array_equal(
        model.edit([1], move={"width": (-2.0, 2.0)}, steps=5, label=8),
        answered(client, "/edit", seed=1, move={"width": [-2, 2]}, steps=5, label=8),
    )
    assert np.array_equal(
        model.edit([1], move={"width": 2}, steps=3), answered(client, "/edit", seed=1, move={"width": 2}, steps=3)
    )


def test_styles_are_mixed(styled):  # noqa: F811
    model = gan.load(styled, threads=1)
    layers = model.manifest.styles.layers
    assert np.array_equal(model.edit([1], label=1, mix=Mix(2, tuple(range(layers)))), model.generate([2], label=1))
    assert np.array_equal(model.edit([1], label=1, mix=Mix(2, ())), model.generate([1], label=1))


def test_pictures_are_scored(trained, tmp_path):
    with_scorer(trained.model, tmp_path / "scored")
    model = gan.load(tmp_path / "scored", threads=1)
    found = model.score([np.full((32, 32), level, np.uint8) for level in (0, 255)])
    np.testing.assert_allclose(found.scores, [-1, 1])
    np.testing.assert_allclose(found.shares, [1, 0])
    assert found.drawn.shape == (2, 1, 32, 32)
    assert found.labels is None


def test_what_a_model_does_not_have_is_said(model, trained):
    plain = gan.load(trained.model, threads=1)
    for call, message in (
        (lambda: model.generate(), "give either seeds or noise"),
        (lambda: model.generate([1], noise=np.zeros((1, 100))), "give either seeds or noise"),
        (lambda: model.generate([1], label="Hat"), "there is no class 'Hat': there is 'T-shirt/top'"),
        (lambda: model.generate([]), "there is nothing to draw"),
        (lambda: model.generate([1], label=10), "there is no class 10"),
        (lambda: model.generate([1], label=1.5), "there is no class 1.5"),
        (lambda: model.generate([1], label=[1.5]), "there is no class 1.5"),
        (lambda: model.generate([1], truncation=0), "truncation must be over 0, and at most 1, not 0"),
        (lambda: model.generate([1], truncation=1.5), "truncation must be over 0, and at most 1, not 1.5"),
        (lambda: model.generate(noise=np.full((1, 100), np.nan), label=1), "noise has values that are no numbers"),
        (lambda: model.generate([1], label=[1, 2]), "label has 2 items for 1 images"),
        (lambda: model.generate([1], codes={"tilt": 1}), "there is no code tilt: there is none"),
        (lambda: model.generate(noise=np.zeros((1, 100))), "label must be given with noise"),
        (lambda: model.generate(noise=np.zeros((1, 99)), label=1), r"noise of this model is \[n, 100\], not \[1, 99\]"),
        (lambda: model.generate(noise=np.zeros((1, 100)), label=1, truncation=0.5), "truncation is for seeds"),
        (lambda: model.edit([1], mix=Mix(1, (0,))), "mix is for models with styles"),
        (lambda: model.edit([1, 2], steps=3), "steps are those of one image, not of 2"),
        (lambda: model.edit([1], steps=0), "steps must be 1 or more, not 0"),
        (lambda: model.invert([b"no picture"]), "a picture cannot be read"),
        (lambda: model.invert(["/nowhere.png"]), "a picture cannot be read: .*nowhere"),
        (lambda: model.score([b""]), "has no score: make one"),
        (lambda: plain.generate([1], label=1), "this model has no labels"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
    with pytest.raises(ModelFolderError, match="there is no engine abacus: take onnx"):
        gan.load(trained.model, "abacus")
    with pytest.raises(ValueError, match="there is no direction tilt"):
        model.edit([1], move={"tilt": 1})
    with pytest.raises(AttributeError):
        gan.nothing  # noqa: B018


def test_it_needs_no_torch(trained):
    program = "import gan, sys; print(gan.load(sys.argv[1]).generate(range(2)).shape, 'torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program, str(trained.model)], capture_output=True, text=True)
    assert output.stdout == "(2, 32, 32, 1) False\n", output.stderr
