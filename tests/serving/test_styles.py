"""Models of two networks: truncation, noise and interpolation act on the styles between them."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gan import model_folder, runtimes
from gan.latents import InputSpec, inputs_of_seeds
from gan.networks import stylegan2
from serving.models import Models
from serving.settings import Settings
from tests.services import serving
from tests.serving.test_api import refused
from tests.serving.test_edit import with_directions
from training.convert import folder
from training.convert.kinds.base import Recognised

ARGUMENTS = {"w_dim": 16, "layers": 2, "widths": [8, 8, 8], "clamp": 256.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A StyleGAN2 of 16x16 images in three classes."""
    torch.manual_seed(1)
    generator = stylegan2.Generator(InputSpec(12, classes=3), 3, (16, 16), **ARGUMENTS).eval().requires_grad_(False)
    generator.mapping.w_avg.normal_(0, 0.3)
    for layer in generator.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.normal_(0, 1.5 * layer.in_features**-0.5)
    path = tmp_path_factory.mktemp("models") / "styled"
    found = Recognised("StyleGAN2", "stylegan2", ARGUMENTS, generator, 3, (16, 16), {})
    folder.write(found, "file", "0" * 64, path, "styled", "none", ["ash", "birch", "cedar"])
    return path


@pytest.fixture(scope="module")
def client(model):
    with serving(model.parent, default_model="styled") as client:
        yield client


def drawn(client, **fields):
    answer = client.post("/generate", json={**fields, "format": "npz"})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))["images"]


def test_truncation_goes_from_the_mean_style_to_the_seeds_own(client):
    plain, whole, none = (drawn(client, seeds=[1, 2], label=0, truncation=psi) for psi in (None, 1, 0))
    assert np.array_equal(plain, whole)
    assert np.array_equal(none[0], none[1])  # the mean style, whatever the seed
    assert not np.array_equal(plain[0], plain[1])
    little = drawn(client, seeds=[1, 2], label=0, truncation=0.1)
    apart = [np.abs(one.astype(int)[0] - one[1]).mean() for one in (plain, little, none)]
    assert apart[0] > apart[1] > apart[2] == 0


def test_truncation_is_that_of_styles_and_not_of_latents(client, model):
    runtime = runtimes.load(model_folder.read(model), "onnx", threads=1)
    rows = inputs_of_seeds([5], InputSpec(12, classes=3))
    w, mean = (runtime.complete(rows, psi)["ws"] for psi in (1.0, 0.0))
    expected = runtimes.generate_images(runtime, {"ws": mean + np.float32(0.25) * (w - mean)})
    assert np.array_equal(drawn(client, seed=5, truncation=0.25), expected)


def test_an_image_is_the_same_alone_and_beside_others_of_any_truncation(client):
    for psi in (None, 0.7):
        alone = np.concatenate([drawn(client, seed=seed, truncation=psi) for seed in range(9)])
        assert np.array_equal(drawn(client, seed=0, n=9, truncation=psi), alone)


def test_noise_is_mapped_and_truncated_too(client):
    rows = inputs_of_seeds([3], InputSpec(12, classes=3))
    noise = {"noise": rows["z"].astype(float).tolist(), "label": int(rows["label"][0])}
    for psi in (None, 0.5):
        given = {} if psi is None else {"truncation": psi}
        assert np.array_equal(drawn(client, **noise, **given), drawn(client, seed=3, truncation=psi))


def test_an_interpolation_goes_straight_from_style_to_style_in_one_class(client, model):
    answer = client.post("/interpolate", json={"seeds": [1, 2], "frames": 5, "format": "zip", "truncation": 0.8})
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as film:
        frames = [np.asarray(Image.open(io.BytesIO(film.read(name))).convert("RGB")) for name in sorted(film.namelist())]
    runtime = runtimes.load(model_folder.read(model), "onnx", threads=1)
    rows = inputs_of_seeds([1, 2], InputSpec(12, classes=3))
    rows["label"][1] = rows["label"][0]
    ws = runtime.complete(rows, 0.8)["ws"]
    steps = np.stack([(1 - t) * ws[0] + t * ws[1] for t in np.linspace(0, 1, 5, dtype=np.float32)]).astype(np.float32)
    expected = runtimes.generate_images(runtime, {"ws": steps}).astype(int)
    assert np.abs(np.stack(frames) - expected).max() <= 1
    assert np.array_equal(frames[0], drawn(client, seed=1, truncation=0.8)[0])


def test_the_manifest_says_what_is_truncated(client):
    (about,) = client.get("/models").json()["models"]
    assert about["sampling"] == {"truncation": None, "truncation_space": "w"}
    assert about["styles"] == {"layers": 6, "size": 16}
    assert set(about["files"]) >= {"mapping.onnx", "synthesis.onnx", "generator.safetensors"}


@pytest.mark.parametrize("name", ["mapping.onnx", "synthesis.onnx"])
def test_a_damaged_network_is_not_served(model, tmp_path, name):
    copy = tmp_path / "styled"
    model_folder.copy(model, copy)
    with (copy / name).open("r+b") as file:
        file.write(b"damage")
    with pytest.raises(model_folder.ModelFolderError, match=f"{name} is damaged"):
        Models(Settings(models=tmp_path, default_model="styled"))


def test_a_blend_lies_between_styles(client):
    way = client.post("/interpolate", json={"seeds": [1, 2], "label": 0, "frames": 3, "format": "npz"})
    middle = np.load(io.BytesIO(way.content))["images"][1:2]
    assert np.array_equal(drawn(client, blend=[[1, 1], [2, 1]], label=0), middle)
    answer = client.post("/generate", json={"blend": [[1, 1], [2, 1]], "label": 0, "format": "json", "latents": True}).json()
    assert answer["images"][0]["noise"] is None  # no latent vector has this style


def test_pictures_are_inverted_through_styles(client):
    png = client.post("/generate", json={"seed": 5, "label": 1}).content
    answer = client.post("/invert", params={"iterations": 30}, content=png, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["images"]
    assert found["label"] == "birch"
    assert found["psnr"] > 35
    again = drawn(client, noise=[found["noise"]], label="birch").astype(int)
    assert np.abs(again - drawn(client, seed=5, label=1)).mean() < 4


def edited(client, **fields):
    answer = client.post("/edit", json={**fields, "format": "npz"})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))["images"]


def test_styles_are_mixed_by_layer(client):
    layers = client.get("/models/styled").json()["styles"]["layers"]
    one, two = (drawn(client, seed=seed, label=1, truncation=0.8) for seed in (1, 2))

    def mixed(*which):
        return edited(client, seed=1, label=1, truncation=0.8, mix={"seed": 2, "layers": list(which)})

    assert np.array_equal(mixed(*range(layers)), two)
    assert np.array_equal(edited(client, seed=1, label=1, truncation=0.8), one)
    coarse, fine = mixed(0), mixed(layers - 1)
    assert not any(np.array_equal(coarse, other) for other in (one, two, fine))
    assert not np.array_equal(fine, one)
    png = client.post("/generate", json={"seed": 1, "label": 1}).content
    query = f"/edit?iterations=1&mix=seed:2;layers:{','.join(map(str, range(layers)))}&label=1&format=npz"
    answer = client.post(query, content=png, headers={"Content-Type": "image/png"})
    assert np.array_equal(np.load(io.BytesIO(answer.content))["images"], drawn(client, seed=2, label=1))
    answer = client.post("/edit", json={"seed": 1, "mix": {"seed": 2, "layers": [0]}, "format": "json", "latents": True})
    assert answer.json()["images"][0]["noise"] is None  # no latent vector has these styles
    refused(client.post("/edit", json={"seed": 1, "mix": {"seed": 2, "layers": [0, layers]}}), 422, ("mix", "layers", 1))


def test_moves_are_in_the_space_of_styles(model, tmp_path):
    direction = np.random.default_rng(0).normal(size=16)
    with_directions(model, tmp_path / "styled", {"age": direction})
    spec = model_folder.read(model).manifest.input_spec
    with serving(tmp_path) as client:
        runtime = client.api._models.get(None).runtime
        rows = runtime.complete(inputs_of_seeds([3], spec) | {"label": np.array([1])})
        expected = runtimes.generate_images(runtime, {**rows, "ws": rows["ws"] + 2 * direction.astype(np.float32)})
        assert np.abs(edited(client, seed=3, label=1, move={"age": 2}).astype(int) - expected).max() <= 1
