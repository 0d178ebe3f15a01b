"""Models change without a restart."""

import json
import re
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr
from safetensors.torch import load_file, save_file
from starlette.testclient import TestClient

from gan import atomic, model_folder
from gan.latents import inputs_of_seeds
from gan.manifest import MANIFEST
from gan.model_folder import ONNX, TORCHSCRIPT, WEIGHTS
from gan.networks import dcgan
from serving.auth import RequireKey
from serving.models import Models
from serving.settings import Settings
from tests.references import alive, lasting, parts_of, without_garbage_collection
from tests.services import serving, with_lifespan
from tests.serving.test_api import pixels, refused
from training.export import export


@pytest.fixture
def models(trained, tmp_path):
    """A folder with one model, `shoes`."""
    write(trained, tmp_path / "shoes", scale=1.0)
    return tmp_path


@cache
def scaled(model, scale):
    """The files of a model whose first layer is scaled, by their names; exported once, since that takes a second or two."""
    generator = dcgan.Generator(width=16).eval()
    weights = load_file(model / WEIGHTS)
    generator.load_state_dict(weights | {"layers.1.weight": scale * weights["layers.1.weight"]})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_file(generator.state_dict(), folder / WEIGHTS)
        export.export_onnx(generator, folder / ONNX, inputs_of_seeds(range(2), generator.input_spec))
        export.export_torchscript(generator, folder / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
        return {file: (folder / file).read_bytes() for file in (WEIGHTS, ONNX, TORCHSCRIPT)}


def write(trained, path, scale, name="shoes"):
    """Put there, in one step, a version of the trained model whose first layer is scaled."""
    manifest = model_folder.read(trained.model).manifest

    def fill(folder):
        for file, content in scaled(trained.model, scale).items():
            (folder / file).write_bytes(content)
        files = model_folder.digests(folder, [WEIGHTS, ONNX, TORCHSCRIPT])
        changes = {"name": name, "version": files[WEIGHTS][:12], "files": files}
        (folder / MANIFEST).write_text(manifest.model_copy(update=changes).model_dump_json())

    atomic.write_atomically(path, fill, replace=True)
    return model_folder.read(path).title


def served(client):
    return [f"{model['name']}@{model['version']}" for model in client.get("/models").json()["models"]]


def test_a_new_version_is_served_when_asked_to(reload_client, trained, models):
    (old,) = served(reload_client)
    before = reload_client.get("/generate?seed=1")
    new = write(trained, models / "shoes", scale=2.0)
    assert reload_client.get("/generate?seed=1").content == before.content
    response = reload_client.post("/models/shoes/reload")
    assert response.status_code == 200
    assert f"{response.json()['name']}@{response.json()['version']}" == new != old
    assert served(reload_client) == [new]
    after = reload_client.get("/generate?seed=1")
    assert after.headers["x-model"] == new
    assert not np.array_equal(pixels(after.content), pixels(before.content))
    assert after.headers["etag"] != before.headers["etag"]
    refused(reload_client.get(f"/generate?seed=1&model={old}"), 404, ("model",))


def test_a_model_that_was_not_there_can_be_loaded(reload_client, trained, models):
    unknown = reload_client.post("/models/hats/reload")
    refused(unknown, 404)
    assert unknown.json()["detail"] == "there is no model 'hats' in the folder of models"
    hats = write(trained, models / "another-folder", scale=3.0, name="hats")
    assert reload_client.post("/models/hats/reload").status_code == 200
    assert served(reload_client) == [hats, *served(reload_client)[1:]]
    assert reload_client.post("/generate", json={"model": "hats"}).headers["x-model"] == hats
    assert reload_client.post("/generate").headers["x-model"].startswith("shoes@")  # the default stays


@pytest.mark.parametrize("harm", ["cut", "no manifest", "bad manifest", "another model's name"])
def test_a_bad_folder_changes_nothing_and_is_reported(reload_client, trained, models, harm):
    before, (title,) = reload_client.get("/generate?seed=1").content, served(reload_client)
    folder, name = models / "shoes", "shoes"
    if harm == "cut":
        (folder / ONNX).write_bytes((folder / ONNX).read_bytes()[:-10])
    elif harm == "no manifest":
        (folder / MANIFEST).unlink()
    elif harm == "bad manifest":
        (folder / MANIFEST).write_text("{}")
    else:
        shutil.copytree(folder, models / "hats")
        manifest = json.loads((models / "hats" / MANIFEST).read_text())
        (models / "hats" / MANIFEST).write_text(json.dumps({**manifest, "name": "hats"}))
        assert reload_client.post("/models/hats/reload").status_code == 200
        (models / "hats" / MANIFEST).write_text(json.dumps(manifest))
        name, title = "hats", None
    response = reload_client.post(f"/models/{name}/reload")
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert re.search("damaged|cannot read|not a manifest|hold models of one name", response.json()["detail"])
    assert str(models) not in response.text
    assert reload_client.get("/generate?seed=1&model=shoes").content == before
    assert title is None or served(reload_client) == [title]


def test_a_watched_folder_is_taken_once_it_holds_still(reload_client, reload_api, trained, models):
    (old,) = served(reload_client)
    reload_api.scan_models()
    assert served(reload_client) == [old]
    new = write(trained, models / "shoes", scale=2.0)
    reload_api.scan_models()
    assert served(reload_client) == [old]  # it has just changed, and may be changing still
    reload_api.scan_models()
    assert served(reload_client) == [new]


def test_a_watched_folder_that_is_bad_is_reported_once_and_taken_when_mended(reload_client, reload_api, trained, models, caplog):
    (old,) = served(reload_client)
    whole = (models / "shoes" / ONNX).read_bytes()
    new = write(trained, models / "elsewhere", scale=2.0)
    (models / "elsewhere").rename(models.parent / "elsewhere")
    shutil.copytree(models.parent / "elsewhere", models / "shoes", dirs_exist_ok=True)
    good = (models / "shoes" / ONNX).read_bytes()
    (models / "shoes" / ONNX).write_bytes(whole)  # as if it were copied by halves
    for _ in range(4):
        reload_api.scan_models()
    assert served(reload_client) == [old]
    assert sum("is damaged" in record.message for record in caplog.records) == 1
    (models / "shoes" / ONNX).write_bytes(good)
    for _ in range(2):
        reload_api.scan_models()
    assert served(reload_client) == [new]


def test_requests_under_way_finish_on_what_they_began_with(reload_client, trained, models):
    (old,) = served(reload_client)
    expected = {old: pixels(reload_client.get("/generate?seed=1").content)}
    new = write(trained, models / "shoes", scale=2.0)
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            answers.append(reload_client.post("/generate", json={"seed": 1, "n": 40}))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert reload_client.post("/models/shoes/reload").status_code == 200
    deadline = time.monotonic() + 20
    while {answer.headers["x-model"] for answer in answers[-3:]} != {new}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    expected[new] = pixels(reload_client.get("/generate?seed=1").content)
    assert {answer.headers["x-model"] for answer in answers} == {old, new}
    for answer in answers:
        assert answer.status_code == 200
        assert np.array_equal(pixels(answer.content)[:32, :32], expected[answer.headers["x-model"]])


def test_a_model_that_is_no_longer_served_is_freed_at_once(scored, trained, tmp_path):
    """And not when garbage is collected next: by then some more of a hundred megabytes each may have been loaded and replaced."""
    shutil.copytree(scored.model, tmp_path / "scored")
    write(trained, tmp_path / "shoes", scale=1.0)
    picture = BytesIO()
    Image.new("L", (32, 32)).save(picture, "png")
    sent = {"content": picture.getvalue(), "headers": {"Content-Type": "image/png"}}
    name = model_folder.read(scored.model).manifest.name
    with serving(tmp_path, default_model="shoes") as client, without_garbage_collection():

        def parts_of_served():
            return parts_of(client.api._models.get(name), client.api._models.get("shoes"))

        parts = parts_of_served()
        assert {"LoadedModel", "PictureEncoder", "Scorer", "InferenceSession"} < set(alive(parts))
        assert client.get(f"/generate?model={name}&seed=1&label=1").status_code == 200
        assert [client.post(f"/{path}?model={name}", **sent).status_code for path in ("invert", "score")] == [200, 200]
        assert client.post(f"/models/{name}/reload").status_code == 200
        assert lasting(parts) == []
        parts = parts_of_served()
        shutil.rmtree(tmp_path / "scored")
        for _ in range(3):
            client.api.scan_models()
        assert client.get(f"/models/{name}").status_code == 404
        assert lasting(parts) == []


def test_the_same_folder_again_changes_nothing(reload_client):
    before, titles = reload_client.get("/generate?seed=1").content, served(reload_client)
    assert reload_client.post("/models/shoes/reload").status_code == 200
    assert (reload_client.get("/generate?seed=1").content, served(reload_client)) == (before, titles)


def test_a_link_to_nowhere_hides_no_change(trained, models, tmp_path_factory):
    for name in (".#model.json", "a", "zz"):
        (models / "shoes" / name).symlink_to("nowhere")
    loaded = Models(Settings(models=models))
    new = tmp_path_factory.mktemp("new") / "shoes"
    title = write(trained, new, scale=2.0)
    shutil.copytree(new, models / "shoes", dirs_exist_ok=True)
    assert list(loaded.scan()) == []  # it may still be being written
    (taken,) = loaded.scan()
    assert taken.folder.title == title


def test_reloads_hold_up_no_other_request(reload_client, monkeypatch, trained, models):
    new, begun, may_end = write(trained, models / "shoes", scale=2.0), [], threading.Event()
    reload = Models.reload

    def slow(self, name):
        begun.append(name)
        assert may_end.wait(60)
        return reload(self, name)

    monkeypatch.setattr(Models, "reload", slow)
    with ThreadPoolExecutor(60) as pool:
        first = pool.submit(reload_client.post, "/models/shoes/reload")
        while not begun:
            time.sleep(0.001)
        others = [pool.submit(reload_client.post, "/models/shoes/reload") for _ in range(50)]
        try:  # over 16 latent vectors are drawn, and images of this size encoded, in threads
            assert reload_client.post("/generate", json={"seed": 1, "n": 64}).status_code == 200
        finally:
            may_end.set()
        answers = [reloaded.result() for reloaded in (first, *others)]
    assert {(answer.status_code, f"shoes@{answer.json()['version']}") for answer in answers} == {(200, new)}
    assert len(begun) <= 3  # one for the first, one for all who came meanwhile, one for those who may have come after


def test_only_admins_may_reload_where_there_are_any(reload_api, models):
    def status(key, path="/models/shoes/reload"):
        with TestClient(with_lifespan(RequireKey(reload_api, [SecretStr("plain")], [SecretStr("chief")]))) as client:
            return client.post(path, headers={"Authorization": f"Bearer {key}"}).status_code

    assert status("plain") == 403
    assert status("plain", "/models/nothing/reload") == 403  # whatever is there
    assert status("chief") == 200
    assert status("nobody") == 401
