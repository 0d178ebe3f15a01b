"""What was found by people who tried to break the routes for pictures."""

import asyncio
import base64
import io
import tracemalloc
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request

from serving.admission import Admission
from serving.app import Api
from serving.batching import Batcher
from serving.bodies import BodyReader
from serving.errors import RequestError
from serving.models import Models
from serving.settings import Settings
from tests.references import without_garbage_collection
from tests.serving.test_api import refused

PNG = {"Content-Type": "image/png"}
FORM = {"Content-Type": "multipart/form-data; boundary=XX"}


def file_of(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def png():
    return file_of(Image.linear_gradient("L"))


def part(name, content, more=b""):
    return b'--XX\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + more + b"\r\n\r\n" + content + b"\r\n"


def test_a_form_that_does_not_come_whole_is_refused(client, png):
    whole = part("image", png, b'; filename="a.png"') + part("iterations", b"0") + b"--XX--\r\n"
    assert client.post("/invert", content=whole, headers=FORM).json()["images"][0]["iterations"] == 0
    for length in (len(whole) - 4, len(whole) - 12, len(whole) // 2):
        problem = refused(client.post("/invert", content=whole[:length], headers=FORM), 400)
        assert "the body is not whole" in problem["detail"]
    assert client.post("/invert", content=b"to be ignored\r\n" + whole, headers=FORM).status_code == 200


def test_a_form_in_which_no_file_was_chosen_has_no_picture(client):
    nothing = part("image", b"", b'; filename=""\r\nContent-Type: application/octet-stream')
    edited = client.post("/edit", content=nothing + part("seed", b"7") + part("format", b"png") + b"--XX--\r\n", headers=FORM)
    assert edited.content == client.post("/edit", json={"seed": 7, "format": "png"}).content
    assert refused(client.post("/invert", content=nothing + b"--XX--\r\n", headers=FORM), 422)["detail"].startswith(
        "image: is missing"
    )
    empty = part("image", b"", b'; filename="a.png"') + b"--XX--\r\n"
    assert refused(client.post("/invert", content=empty, headers=FORM), 422)["detail"].startswith("image.0: is no PNG")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_fields_of_a_form_are_read_as_a_body_of_json_is(client, png, encoding):
    for more in (b"", b'; filename="fields.json"\r\nContent-Type: application/json'):
        form = (
            part("image", png, b'; filename="a.png"') + part("fields", '{"iterations": 0}'.encode(encoding), more) + b"--XX--\r\n"
        )
        assert client.post("/invert", content=form, headers=FORM).json()["images"][0]["iterations"] == 0


@pytest.mark.parametrize("boundary", ["X" * 300, "X" * 5000])
def test_a_boundary_that_is_too_long_is_no_fault_of_the_service(client, png, boundary):
    form = (part("image", png, b'; filename="a.png"') + b"--XX--\r\n").replace(b"--XX", b"--" + boundary.encode())
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert "the body is not multipart/form-data" in refused(client.post("/invert", content=form, headers=headers), 400)["detail"]


@pytest.mark.parametrize(
    "more",
    [
        b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--\r\n",
        part("", b"x") + b"--XX--\r\n",
        b"--XX\r\n\r\nx\r\n--XX--\r\n",
    ],
)
def test_parts_without_names_are_refused_in_words(client, png, more, caplog):
    answer = client.post("/invert", content=part("image", png) + more, headers=FORM)
    assert answer.status_code in (400, 422)
    assert "name" in answer.json()["detail"]
    assert "b'" not in answer.json()["detail"]
    assert not [record for record in caplog.records if "multipart" in record.name]


def test_base64_as_it_is_usually_written(client, png):
    expected = client.post("/invert?iterations=0", content=png, headers=PNG).json()
    plain = base64.b64encode(png).decode()
    for text in (
        base64.encodebytes(png).decode(),  # lines of 76
        f" {plain}\t",
        base64.urlsafe_b64encode(png).decode(),
        f"DATA:IMAGE/PNG;BASE64,{plain}",
        f"data:image/png;charset=x;base64,{plain}",
    ):
        assert client.post("/invert", json={"images": [text], "iterations": 0}).json() == expected
    problem = refused(client.post("/invert", json={"images": ["no base64!"]}), 422, ("images", 0))
    assert "encode the bytes of the file" in problem["detail"]


def test_other_kinds_of_images_are_named_as_what_cannot_be(client):
    for kind in ("GIF", "BMP", "TIFF"):
        problem = refused(client.post("/invert", content=file_of(Image.new("L", (9, 9)), kind), headers=PNG), 422, ("image",))
        assert problem["detail"] == "image: is no PNG, JPEG or WebP file; convert it to one"


def test_an_empty_body_is_not_a_question_of_the_query(client):
    problem = refused(client.post("/invert?label=3", content=b""), 422, ("image",))
    assert "the body is empty" in problem["detail"]


def test_too_large_a_body_is_refused_before_it_is_sent():
    async def receive():
        raise AssertionError("nobody asks for it")

    async def scenario():
        headers = [(b"content-length", b"99999999")]
        request = Request({"type": "http", "method": "POST", "headers": headers, "query_string": b""}, receive)
        with ExitStack() as held, pytest.raises(RequestError, match="larger than 1000 bytes; send less") as refused:
            await BodyReader(1000, "send less").read(request, held)
        assert refused.value.status == 413

    asyncio.run(scenario())


def test_json_without_pictures_has_the_bound_of_other_json(client):
    problem = refused(client.post("/edit", json={"noise": [[0.123456789] * 100] * 200}), 413)
    assert problem["detail"] == "the body is larger than 100000 bytes; ask for fewer images"


def test_fields_without_a_meaning_are_refused(client):
    noise = [[0.1] * 100, [0.2] * 100]
    cases = [
        ("/interpolate", {"noise": noise, "truncation": 0.5}, ("truncation",)),
        ("/generate", {"seed": 1, "latents": True}, ("latents",)),
        ("/edit", {"seed": 1, "latents": True}, ("latents",)),
        ("/edit", {"seed": 1, "iterations": 3}, ("iterations",)),
        ("/edit", {"seed": 1, "fit": "crop"}, ("fit",)),
        ("/edit", {"seed": 1, "background": "red"}, ("background",)),
    ]
    for path, fields, place in cases:
        refused(client.post(path, json=fields), 422, place)


def test_the_accept_header_chooses_a_format_of_pictures(client, png):
    def kind(accept):
        return client.post("/invert?iterations=0", content=png, headers={**PNG, "Accept": accept})

    assert kind("image/webp").headers["content-type"] == "image/webp"
    assert kind("*/*").headers["content-type"] == "application/json"
    assert kind("image/*").headers["content-type"] == "image/png"
    refused(kind("text/html"), 406)


def test_hints_are_examples_of_the_field(client, png):
    for query, hint in (("move=x", "move=width:2"), ("mix=x", "mix=seed:7;layers:0,1")):
        assert hint in client.post(f"/edit?{query}", content=png, headers=PNG).json()["detail"]
    assert "direction" in client.post("/edit?move=width:2;", content=png, headers=PNG).json()["detail"]  # the end is no move
    problem = client.post("/interpolate", content=b"x", headers={"Content-Type": "application/x-npy"}).json()
    assert problem["detail"] == "Content-Type: application/x-npy; send application/json"


@pytest.mark.filterwarnings("error")
def test_latent_vectors_of_no_length_are_interpolated_without_a_warning(client):
    assert client.post("/interpolate", json={"noise": [[0.0] * 100, [0.0] * 100], "frames": 3}).status_code == 200


def test_a_body_is_let_go_when_it_is_answered(trained):
    noise = file_of(Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)))
    settings, batcher, api = Settings(models=trained.models), Batcher(), Api()
    end = b"--XX--"

    async def ask(path, headers, *pieces):
        """Send a body that nobody else holds; returns the status of the answer."""
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"".join(pieces), "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "root_path": ""}
        scope |= {"headers": [(b"content-type", headers["Content-Type"].encode())], "gan-service.disconnected": connected}
        await api(scope, receive, send)
        return sent[0]["status"]

    async def ask_all():
        junk = b"x" * len(noise)
        fields = part("iterations", b"0")
        return [
            await ask("/invert", PNG, noise),
            await ask("/invert", FORM, part("image", b"")[:-2], noise, b"\r\n", fields, end),
            await ask("/invert", PNG, junk),
            await ask("/invert", FORM, part("image", b"")[:-2], junk, b"\r\n", end),
            await ask("/invert", FORM, part("image", b"")[:-2], junk),
            await ask("/score", PNG, noise),
        ]

    async def scenario():
        nonlocal connected
        connected = asyncio.get_running_loop().create_future()
        api.open(Models(settings), batcher, settings)
        assert await ask_all() == [200, 200, 422, 422, 400, 422]
        with without_garbage_collection():
            tracemalloc.start()
            try:
                await ask_all()
                before = tracemalloc.get_traced_memory()[0]  # the last request of a kind may be held until the next
                for _ in range(3):
                    await ask_all()
                return tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()

    connected = None
    held = asyncio.run(scenario())
    batcher.close()
    assert held < len(noise)


def test_searches_ahead_count_by_the_images_that_they_draw():
    admission = Admission(100, 10**9, lambda: 50.0)
    with admission.admit(100, 1, work=1000), pytest.raises(RequestError) as full, admission.admit(1, 1):
        pass
    assert full.value.headers["Retry-After"] == "20"
