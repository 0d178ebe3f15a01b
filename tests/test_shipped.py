"""The models in models/, as the service answers with them."""

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from gan import model_folder
from gan.networks.layers.conditioning import inputs_as_tensors
from gan.runtimes.torchscript import load_module
from tests.test_whole_path import image, serving

MODELS = Path(__file__).parents[1] / "models"
NAMES = ("avatars", "fashion-mnist", "fashion-mnist-dcgan")


@pytest.fixture(scope="module")
def client():
    with serving(MODELS) as client:
        yield client


def test_the_avatars_are_the_default_and_the_others_stand_beside_them(client):
    listed = client.get("/models").json()
    assert listed["default"] == "avatars"
    avatars, garments, dcgan = listed["models"]
    assert (avatars["name"], garments["name"], dcgan["name"]) == NAMES
    assert avatars["classes"] == ["lorelei", "notionists", "open-peeps", "pixel-art"]
    assert "Sneaker" in garments["classes"]
    assert dcgan["classes"] is None


@pytest.mark.parametrize("name", NAMES)
def test_every_one_draws_the_grid_that_it_was_exported_with(client, name):
    drawn = image(client.post("/generate", json={"model": name, "seed": 0, "n": 64}))
    with Image.open(MODELS / name / "samples.png") as shipped:
        assert np.abs(drawn - np.asarray(shipped)).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_every_one_is_for_programs_of_2024_and_can_change_type(name):
    folder = model_folder.read(MODELS / name)
    model = onnx.load_model_from_string(folder.content(model_folder.ONNX))
    assert (model.ir_version, [opset.version for opset in model.opset_import]) == (9, [18])
    module = load_module(folder.content(model_folder.TORCHSCRIPT), torch.device("cpu"), torch.float16)
    values = inputs_as_tensors(range(2), folder.manifest.input_spec)
    assert module(values[0].half(), *values[1:]).dtype == torch.float16


@pytest.mark.parametrize("model", ["avatars", "fashion-mnist"])
def test_conditional_models_say_how_good_they_are_and_beside_what(client, model):
    metrics = {metric["name"]: metric for metric in client.get(f"/models/{model}").json()["metrics"]}
    for name in ("frechet", "precision", "recall", "label_accuracy", "share_error", "memorised"):
        assert metrics[name]["protocol"]
        assert metrics[name]["real"] is not None
    card = (MODELS / model / "README.md").read_text()
    figure = f"{metrics['label_accuracy']['value']:.4g} ± {metrics['label_accuracy']['deviation']:.2g}"
    assert f"| label_accuracy | {figure} |" in card


@pytest.mark.parametrize("name", ["avatars", "fashion-mnist"])
def test_models_that_take_pictures_draw_their_own_again_and_know_them_from_noise(client, name):
    own = client.post("/generate", json={"model": name, "seed": 7, "format": "png"}).content
    noise, shape = io.BytesIO(), np.asarray(Image.open(io.BytesIO(own))).shape
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8)).save(noise, "PNG")
    usual, unusual = (
        client.post(f"/score?model={name}", content=content, headers={"Content-Type": "image/png"}).json()["images"][0]
        for content in (own, noise.getvalue())
    )
    assert usual["share"] > 0.05
    assert unusual["share"] == 0
    answer = client.post(f"/invert?model={name}&iterations=0", content=own, headers={"Content-Type": "image/png"})
    assert answer.json()["images"][0]["psnr"] > 18


def test_no_file_is_larger_than_hosts_of_repositories_like():
    assert {path for path in MODELS.rglob("*") if path.stat().st_size > 20_000_000} == set()


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_of_images_and_seeds_that_chose_nothing(client, name):
    for metric in client.get(f"/models/{name}").json()["metrics"]:
        assert "test, seeds 2147483648 to 2147508647" in metric["protocol"]


def test_a_garment_by_name_looks_like_none_of_another_name(client):
    def mean(label):
        body = client.post(
            "/generate", json={"model": "fashion-mnist", "seed": 1, "n": 32, "label": label, "format": "npz"}
        ).content
        return np.load(io.BytesIO(body))["images"].mean(0)

    trouser, bag = mean("Trouser"), mean("Bag")
    # A bag is wide, trousers are narrow: what lies at the edges of the middle row tells them apart.
    assert bag[14:20, 5:9].mean() > 2 * trouser[14:20, 5:9].mean()
