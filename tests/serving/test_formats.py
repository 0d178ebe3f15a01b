"""Formats, negotiation, caching and npy bodies, from outside through HTTP."""

import base64
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan import runtimes
from gan.directions import Directions
from gan.manifest import Manifest
from gan.model_folder import ModelFolder
from serving import caching
from serving.loaded_model import LoadedModel
from serving.negotiation import choose_format
from serving.prepared_requests import PreparedGeneration
from serving.schema import GenerateRequest
from serving.settings import Settings
from tests.conftest import latents
from tests.serving.test_api import images, pixels, refused
from tests.serving.test_labels import serving

MEDIA = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "zip": "application/zip",
    "npz": "application/x-npz",
    "json": "application/json",
}


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def four(client):
    """The images of seeds 3 to 6, uint8 [4, 32, 32]."""
    return np.stack([pixels(client.post("/generate", json={"seed": seed}).content) for seed in range(3, 7)])


@pytest.mark.parametrize("name", MEDIA)
def test_every_format_by_field_and_by_header(client, name):
    by_field = client.post("/generate", json={"seed": 3, "n": 4, "format": name})
    by_header = client.post("/generate", json={"seed": 3, "n": 4}, headers={"Accept": MEDIA[name]})
    assert by_field.headers["content-type"] == by_header.headers["content-type"] == MEDIA[name]
    assert by_field.content == by_header.content
    # What is asked for by name is given, whatever the header says.
    assert (
        client.post("/generate", json={"seed": 3, "n": 4, "format": name}, headers={"Accept": "text/html"}).content
        == by_field.content
    )


@pytest.mark.parametrize("name", ["webp", "jpeg"])
def test_lossy_formats_show_the_grid(client, four, name):
    good, poor = (client.post("/generate", json={"seed": 3, "n": 4, "format": name, "quality": q}).content for q in (95, 5))
    image = Image.open(io.BytesIO(good))
    assert image.format == name.upper()
    shown = np.asarray(image.convert("L")).astype(int)
    assert np.abs(shown[:32, :32] - four[0]).mean() < 12
    assert len(poor) < len(good)


def test_columns_and_scale(client, four):
    sheet = pixels(client.post("/generate", json={"seed": 3, "n": 4, "columns": 4, "scale": 3}).content)
    assert np.array_equal(sheet, np.kron(np.hstack(four), np.ones((3, 3), np.uint8)))


def test_zip_has_one_png_for_each_image(client, four):
    response = client.post("/generate", json={"seeds": [3, 4, 5, 6, 3], "format": "zip"})
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.namelist() == [*(f"seed{seed:010d}.png" for seed in range(3, 7)), "seed0000000003-2.png"]
    for name, image in zip(archive.namelist(), [*four, four[0]], strict=True):
        assert np.array_equal(pixels(archive.read(name)), image)
    assert client.post("/generate", json={"seeds": [3, 4, 5, 6, 3], "format": "zip"}).content == response.content
    noise = client.post("/generate", json={"noise": latents([3], 100).tolist(), "format": "zip"})
    assert zipfile.ZipFile(io.BytesIO(noise.content)).namelist() == ["noise0000000000.png"]


@pytest.mark.parametrize("name", ["zip", "npz"])
def test_members_of_archives_can_be_read_by_all_once_unpacked(client, name):
    archive = zipfile.ZipFile(io.BytesIO(client.post("/generate", json={"seed": 3, "n": 2, "format": name}).content))
    assert len(archive.infolist()) == 2
    for member in archive.infolist():
        assert oct(member.external_attr >> 16) == "0o100644"
        assert member.date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("asked", "how", "name"),
    [
        ({"seed": 7}, "inline", "fashion-mnist-dcgan-seed0000000007.png"),
        ({"seeds": [7]}, "inline", "fashion-mnist-dcgan-seed0000000007.png"),
        ({"seed": 7, "format": "jpeg"}, "inline", "fashion-mnist-dcgan-seed0000000007.jpg"),
        ({"seed": 7, "n": 3, "format": "webp"}, "inline", "fashion-mnist-dcgan-seeds0000000007-0000000009.webp"),
        ({"seed": 7, "n": 3, "format": "zip"}, "attachment", "fashion-mnist-dcgan-seeds0000000007-0000000009.zip"),
        ({"seed": 7, "format": "npz"}, "attachment", "fashion-mnist-dcgan-seed0000000007.npz"),
        ({"seed": 7, "format": "json"}, "inline", "fashion-mnist-dcgan-seed0000000007.json"),
        ({"noise": [[0.0] * 100]}, "inline", "fashion-mnist-dcgan-noise.png"),
    ],
)
def test_an_answer_has_a_name_as_a_file(client, asked, how, name):
    assert client.post("/generate", json=asked).headers["content-disposition"] == f'{how}; filename="{name}"'


def test_get_and_head_and_a_drawn_seed_have_a_name_too(client):
    for response in (client.get("/generate?seed=7"), client.head("/generate?seed=7")):
        assert response.headers["content-disposition"] == 'inline; filename="fashion-mnist-dcgan-seed0000000007.png"'
    drawn = client.post("/generate")
    assert f"seed{int(drawn.headers['x-seed']):010d}.png" in drawn.headers["content-disposition"]


def test_npz_has_the_arrays(client, four):
    arrays = np.load(io.BytesIO(client.post("/generate", json={"seed": 3, "n": 4, "format": "npz"}).content))
    assert set(arrays) == {"images", "seeds"}
    assert (arrays["images"].dtype, arrays["seeds"].dtype) == (np.uint8, np.uint32)
    assert np.array_equal(arrays["images"], four[..., np.newaxis])
    assert arrays["seeds"].tolist() == [3, 4, 5, 6]


def test_noise_as_an_npy_body_with_the_other_fields_in_the_query(client, four):
    headers = {"Content-Type": "application/x-npy"}
    body = npy(latents(range(3, 7), 100))
    response = client.post("/generate?format=npz", content=body, headers=headers)
    arrays = np.load(io.BytesIO(response.content))
    assert set(arrays) == {"images"}
    assert np.array_equal(arrays["images"], four[..., np.newaxis])
    assert "x-seed" not in response.headers
    refused(client.post("/generate?seed=1", content=body, headers=headers), 422, ("seed",))
    refused(client.post("/generate", content=b"no array", headers=headers), 400)
    refused(client.post("/generate", content=body[:-4], headers=headers), 422, ("noise",))
    refused(client.post("/generate", content=npy(latents([1], 99)), headers=headers), 422, ("noise", 0))
    refused(client.post("/generate", content=npy(latents([1], 100).astype(np.float64)), headers=headers), 422, ("noise",))
    refused(client.post("/generate", content=npy(np.full((2, 100), np.inf, np.float32)), headers=headers), 422, ("noise", 0, 0))
    refused(client.post("/generate", content=npy(np.array([{}])), headers=headers), 422, ("noise",))
    refused(client.post("/generate", content=npy(np.zeros(1, "f4,f4")), headers=headers), 400)
    claim = npy(latents([1], 100)).replace(b"(1, 100), }       ", b"(99999999, 100), }")  # 40 GB
    refused(client.post("/generate", content=claim, headers=headers), 422, ("noise",))


def test_fields_of_a_json_request_do_not_go_into_the_query(client):
    refused(client.post("/generate?seed=3", json={"seed": 3}), 422, ("seed",))


def test_truncation(client):
    plain, cut, same = (client.post("/generate", json={"seed": 0, "truncation": t}).content for t in (None, 0.3, 0.3))
    assert plain != cut == same
    noise = 0.3 * latents([0], 100, truncation=1.0)
    exact = images(client.post("/generate", json={"noise": noise.tolist(), "format": "json"}))[0]["data"]
    difference = pixels(base64.b64decode(exact)).astype(int) - pixels(cut)
    assert np.abs(difference).max() <= 1  # 0.3 z is rounded to float32 in another order


def test_get_takes_the_same_fields_in_the_query(client):
    posted = client.post("/generate", json={"seeds": [3, 9], "format": "png", "columns": 1, "truncation": 0.5})
    got = client.get("/generate?seeds=3,9&format=png&columns=1&truncation=0.5")
    assert got.content == posted.content
    assert got.headers["x-seed"] == "3"
    assert client.head("/generate?seed=3").headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sead=3", ("sead",)),
        ("seed=-1", ("seed",)),
        ("seed=1.5", ("seed",)),
        ("n=0", ("n",)),
        ("n=257", ("n",)),
        ("seeds=1,x", ("seeds", 1)),
        ("seeds=1&seed=1", ("seed",)),
        ("seed=1&seed=2", ("seed",)),
        ("noise=0,0", ("noise", 0)),
        ("truncation=2", ("truncation",)),
        ("format=gif", ("format",)),
    ],
)
def test_a_wrong_field_in_the_query_is_named(client, query, field):
    refused(client.get(f"/generate?{query}"), 422, field)


def test_the_accept_header_may_come_in_several_lines(client):
    headers = [("Accept", "text/html"), ("Accept", "image/webp")]
    assert client.get("/generate?seed=7", headers=headers).headers["content-type"] == "image/webp"
    etag = client.get("/generate?seed=7").headers["etag"]
    assert client.get("/generate?seed=7", headers=[("If-None-Match", '"x"'), ("If-None-Match", etag)]).status_code == 304


def test_what_may_be_cached_and_for_how_long(client):
    title = client.get("/generate").headers["x-model"]
    assert client.get("/generate").headers["cache-control"] == "no-store"
    assert "etag" not in client.get("/generate").headers
    bare = client.get("/generate?seed=7")
    assert bare.headers["cache-control"] == "no-cache"
    pinned = client.get(f"/generate?seed=7&model={title}")
    assert pinned.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert pinned.headers["etag"] == bare.headers["etag"]
    assert "etag" not in client.post("/generate", json={"seed": 7}).headers


@pytest.mark.parametrize("keys", [{"api_keys": ("secret",)}, {"api_keys_file": Path(__file__)}])
def test_what_needed_a_key_is_for_no_shared_cache(trained, keys):
    with serving(trained.models, **keys) as client:
        pinned = f"/generate?seed=7&model={client.get('/generate').headers['x-model']}"
        for path, directives in (
            ("/generate?seed=7", {"private", "no-cache"}),
            (pinned, {"private", "max-age=31536000", "immutable"}),
        ):
            fresh = client.get(path)
            known = client.get(path, headers={"If-None-Match": fresh.headers["etag"]})
            assert known.status_code == 304
            for response in (fresh, known):
                assert set(response.headers["cache-control"].split(", ")) == directives
        assert client.get("/generate").headers["cache-control"] == "no-store"


def test_the_etag_is_strong_and_covers_the_file_that_draws_and_the_names_of_the_classes(conditional):
    etags = set()
    manifest = json.loads((conditional.model / "model.json").read_text())
    z, label = manifest["inputs"]
    hats = {"inputs": [z, label | {"names": [*label["names"][1:], "Hat"]}]}
    changes = [{}, {}, hats, {"files": manifest["files"] | {"generator.onnx": "0" * 64}}]
    runtime = runtimes.load(ModelFolder(conditional.model, Manifest.model_validate(manifest)), "onnx", threads=1)
    for change in changes:
        folder = ModelFolder(conditional.model, Manifest.model_validate(manifest | change))
        loaded = LoadedModel(folder, runtime, Directions({}, "normal"), None, None)
        plan = PreparedGeneration.prepare(GenerateRequest(seed=7), None, folder.manifest, Settings(), lambda: "png")
        etags.add(caching.headers(loaded, plan, False, False)["ETag"])
    assert len(etags) == 3
    assert all(etag.startswith('"') for etag in etags)


@pytest.mark.parametrize("change", ["hardware", "_version"])
def test_the_etag_is_another_on_other_hardware_and_with_another_library(client, monkeypatch, change):
    here = client.get("/generate?seed=7").headers["etag"]
    assert client.get("/generate?seed=7").headers["etag"] == here
    monkeypatch.setattr(caching, change, lambda *_: "another")
    assert client.get("/generate?seed=7", headers={"If-None-Match": here}).status_code == 200
    assert client.get("/generate?seed=7").headers["etag"] != here


def test_an_unchanged_image_is_not_drawn_again(client, monkeypatch):
    etag = client.get("/generate?seed=7").headers["etag"]

    def never(self, z):
        raise AssertionError("drawn")

    monkeypatch.setattr("gan.runtimes.onnx.OnnxEngine.start", never)
    for header in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        response = client.get("/generate?seed=7", headers={"If-None-Match": header})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag


@pytest.mark.parametrize(
    "change",
    ["seed=8", "seeds=7,7", "seed=7&scale=2", "seed=7&truncation=0.9", "seed=7&format=webp", "seed=7&format=webp&quality=1"],
)
def test_the_etag_covers_every_parameter(client, change):
    etags = {client.get(f"/generate?{query}").headers["etag"] for query in ("seed=7", change, "seed=7&n=1")}
    assert len(etags) == 2


def test_the_etag_covers_what_the_accept_header_decides(client):
    etags = {client.get("/generate?seed=7", headers={"Accept": accept}).headers["etag"] for accept in MEDIA.values()}
    assert len(etags) == len(MEDIA)
    assert client.get("/generate?seed=7").headers["vary"] == "Accept"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "png"),
        ("*/*", "png"),
        ("image/*", "png"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "webp"),
        ("image/png;q=0.5, image/webp;q=0.6", "webp"),
        ("image/*;q=0.5, image/jpeg", "jpeg"),
        ("image/png;q=0, */*", "webp"),
        ("application/*", "zip"),
        ("APPLICATION/JSON; charset=utf-8", "json"),
        ("application/json;q=0.9, image/png;q=0.91", "png"),
        # A weight that says nothing
        ("image/webp;q=nan", "webp"),
        ("image/webp;q=NaN, image/jpeg;q=0.9", "webp"),
        ("image/webp;q=", "webp"),
        ("image/webp;q", "webp"),
        # and one beyond the limits
        ("image/webp;q=inf", "webp"),
        ("image/webp;q=1.5, image/jpeg", "webp"),
        ("image/webp;q=-1, image/jpeg;q=0.1", "jpeg"),
        ("image/webp;q=-inf, */*;q=0.1", "png"),
        # Spaces, capitals, quotes, other parameters
        ("image/webp ; q = 0.5 , image/jpeg ; q = 0.6", "jpeg"),
        ("IMAGE/WEBP;Q=0.5, image/jpeg;Q=0.6", "jpeg"),
        ('image/webp;q="0.5", image/jpeg;q="0.6"', "jpeg"),
        ("image/webp;level=1, image/jpeg;level=1;q=0.9", "webp"),
        ("image/webp;level=1;q=0.5, image/jpeg;q=0.6;level=1", "jpeg"),
        ('image/webp;note="a,b;q=0", image/jpeg;q=0.5', "webp"),
        # Ranges that are empty, and what some programs call them
        (", ,,", "png"),
        (";q=0.5", "png"),
        (",image/webp,", "webp"),
        ("image/jpg", "jpeg"),
        ("text/html, image/gif, *; q=.2, */*; q=.2", "png"),
        ("*", "png"),
    ],
)
def test_the_accept_header_decides(accept, expected):
    assert choose_format(accept) == expected


@pytest.mark.parametrize("accept", ["text/html", "image/gif", "image/png;q=0", "*/*;q=0", "image/png;q=x", "nonsense"])
def test_what_cannot_be_accepted(client, accept):
    assert "image/png" in refused(client.post("/generate", headers={"Accept": accept}), 406)["detail"]


def test_the_server_says_where_the_time_went(client):
    timing = client.post("/generate", json={"n": 5}).headers["server-timing"]
    durations = {name: float(value) for name, value in (part.split(";dur=") for part in timing.split(", "))}
    assert set(durations) == {"queue", "infer", "encode"}
    assert all(value >= 0 for value in durations.values())
    assert durations["infer"] > 0


def test_one_model_by_name(client):
    (manifest,) = client.get("/models").json()["models"]
    assert client.get("/models/fashion-mnist-dcgan").json() == manifest
    assert client.get(f"/models/fashion-mnist-dcgan@{manifest['version']}").json() == manifest


@pytest.mark.parametrize(
    ("request_body", "accept", "field", "size"),
    [
        ({"n": 256, "columns": 1, "scale": 2, "format": "webp"}, "*/*", "columns", "64x16384"),
        ({"n": 256, "columns": 256, "scale": 2}, "image/webp", "columns", "16384x64"),
        ({"n": 256, "columns": 1, "scale": 8, "format": "jpeg"}, "*/*", "columns", "256x65536"),
        ({"n": 1, "scale": 512, "format": "webp"}, "*/*", "scale", "16384x16384"),
    ],
)
def test_an_image_longer_than_its_format_allows_is_refused(trained, request_body, accept, field, size):
    with serving(trained.models, max_pixels=2**30) as client:
        answer = client.post("/generate", json={"seed": 1, **request_body}, headers={"Accept": accept})
        assert f"comes to {size} pixels" in refused(answer, 422, (field,))["detail"]
        png = client.post("/generate", json={"seed": 1, "n": 256, "columns": 1, "scale": 2, "format": "png"})
        assert pixels(png.content).shape == (16_384, 64)


@pytest.mark.parametrize("name", ["webp", "gif"])
def test_an_animation_larger_than_its_format_allows_is_refused(trained, name):
    with serving(trained.models, max_pixels=2**34) as client:
        request_body = {"seeds": [1, 2], "frames": 2, "scale": 2100, "format": name}
        answer = client.post("/interpolate", json=request_body)
    refused(answer, 422, ("scale",))
