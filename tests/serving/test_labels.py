"""Models that can be asked for a label or for codes, from outside, through HTTP."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gan import atomic, model_folder
from gan.latents import Code, InputSpec, inputs_of_seed, inputs_of_seeds
from gan.manifest import MANIFEST, generator_inputs
from gan.model_folder import ONNX, TORCHSCRIPT, WEIGHTS
from gan.networks import dcgan
from tests.conftest import BACKENDS, latents
from tests.gan.images.test_encoding import told as told_origin
from tests.services import serving
from tests.serving.test_api import refused
from tests.serving.test_messages import post, told
from training.export import export

GARMENTS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
CODES = (Code("shape", categories=4), Code("slant"))


@pytest.fixture(scope="session")
def coded(trained, tmp_path_factory):
    """A model with codes and no labels: untrained, since what codes come to mean is not the service's affair."""
    folder = tmp_path_factory.mktemp("coded") / "coded"
    generator = dcgan.Generator(InputSpec(20, codes=CODES), width=8)
    dcgan.initialise(generator, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(generator.layers[0].weight, generator=torch.Generator().manual_seed(1))
    generator.eval()
    manifest = model_folder.read(trained.model).manifest

    def fill(path):
        save_file(generator.state_dict(), path / WEIGHTS)
        export.export_onnx(generator, path / ONNX, inputs_of_seeds(range(2), generator.input_spec))
        export.export_torchscript(generator, path / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
        files = model_folder.digests(path, [WEIGHTS, ONNX, TORCHSCRIPT])
        changes = {"name": "coded", "version": files[WEIGHTS][:12], "files": files}
        changes["inputs"] = generator_inputs(generator.input_spec, None)
        (path / MANIFEST).write_text(manifest.model_copy(update=changes).model_dump_json())

    atomic.write_atomically(folder, fill)
    return folder


@pytest.fixture(scope="session", params=BACKENDS)
def labelled_client(conditional, request):
    runtime, device = request.param
    with serving(conditional.models, runtime=runtime, device=device) as client:
        yield client


@pytest.fixture(scope="session", params=BACKENDS)
def coded_client(coded, request):
    runtime, device = request.param
    with serving(coded.parent, runtime=runtime, device=device) as client:
        yield client


def arrays(client, **fields):
    response = client.post("/generate", json={**fields, "format": "npz"})
    assert response.status_code == 200, response.text
    return dict(np.load(io.BytesIO(response.content)))


def test_the_manifest_names_the_classes(labelled_client):
    (manifest,) = labelled_client.get("/models").json()["models"]
    assert manifest["classes"] == GARMENTS


def test_a_label_by_name_and_by_index(labelled_client):
    by_name = labelled_client.post("/generate", json={"seed": 5, "label": "Bag"})
    assert by_name.status_code == 200
    assert labelled_client.post("/generate", json={"seed": 5, "label": 8}).content == by_name.content
    assert labelled_client.get("/generate?seed=5&label=Bag").content == by_name.content
    assert labelled_client.get("/generate?seed=5&label=8").content == by_name.content
    assert labelled_client.post("/generate", json={"seed": 5, "label": "Sandal"}).content != by_name.content


def test_without_a_label_the_seed_has_one_and_asking_for_it_changes_nothing(labelled_client):
    input_spec = InputSpec(100, classes=10)
    found = arrays(labelled_client, seed=5, n=20)
    assert found["labels"].dtype == np.int64
    assert found["labels"].tolist() == [inputs_of_seed(seed, input_spec).label for seed in range(5, 25)]
    asked = arrays(labelled_client, seed=5, n=20, label=found["labels"].tolist())
    assert np.array_equal(asked["images"], found["images"])


def test_a_label_for_each_image(labelled_client):
    names = ["Bag", 0, "Coat"]
    together = arrays(labelled_client, seeds=[1, 2, 3], label=names)
    assert together["labels"].tolist() == [8, 0, 4]
    for place, (seed, label) in enumerate(zip([1, 2, 3], names, strict=True)):
        assert np.array_equal(arrays(labelled_client, seed=seed, label=label)["images"][0], together["images"][place])
    got = labelled_client.get("/generate?seeds=1,2,3&label=Bag,0,Coat&format=npz")
    assert np.array_equal(np.load(io.BytesIO(got.content))["images"], together["images"])


def test_json_tells_the_labels_names(labelled_client):
    images = labelled_client.post("/generate", json={"seed": 5, "n": 2, "label": ["Bag", 0], "format": "json"}).json()["images"]
    assert [image["label"] for image in images] == ["Bag", "T-shirt/top"]
    alone = labelled_client.post("/generate", json={"seed": 6, "label": 0})
    assert base64.b64decode(images[1]["data"]) == alone.content


def test_the_etag_covers_the_label(labelled_client):
    tags = {labelled_client.get(f"/generate?seed=5&label={label}").headers["etag"] for label in ("Bag", "8", "Coat")}
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"label": "Hat"}, ("label",)),
        ({"label": "8"}, ("label",)),  # text is a name
        ({"label": 10}, ("label",)),
        ({"label": -1}, ("label",)),
        ({"label": True}, ("label",)),
        ({"label": 1.5}, ("label",)),
        ({"label": []}, ("label",)),
        ({"label": ["Bag", "Coat"], "n": 3}, ("label",)),
        ({"noise": [[0.0] * 100]}, ("label",)),
        ({"codes": {"shape": 1}}, ("codes", "shape")),
    ],
)
def test_a_wrong_label_is_refused(labelled_client, fields, loc):
    response = labelled_client.post("/generate", json=fields)
    assert response.status_code == 422
    assert {tuple(error["loc"][: len(loc)]) for error in response.json()["errors"]} == {loc}


@pytest.mark.parametrize("label", ["1_0", "1_0.0", "+1", "1e0", "1.", "\u0667", "\uff11"])
def test_a_label_of_a_query_that_python_reads_as_a_number_is_a_name(labelled_client, label):
    assert "there is no class" in told(labelled_client.get("/generate", params={"label": label}), ("label",))


def test_noise_needs_a_label_and_has_no_seed(labelled_client):
    noise = latents([5])
    found = arrays(labelled_client, noise=noise.tolist(), label="Bag")
    assert "seeds" not in found
    assert found["labels"].tolist() == [8]
    assert np.array_equal(found["images"], arrays(labelled_client, seed=5, label="Bag")["images"])
    buffer = io.BytesIO()
    np.save(buffer, noise)
    headers = {"Content-Type": "application/x-npy"}
    by_file = labelled_client.post("/generate?label=Bag&format=npz", content=buffer.getvalue(), headers=headers)
    assert np.array_equal(np.load(io.BytesIO(by_file.content))["images"], found["images"])


def test_an_interpolation_keeps_one_label(labelled_client):
    def frames(**fields):
        response = labelled_client.post("/interpolate", json={"seeds": [5, 6], "frames": 5, "format": "npz", **fields})
        assert response.status_code == 200, response.text
        return np.load(io.BytesIO(response.content))["images"]

    bags = frames(label="Bag")
    ends = arrays(labelled_client, seeds=[5, 6], label="Bag")["images"]
    assert np.array_equal(bags[[0, -1]], ends)
    first = inputs_of_seed(5, InputSpec(100, classes=10)).label
    assert np.array_equal(frames(), frames(label=first))


def test_a_label_means_nothing_to_an_unconditional_model(client):
    refused(client.post("/generate", json={"label": 1}), 422, ("label",))
    refused(client.post("/generate", json={"codes": {"slant": 1}}), 422, ("codes", "slant"))


def test_rows_of_different_labels_share_a_batch(labelled_client):
    labels = [k % 10 for k in range(40)]
    together = arrays(labelled_client, seed=0, n=40, label=labels)["images"]
    for place in (0, 7, 16, 39):
        assert np.array_equal(arrays(labelled_client, seed=place, label=labels[place])["images"][0], together[place])


def test_codes_by_name(coded_client):
    plain = arrays(coded_client, seed=7, n=3)["images"]
    drawn = [inputs_of_seed(seed, InputSpec(20, codes=CODES)).codes for seed in (7, 8, 9)]
    own = {name: [codes[name] for codes in drawn] for name in ("shape", "slant")}
    assert np.array_equal(arrays(coded_client, seed=7, n=3, codes=own)["images"], plain)
    one_for_all = arrays(coded_client, seed=7, n=3, codes={"shape": 2, "slant": -0.5})["images"]
    assert not np.array_equal(one_for_all, plain)
    got = coded_client.get("/generate?seed=7&n=3&codes=shape:2;slant:-0.5&format=npz")
    assert np.array_equal(np.load(io.BytesIO(got.content))["images"], one_for_all)
    got = coded_client.get("/generate?seed=7&n=3&codes=shape:2,2,2;slant:-0.5,-0.5,-0.5&format=npz")
    assert np.array_equal(np.load(io.BytesIO(got.content))["images"], one_for_all)


def test_asking_for_one_code_leaves_the_other(coded_client):
    slant = inputs_of_seed(7, InputSpec(20, codes=CODES)).codes["slant"]
    asked = arrays(coded_client, seed=7, codes={"shape": 1})["images"]
    assert np.array_equal(asked, arrays(coded_client, seed=7, codes={"shape": 1, "slant": slant})["images"])


@pytest.mark.parametrize(
    ("codes", "loc"),
    [
        ({"shape": 4}, ("codes", "shape")),
        ({"shape": -1}, ("codes", "shape")),
        ({"shape": 1.5}, ("codes", "shape")),
        ({"shape": "one"}, ("codes", "shape")),
        ({"shape": [1, 2]}, ("codes", "shape")),
        ({"slant": 1e9}, ("codes", "slant")),
        ({"slant": True}, ("codes", "slant")),
        ({"colour": 1}, ("codes", "colour")),
    ],
)
def test_a_wrong_code_is_refused(coded_client, codes, loc):
    response = coded_client.post("/generate", json={"codes": codes})
    assert response.status_code == 422
    assert {tuple(error["loc"][:2]) for error in response.json()["errors"]} == {loc}


def test_codes_have_limits_whether_they_are_written_with_a_point_or_not(coded_client):
    for limit in ("1000", "-1000", "1e3"):
        assert post(coded_client, f'{{"codes": {{"slant": {limit}}}}}').status_code == 200
    for value in ("1001", "-1001", "1000.5", "9" * 39, "1" + "0" * 400, "1e38"):
        for text in (value, f"[{value}]"):
            assert "between -1000 and 1000" in told(post(coded_client, f'{{"codes": {{"slant": {text}}}}}'))
        told(post(coded_client, f'{{"seeds": [1, 2], "codes": {{"slant": {value}}}}}', "/interpolate"), ("codes", "slant"))
        told(post(coded_client, f'{{"codes": {{"shape": {value}}}}}'), ("codes", "shape"))
        told(coded_client.get(f"/generate?codes=slant:{value}"), ("codes", "slant"))
    assert "from 0 to 3" in told(post(coded_client, '{"codes": {"shape": 4}}'), ("codes", "shape"))


def test_a_category_may_be_written_with_a_point(coded_client):
    two = arrays(coded_client, seed=1, codes={"shape": 2})["images"]
    assert (arrays(coded_client, seed=1, codes={"shape": 2.0})["images"] == two).all()
    png = coded_client.post("/generate", json={"seed": 1, "codes": {"shape": 2}}).content
    assert coded_client.get("/generate?seed=1&codes=shape:2.0").content == png
    assert coded_client.get("/generate?seed=1&codes=shape:2&codes=slant:").status_code == 422
    slanted = coded_client.post("/generate", json={"seed": 1, "codes": {"shape": 2, "slant": 0.5}}).content
    assert coded_client.get("/generate?seed=1&codes=shape:2&codes=slant:0.5").content == slanted
    told(coded_client.get("/generate?codes=shape:1;shape:2"), ("codes", "shape"))


def test_a_image_says_the_codes_that_lead_back_to_it(coded_client):
    def said(**asked):
        return json.loads(told_origin(coded_client.post("/generate", json=asked).content))

    own = said(seed=7)
    assert own["codes"] == {
        name: pytest.approx(value) for name, value in inputs_of_seed(7, InputSpec(20, codes=CODES)).codes.items()
    }
    again = {name: own[name] for name in ("model", "seed", "codes")}
    alone = coded_client.post("/generate", json={"seed": 7}).content
    assert coded_client.post("/generate", json=again).content == alone
    assert said(seed=7, n=2)["codes"]["slant"][0] == own["codes"]["slant"]


def test_noise_needs_every_code(coded_client):
    refused(coded_client.post("/generate", json={"noise": [[0.0] * 20], "codes": {"shape": 1}}), 422, ("codes", "slant"))
    assert len(arrays(coded_client, noise=[[0.0] * 20], codes={"shape": 1, "slant": 0})["images"]) == 1


def test_an_interpolation_moves_a_numeric_code_and_holds_a_given_one(coded_client):
    def frames(**fields):
        response = coded_client.post("/interpolate", json={"seeds": [7, 8], "frames": 3, "format": "npz", **fields})
        return np.load(io.BytesIO(response.content))["images"]

    ends = arrays(coded_client, seeds=[7, 8], codes={"shape": 0})["images"]
    assert np.array_equal(frames(codes={"shape": 0})[[0, 2]], ends)
    assert not np.array_equal(frames(codes={"shape": 0, "slant": 0.9})[[0, 2]], ends)


def test_one_service_has_both_and_the_image_is_an_image(trained, conditional, coded, tmp_path):
    for folder in (trained.model, conditional.model, coded):
        shutil.copytree(folder, tmp_path / folder.parts[-3])
    names = {path.name: model_folder.read(path).manifest.name for path in tmp_path.iterdir()}
    if len(set(names.values())) < 3:  # both trained ones have the name that their data and recipe give
        path = tmp_path / conditional.model.parts[-3] / MANIFEST
        path.write_text(path.read_text().replace('"name": "fashion-mnist-dcgan"', '"name": "garments"', 1))
    with serving(tmp_path, default_model="coded") as client:
        for name, fields in (("garments", {"label": "Coat"}), ("coded", {"codes": {"shape": 3}}), ("fashion-mnist-dcgan", {})):
            response = client.post("/generate", json={"model": name, "seed": 1, "n": 4, **fields})
            assert response.headers["x-model"].startswith(f"{name}@")
            assert Image.open(io.BytesIO(response.content)).size == (64, 64)


def invert(client, png, **fields):
    return client.post("/invert", params=fields, content=png, headers={"Content-Type": "image/png"})


def test_the_class_of_a_picture_is_found_or_given(labelled_client):
    png = labelled_client.post("/generate", json={"seed": 3, "label": "Bag"}).content
    (found,) = invert(labelled_client, png, iterations=6).json()["images"]
    assert found["label"] == "Bag"
    (given,) = invert(labelled_client, png, iterations=6, label="bag").json()["images"]
    assert given["label"] == "Bag"
    (other,) = invert(labelled_client, png, iterations=6, label="Trouser").json()["images"]
    assert other["label"] == "Trouser"
    assert other["psnr"] < found["psnr"]
    refused(invert(labelled_client, png, label="Hat"), 422, ("label",))
    two = labelled_client.post("/invert", files=[("image", ("a.png", png))] * 2, data={"label": "Bag,Coat", "iterations": "0"})
    assert [one["label"] for one in two.json()["images"]] == ["Bag", "Coat"]
    refused(
        labelled_client.post("/invert", files=[("image", ("a.png", png))] * 2, data={"label": "Bag,Coat,Dress"}), 422, ("label",)
    )


def test_categories_of_a_picture_are_found_and_numbers_are_0(coded_client):
    latent = latents([5], 20).tolist()
    png = coded_client.post("/generate", json={"noise": latent, "codes": {"shape": 2, "slant": 0}}).content
    (found,) = invert(coded_client, png, iterations=20).json()["images"]
    assert found["codes"] == {"shape": 2, "slant": 0}
    (given,) = invert(coded_client, png, iterations=20, codes="shape:1;slant:0.5").json()["images"]
    assert given["codes"] == {"shape": 1, "slant": 0.5}
    assert given["psnr"] < found["psnr"]
