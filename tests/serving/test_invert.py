"""POST /invert: a picture becomes the latent vector that draws it."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from serving.batching import Batcher
from tests.services import serving
from tests.serving.test_api import pixels, refused

PNG = {"Content-Type": "image/png"}


def drawn(client, **fields):
    answer = client.post("/generate", json={"format": "npz", **fields})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))["images"].astype(int)


def png_of(levels):
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def psnr(one, two):
    return 10 * np.log10(255**2 / np.square(one - two).mean())


def invert(client, content, **fields):
    answer = client.post("/invert", params=fields, content=content, headers=PNG)
    assert answer.status_code == 200, answer.text
    return answer


def test_the_noise_that_is_found_draws_the_picture_again(client):
    png = client.post("/generate", json={"seed": 1007}).content
    answer = invert(client, png)
    assert set(answer.json()) == {"model", "images"}
    assert answer.headers["x-model"] == answer.json()["model"]
    assert "search" in answer.headers["server-timing"]
    (found,) = answer.json()["images"]
    assert set(found) == {"noise", "psnr", "iterations", "stopped"}
    assert found["stopped"] in ("converged", "iterations")
    assert 1 <= found["iterations"] <= 10
    assert found["psnr"] > 25
    again = drawn(client, noise=[found["noise"]])[0, :, :, 0]
    assert psnr(again, pixels(png).astype(int)) > 25
    assert invert(client, png).json() == answer.json()


def test_the_ratio_is_that_of_the_picture_that_is_drawn(client):
    shifted = np.roll(pixels(client.post("/generate", json={"seed": 1007}).content), 3, 0)  # which the model does not draw
    (found,) = invert(client, png_of(shifted), iterations=3).json()["images"]
    assert found["psnr"] < 30
    again = drawn(client, noise=[found["noise"]])[0, :, :, 0]
    assert abs(psnr(again, shifted.astype(int)) - found["psnr"]) < 0.05  # which is before rounding


def test_more_iterations_find_more(client):
    png = client.post("/generate", json={"seed": 1007}).content
    found = [invert(client, png, iterations=n).json()["images"][0] for n in (0, 1, 4)]
    assert [one["iterations"] for one in found] == [0, 1, 4]
    assert found[0]["psnr"] < found[1]["psnr"] < found[2]["psnr"]


def test_the_answer_can_be_the_picture_that_is_drawn_alone_or_beside_what_was_sent(client):
    png = client.post("/generate", json={"seed": 1007}).content
    answer = invert(client, png, iterations=2)
    assert answer.headers["content-disposition"] == 'inline; filename="fashion-mnist-dcgan-inverted.json"'
    (found,) = answer.json()["images"]
    expected = drawn(client, noise=[found["noise"]])[0, :, :, 0]
    answer = invert(client, png, iterations=2, format="png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline; filename=")
    assert np.array_equal(pixels(answer.content), expected)
    both = pixels(invert(client, png, iterations=2, format="png", original=True, scale=2).content)
    assert both.shape == (64, 128)
    assert np.array_equal(both[::2, :64:2], pixels(png))
    assert np.array_equal(both[::2, 64::2], expected)
    for name in ("webp", "jpeg"):
        image = Image.open(io.BytesIO(invert(client, png, iterations=0, format=name).content))
        assert (image.format.lower(), image.size) == (name, (32, 32))


def test_it_says_when_the_deadline_stopped_it(trained, monkeypatch):
    submit, calls = Batcher.submit, []

    async def hanging(self, runtime, rows):
        calls.append(len(rows["z"]))
        if len(calls) == 4:  # the second Jacobian
            await asyncio.sleep(60)
        return await submit(self, runtime, rows)

    with serving(trained.models, deadline=2) as client:
        png = client.post("/generate", json={"seed": 1007}).content
        (whole,) = invert(client, png, iterations=1).json()["images"]
        monkeypatch.setattr(Batcher, "submit", hanging)
        (item,) = invert(client, png, iterations=5).json()["images"]
        assert item == {**whole, "stopped": "deadline"}
        assert calls == [64, 100, 4, 100]
        calls[:] = [0, 0, 0]  # so that not even the first images come
        refused(client.post("/invert", content=png, headers=PNG), 504)
        assert client.api._pipeline.admission.pending == 0


def test_other_requests_are_answered_between_two_jacobians(client):
    png = client.post("/generate", json={"seed": 1007}).content
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(client.post, "/invert", files=[("image", ("a.png", png))] * 16, data={"iterations": "30"})
        answered = 0
        while not search.done():
            assert client.post("/generate", json={"seed": answered}).status_code == 200
            answered += 1
        assert search.result().status_code == 200
    assert answered > 10


def test_searches_count_as_the_images_that_they_draw(trained):
    with serving(trained.models, queue=150) as client:
        png, admission = client.post("/generate", json={"seed": 1007}).content, client.api._pipeline.admission
        admission.pending = 60  # images of others
        refused(client.post("/invert", content=png, headers=PNG), 429)
        admission.pending = 50
        assert client.post("/invert?iterations=0", content=png, headers=PNG).status_code == 200
        assert (admission.pending, admission.pending_bytes) == (50, 0)
