"""The API from outside, through HTTP."""

import base64
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan import model_folder
from serving.metrics import metrics
from serving.public import public_manifest
from tests.conftest import latents

SHIPPED = Path(__file__).parents[2] / "models" / "fashion-mnist-dcgan"


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def images(response):
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    return response.json()["images"]


def refused(response, status, *fields):
    """The problem document of an answer that must be an error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail"} <= problem.keys() <= {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == status
    assert "Traceback" not in response.text
    if fields:
        assert [tuple(error["loc"]) for error in problem["errors"]] == list(fields)
        assert all(error["msg"] for error in problem["errors"])
        assert str(fields[0][0]) in problem["detail"]
    return problem


def test_a_image_for_a_seed(client, trained):
    response = client.post("/generate", json={"seed": 7})
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-seed"] == "7"
    assert response.headers["x-model"] == f"fashion-mnist-dcgan@{model_folder.read(trained.model).manifest.version}"
    assert pixels(response.content).shape == (32, 32)
    assert client.post("/generate", json={"seed": 7}).content == response.content
    assert client.post("/generate", json={"seed": 8}).content != response.content


def test_a_grid_holds_the_images_of_its_seeds(client):
    sheet = pixels(client.post("/generate", json={"seed": 7, "n": 16}).content)
    assert sheet.shape == (128, 128)
    for place in range(16):
        top, left = 32 * (place // 4), 32 * (place % 4)
        alone = pixels(client.post("/generate", json={"seed": 7 + place}).content)
        assert np.array_equal(sheet[top : top + 32, left : left + 32], alone)


def test_json_has_the_png_of_every_image(client):
    found = images(client.post("/generate", json={"seed": 4294967295, "n": 3, "format": "json"}))
    assert [image["seed"] for image in found] == [4294967295, 0, 1]
    for image in found:
        assert (image["label"], image["format"]) == (None, "png")
        assert base64.b64decode(image["data"]) == client.post("/generate", json={"seed": image["seed"]}).content


def test_json_names_the_model(client):
    response = client.post("/generate", json={"format": "json"})
    assert response.json()["model"] == response.headers["x-model"]


def test_seeds_in_any_order_and_more_than_once(client):
    response = client.post("/generate", json={"seeds": [9, 7, 9], "format": "json"})
    assert response.headers["x-seed"] == "9"
    first, second, third = images(response)
    assert [first["seed"], second["seed"], third["seed"]] == [9, 7, 9]
    assert first == third != second


def test_without_a_seed_one_is_drawn_and_reported(client):
    responses = [client.post("/generate") for _ in range(2)]
    seeds = [int(response.headers["x-seed"]) for response in responses]
    assert seeds[0] != seeds[1]
    assert client.post("/generate", json={"seed": seeds[0]}).content == responses[0].content


def test_noise_is_a_latent_vector_instead_of_a_seed(client):
    response = client.post("/generate", json={"noise": latents([7], 100).tolist()})
    assert "x-seed" not in response.headers
    assert np.array_equal(pixels(response.content), pixels(client.post("/generate", json={"seed": 7}).content))
    (image,) = images(client.post("/generate", json={"noise": [[0] * 100], "format": "json"}))
    assert image["seed"] is None


def test_null_is_the_same_as_absent(client):
    response = client.post("/generate", json={"seed": 7, "n": None, "seeds": None, "noise": None, "model": None, "format": None})
    assert response.content == client.post("/generate", json={"seed": 7}).content


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 256])
def test_as_many_images_as_asked_for(client, n):
    assert len(images(client.post("/generate", json={"seed": 0, "n": n, "format": "json"}))) == n
    columns = math.ceil(math.sqrt(n))
    sheet = pixels(client.post("/generate", json={"seed": 0, "n": n}).content)
    assert sheet.shape == (32 * math.ceil(n / columns), 32 * columns)


def test_a_model_is_chosen_by_name_or_name_and_version(client):
    title = client.post("/generate").headers["x-model"]
    for chosen in ("fashion-mnist-dcgan", title):
        assert client.post("/generate", json={"model": chosen}).headers["x-model"] == title
    for unknown in ("mnist", "fashion-mnist-dcgan@000000000000", ""):
        assert title in refused(client.post("/generate", json={"model": unknown}), 404, ("model",))["detail"]


def test_the_models_are_listed_with_their_manifests(client, trained):
    listed = client.get("/models").json()
    assert listed["default"] == "fashion-mnist-dcgan"
    (manifest,) = listed["models"]
    of_folder = json.loads((trained.model / "model.json").read_text())
    assert manifest == client.get(f"/models/{manifest['name']}").json()
    assert {name: manifest[name] for name in of_folder if name != "origin"} == {
        name: value for name, value in of_folder.items() if name != "origin"
    }
    # The fields of version 1, for programs that know that one
    first = {
        *("architecture", "channels", "classes", "codes", "exports", "files", "format_version", "height", "latent", "licence"),
        *("metrics", "name", "origin", "sampling", "version", "width", "z_dim"),
    }
    assert first <= manifest.keys()
    assert (manifest["z_dim"], manifest["latent"], manifest["classes"], manifest["codes"]) == (100, "normal", None, [])
    assert (manifest["channels"], manifest["height"], manifest["width"]) == (1, 32, 32)
    assert manifest["architecture"] == {"name": "dcgan", "arguments": {"width": 16}}
    assert manifest["exports"].keys() == {"generator.onnx", "generator.torchscript.pt"}
    assert manifest["origin"].keys() == of_folder["origin"].keys()
    assert manifest["origin"]["config"]["batch_size"] == of_folder["origin"]["config"]["batch_size"]


def test_no_answer_tells_of_the_machine_that_trained_a_model(client, trained):
    of_folder = model_folder.read(trained.model).manifest
    of_folder.origin.config.update(
        data="/home/me/pictures", inception_weights="/srv/weights.pth", note="~/notes", cache="C:\\cache"
    )
    shown = json.dumps(public_manifest(of_folder))
    assert of_folder.origin.environment.libraries["torch"] in shown
    for secret in ("/home/me", "/srv", "~/notes", "C:", of_folder.origin.environment.hardware, "git_revision", '"data"'):
        assert secret not in shown
    answers = (client.get("/models"), client.get(f"/models/{of_folder.name}"), client.post(f"/models/{of_folder.name}/reload"))
    for answer in answers:
        assert answer.status_code == 200
        for secret in (of_folder.origin.environment.hardware, "git_revision", "inception_weights", '"data"', "/tests/data"):
            assert secret not in answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sead": 3}, ("sead",)),
        ({"seed": -1}, ("seed",)),
        ({"seed": 2**32}, ("seed",)),
        ({"seed": 10**400}, ("seed",)),
        ({"seed": 1.5}, ("seed",)),
        ({"seed": "7"}, ("seed",)),
        ({"seed": True}, ("seed",)),
        ({"n": 0}, ("n",)),
        ({"n": 257}, ("n",)),
        ({"n": 1.5}, ("n",)),
        ({"n": True}, ("n",)),
        ({"seeds": []}, ("seeds",)),
        ({"seeds": [0, 2**32]}, ("seeds", 1)),
        ({"seeds": list(range(257))}, ("seeds",)),
        ({"seeds": 7}, ("seeds",)),
        ({"seeds": [1], "seed": 1}, ("seed",)),
        ({"seeds": [1], "n": 1}, ("n",)),
        ({"noise": [[0.0] * 100], "seed": 1}, ("seed",)),
        ({"noise": [[0.0] * 100], "seeds": [1]}, ("seeds",)),
        ({"noise": [[0.0] * 100], "n": 1}, ("n",)),
        ({"noise": []}, ("noise",)),
        ({"noise": [[0.0] * 99]}, ("noise", 0)),
        ({"noise": [[0.0] * 100, []]}, ("noise", 1)),
        ({"noise": [[]]}, ("noise", 0)),
        ({"noise": [[0.0] * 99 + [1000.1]]}, ("noise", 0, 99)),
        ({"noise": [[-1001] + [0.0] * 99]}, ("noise", 0, 0)),
        ({"noise": [[0.0] * 99 + ["x"]]}, ("noise", 0, 99)),
        ({"noise": [[0] * 100] * 257}, ("noise",)),
        ({"format": "bmp"}, ("format",)),
        ({"truncation": 0}, ("truncation",)),
        ({"truncation": 1.1}, ("truncation",)),
        ({"truncation": "0.5"}, ("truncation",)),
        ({"truncation": 0.5, "noise": [[0.0] * 100]}, ("truncation",)),
        ({"columns": 0}, ("columns",)),
        ({"columns": 3, "n": 2}, ("columns",)),
        ({"columns": 1, "format": "zip"}, ("columns",)),
        ({"scale": 0}, ("scale",)),
        ({"scale": 1.5}, ("scale",)),
        ({"scale": 2, "format": "npz"}, ("scale",)),
        ({"scale": 257}, ("scale",)),
        ({"quality": 0, "format": "jpeg"}, ("quality",)),
        ({"quality": 101, "format": "webp"}, ("quality",)),
        ({"quality": 50, "format": "png"}, ("quality",)),
        ({"model": 3}, ("model",)),
    ],
)
def test_a_wrong_field_is_named(client, body, field):
    refused(client.post("/generate", json=body), 422, field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_noise_must_be_finite(client, number):
    body = f'{{"noise": [[{", ".join(["0"] * 99)}, {number}]]}}'
    refused(client.post("/generate", content=body, headers={"Content-Type": "application/json"}), 422, ("noise", 0, 99))


def test_every_wrong_field_is_named_at_once(client):
    refused(client.post("/generate", json={"seed": -1, "n": 0, "colour": "red"}), 422, ("seed",), ("n",), ("colour",))


@pytest.mark.parametrize("body", [b"{", b"seed=7", b"\xff", b'{"seed": 7', b"[" * 5000, b'{"seed": 07}'])
def test_what_is_not_json_is_said(client, body):
    problem = refused(client.post("/generate", content=body, headers={"Content-Type": "application/json"}), 400)
    assert "the body is" in problem["detail"]


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b'"seed"'])
def test_json_that_is_no_object_is_said(client, body):
    refused(client.post("/generate", content=body, headers={"Content-Type": "application/json"}), 422, ("body",))


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_another_content_type_is_refused(client, media_type):
    problem = refused(client.post("/generate", content=b'{"seed": 7}', headers={"Content-Type": media_type}), 415)
    assert "application/json" in problem["detail"]


def test_the_content_type_may_have_parameters(client):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/generate", content=b'{"seed": 7}', headers=headers).status_code == 200


def test_a_body_over_the_limit_is_refused(client):
    problem = refused(client.post("/generate", content=b" " * 100_001, headers={"Content-Type": "application/json"}), 413)
    assert "100000 bytes" in problem["detail"]


def test_paths_and_methods_that_do_not_exist(client):
    assert "/generate" in refused(client.get("/nothing"), 404)["detail"]
    response = client.delete("/generate")
    refused(response, 405)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    refused(client.post("/models"), 405)
    refused(client.get("/models/nothing"), 404, ("model",))
    for path in ("/generate/", "/models/", "/generate%2f"):
        refused(client.get(path, follow_redirects=False), 404)


def test_an_answer_is_short_however_much_was_wrong(client):
    for body in ({"seeds": [-1] * 20_000}, {"x" * 50_000: 1}, {"model": "x" * 50_000}, {f"x{k}": 1 for k in range(5_000)}):
        response = client.post("/generate", json=body)
        assert response.status_code in (404, 422)
        assert len(response.content) < 5_000


def test_noise_at_its_limit_still_gives_images(client):
    found = images(client.post("/generate", json={"noise": [[1000.0] * 100, [-1000.0] * 100], "format": "json"}))
    assert len(found) == 2


def test_a_failure_is_logged_but_not_shown(client, monkeypatch, caplog):
    def fail(self, z):
        raise RuntimeError("secret detail")

    counted = metrics().request_seconds.labels("/generate", "500")._sum
    before = counted.get()
    monkeypatch.setattr("gan.runtimes.onnx.OnnxEngine.start", fail)
    response = client.post("/generate")
    refused(response, 500)
    assert counted.get() > before
    assert "secret" not in response.text
    assert "secret detail" in caplog.text


def test_health_and_metrics_are_bentomls(client):
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert b"bentoml_service" in client.get("/metrics").content


def test_bentomls_own_clients_get_the_same_image(client):
    asked = {"seed": 7, "n": 4, "truncation": 0.5}
    response = client.post("/bento/generate", json=asked)
    assert response.headers["content-type"] == "image/png"
    assert response.content == client.post("/generate", json=asked).content
    assert client.post("/bento/generate", json={}).status_code == 200
    assert client.post("/bento/generate", json={"n": 0}).status_code == 422
    assert "there is no model" in client.post("/bento/generate", json={"model": "nope"}).text
    assert "/bento/generate" in client.get("/schema.json").text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"sead": 7}', "sead: this field does not exist; there are seed, n, label, truncation, model"),
        ('{"format": "webp"}', "format: this field does not exist here, only for"),
        ('{"seed": 7, "seed": 8}', "seed: is given more than once"),
        ('{"n": "x"}', 'n: must be a whole number, 1 or more, not "x"'),
        ("[", "the body is not JSON"),
    ],
)
def test_bentomls_own_clients_are_told_in_the_same_words(client, body, said, caplog):
    response = client.post("/bento/generate", content=body, headers={"Content-Type": "application/json"})
    assert said in response.json()["detail"]
    assert not caplog.records


def test_bentomls_route_reads_bodies_as_the_others_do(client):
    expected = client.post("/generate", json={"seed": 7}).content
    for body in ('{"seed": 7}'.encode("utf-8-sig"), '{"seed": 7.0}'.encode("utf-16")):
        assert client.post("/bento/generate", content=body, headers={"Content-Type": "application/json"}).content == expected
    for kind in ("multipart/form-data; boundary=X", "application/x-www-form-urlencoded", "application/vnd.bentoml+pickle"):
        refused(client.post("/bento/generate", content=b"hello", headers={"Content-Type": kind}), 415)


def test_what_is_wrong_with_a_request_to_bentomls_route_is_not_logged(client, caplog):
    assert client.post("/bento/generate", json={"model": "nope"}).status_code == 404
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"noise": ' + "[" * 300 + "]" * 300 + "}", '{"codes": ' * 1000 + "1" + "}" * 1000]
)
def test_json_that_is_nested_too_deep_is_refused(client, body):
    refused(client.post("/generate", content=body[:100_000], headers={"Content-Type": "application/json"}), 400)
