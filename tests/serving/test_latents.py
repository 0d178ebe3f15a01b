"""Latent vectors in requests and answers: `latents`, `blend`, and `noise` as stops of an interpolation."""

import io

import numpy as np
import pytest

from gan.latents import InputSpec, blend, inputs_of_seeds
from tests.serving.test_api import pixels, refused
from tests.serving.test_interpolate import frames

SPEC = InputSpec(100)


def drawn(client, **fields):
    answer = client.post("/generate", json={**fields, "format": "npz"})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))["images"]


def test_json_has_the_latent_vector_that_draws_an_image_again(client):
    answer = client.post("/generate", json={"seed": 7, "n": 3, "truncation": 0.6, "format": "json", "latents": True}).json()
    noise = [image["noise"] for image in answer["images"]]
    assert {len(vector) for vector in noise} == {100}
    assert np.array_equal(drawn(client, noise=noise), drawn(client, seed=7, n=3, truncation=0.6))
    plain = client.post("/generate", json={"seed": 7, "format": "json"}).json()
    assert "noise" not in plain["images"][0]


def test_latents_are_for_json(client):
    refused(client.post("/generate", json={"latents": True, "format": "png"}), 422, ("latents",))


def test_a_blend_lies_between_its_seeds_on_the_shell_of_latent_vectors(client):
    assert np.array_equal(drawn(client, blend=[[3, 2.5], [4, 0]]), drawn(client, seed=3))
    one, two = inputs_of_seeds([3, 4], SPEC)["z"].astype(np.float64)
    mean = 0.25 * one + 0.75 * two
    length = 0.25 * np.linalg.norm(one) + 0.75 * np.linalg.norm(two)
    expected = (mean * length / np.linalg.norm(mean)).astype(np.float32)
    mixed = client.post("/generate", json={"blend": [[3, 1], [4, 3]], "format": "json", "latents": True}).json()
    (image,) = mixed["images"]
    assert image["seed"] is None
    np.testing.assert_allclose(image["noise"], expected, rtol=1e-6, atol=1e-7)
    assert np.array_equal(drawn(client, blend=[[3, 1], [4, 3]]), drawn(client, noise=[image["noise"]]))


def test_a_blend_in_a_query_can_be_cached(client):
    asked = "/generate?blend=3:1,4:3"
    answer = client.get(asked)
    assert np.array_equal(pixels(answer.content), drawn(client, blend=[[3, 1], [4, 3]])[0, :, :, 0])
    assert "x-seed" not in answer.headers
    assert client.get(asked, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert client.get("/generate?blend=3:1,4:2").headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"blend": [[1, 0], [2, 0]]}, ("blend",)),
        ({"blend": []}, ("blend",)),
        ({"blend": [[1, 1]] * 17}, ("blend",)),
        ({"blend": [[1, -1]]}, ("blend", 0, 1)),
        ({"blend": [[-1, 1]]}, ("blend", 0, 0)),
        ({"blend": [[1]]}, ("blend", 0, 1)),
        ({"blend": {"1": 1}}, ("blend",)),
        ({"blend": [[1, 1]], "seed": 1}, ("seed",)),
        ({"blend": [[1, 1]], "seeds": [1]}, ("seeds",)),
        ({"blend": [[1, 1]], "n": 1}, ("n",)),
        ({"blend": [[1, 1]], "noise": [[0.0] * 100]}, ("noise",)),
    ],
)
def test_blends_that_cannot_be(client, fields, place):
    refused(client.post("/generate", json=fields), 422, place)


def test_text_that_is_no_blend_is_refused(client):
    refused(client.get("/generate?blend=3"), 422, ("blend", 0, 1))
    refused(client.get("/generate?blend=3:x"), 422, ("blend", 0, 1))


def test_blends_of_other_rows():
    rows = {"z": np.array([[1, 0.5], [-1, 0]], np.float32), "label": np.array([2, 5]), "slant": np.array([0.5, -0.5], np.float32)}
    mixed = blend(rows, [1, 3], InputSpec(2, "uniform", 6))
    np.testing.assert_allclose(mixed["z"], [[-0.5, 0.125]])  # straight
    assert mixed["label"].tolist() == [5]
    assert mixed["slant"].tolist() == [-0.25]
    for weights in ([0, 0], [1], [1, -1], [1, float("nan")], [float("inf"), 1]):
        with pytest.raises(ValueError, match="needs as many weights"):
            blend(rows, weights, InputSpec(2))


def test_an_interpolation_passes_through_latent_vectors(client):
    noise = inputs_of_seeds([1, 2, 3], SPEC)["z"].tolist()
    assert np.array_equal(frames(client, noise=noise, frames=9), frames(client, seeds=[1, 2, 3], frames=9))
    answer = client.post("/interpolate", json={"noise": noise, "frames": 3, "format": "png"})
    assert answer.status_code == 200
    assert "x-seed" not in answer.headers


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, ("seeds",)),
        ({"noise": [[0.0] * 100]}, ("noise",)),
        ({"noise": [[0.0] * 99] * 2}, ("noise", 0)),
        ({"noise": [[0.0] * 100, [0.0] * 99]}, ("noise", 1)),
        ({"noise": [[0.0] * 100] * 2, "seeds": [1, 2]}, ("noise",)),
        ({"noise": [[0.0] * 100] * 241}, ("noise",)),
    ],
)
def test_stops_that_cannot_be(client, fields, place):
    refused(client.post("/interpolate", json=fields), 422, place)
