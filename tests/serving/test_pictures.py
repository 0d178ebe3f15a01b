"""How pictures reach the service: as a body, in a form, in JSON; and what is done with those that are none."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from gan.images.decoding import Options, decode
from tests.serving.test_api import pixels, refused

PNG = {"Content-Type": "image/png"}


def file_of(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture():
    """A picture in colour, not square, of another size than the model's."""
    ramp = np.add.outer(np.arange(40), 3 * np.arange(60)).astype(np.uint8)
    return Image.fromarray(np.stack([ramp, 255 - ramp, ramp // 2], -1))


@pytest.fixture(scope="module")
def png(picture):
    return file_of(picture)


def seen(client, png, **fields):
    """What the model sees of a picture, which an answer has on its left."""
    params = {"original": True, "iterations": 0, "format": "png", **fields}
    answer = client.post("/invert", params=params, content=png, headers=PNG)
    assert answer.status_code == 200, answer.text
    return pixels(answer.content)[:, :32]


def inverted(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["images"]


def test_every_way_of_sending_a_picture_says_the_same(client, png):
    query = "/invert?iterations=1"
    expected = client.post(query, content=png, headers=PNG).json()
    assert len(expected["images"]) == 1
    for content_type in ("application/octet-stream", "application/x-www-form-urlencoded", "image/jpeg", "IMAGE/PNG; charset=x"):
        assert client.post(query, content=png, headers={"Content-Type": content_type}).json() == expected
    assert client.post(query, content=png).json() == expected  # no type at all
    encoded = base64.b64encode(png).decode()
    for text in (encoded, f"data:image/png;base64,{encoded}"):
        assert client.post("/invert", json={"images": [text], "iterations": 1}).json() == expected
    parts = {"image": ("shoe.png", png, "image/png")}
    assert client.post("/invert", files=parts, data={"iterations": "1"}).json() == expected
    assert client.post("/invert", files=parts | {"fields": (None, '{"iterations": 1}', "application/json")}).json() == expected
    assert client.post("/invert", files=parts | {"fields": ("f.json", '{"iterations": 1}')}).json() == expected
    assert client.post("/invert", files={"image": (None, png)}, data={"iterations": "1"}).json() == expected  # no file name


def test_several_pictures_are_answered_in_their_order(client, picture, png):
    other = file_of(picture.rotate(180))
    singly = [inverted(client.post("/invert?iterations=1", content=one, headers=PNG))[0] for one in (png, other)]
    parts = [("image", ("a.png", png)), ("image", ("b.png", other))]
    assert inverted(client.post("/invert", files=parts, data={"iterations": "1"})) == singly
    encoded = [base64.b64encode(one).decode() for one in (png, other)]
    assert inverted(client.post("/invert", json={"images": encoded, "iterations": 1})) == singly


def test_pictures_are_decoded_as_training_decodes_them(client, picture, png):
    transparent = picture.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(picture.size))
    sideways = Image.Exif()
    sideways[0x0112] = 6
    files = [
        png,
        file_of(picture, "WEBP", lossless=True),
        file_of(picture, "JPEG", exif=sideways),
        file_of(picture.convert("CMYK"), "JPEG"),
        file_of(Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)),
        file_of(transparent),
    ]
    for content in files:
        expected = decode(content, Options((32, 32), "crop", (255, 255, 255))).pixels
        red, green, blue = expected.astype(int)
        grey = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
        assert np.array_equal(seen(client, content), grey)


def test_how_a_picture_is_made_to_fit_can_be_said(client, png):
    cropped, padded, on_black = seen(client, png), seen(client, png, fit="pad"), seen(client, png, fit="pad", background="black")
    assert np.array_equal(seen(client, png, fit="crop"), cropped)
    assert np.array_equal(padded[:5], np.full((5, 32), 255))
    assert np.array_equal(on_black[:5], np.zeros((5, 32)))
    assert np.array_equal(padded[10:20], on_black[10:20])
    refused(client.post("/invert?background=nocolour", content=png, headers=PNG), 422, ("background",))
    refused(client.post("/invert?fit=squeeze", content=png, headers=PNG), 422, ("fit",))


@pytest.mark.parametrize(
    "content",
    [
        b"no picture",
        b"\x89PNG\r\n\x1a\n",
        b"",
        zlib.compress(b"x"),
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"\xff\xd8\xff",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    ],
)
def test_what_is_no_picture_is_refused_by_its_place(client, png, content):
    problem = refused(client.post("/invert", content=content, headers=PNG), 422, ("image",))
    assert "PNG, JPEG or WebP" in problem["detail"]
    parts = [("image", ("a.png", png)), ("image", ("b.png", content))]
    refused(client.post("/invert", files=parts), 422, ("image", 1))
    refused(client.post("/invert", json={"images": [base64.b64encode(content).decode()]}), 422, ("images", 0))


def test_damaged_files_and_other_formats_are_refused(client, picture, png):
    for content in (png[: len(png) // 2], png[:60] + b"\0\0\0" + png[63:], file_of(picture, "GIF"), file_of(picture, "TIFF")):
        refused(client.post("/invert", content=content, headers=PNG), 422, ("image",))


def test_bombs_are_refused_before_they_are_decoded(client):
    bomb = file_of(Image.new("1", (30_000, 30_000)))
    assert len(bomb) < 200_000
    problem = refused(client.post("/invert", content=bomb, headers=PNG), 422, ("image",))
    assert "has 900000000 pixels, over 16777216 (GAN_MAX_INPUT_PIXELS); scale it down" in problem["detail"]
    just = file_of(Image.new("1", (4097, 4096)))
    refused(client.post("/invert", content=just, headers=PNG), 422, ("image",))
    assert client.post("/invert?iterations=0", content=file_of(Image.new("1", (4096, 4096))), headers=PNG).status_code == 200


def test_a_request_without_a_picture_says_how_to_send_one(client):
    for answer in (
        client.post("/invert"),
        client.post("/invert", json={}),
        client.post("/invert", files={"iterations": (None, "1")}),
    ):
        assert "parts of a form called image" in answer.json()["detail"]
        assert answer.status_code == 422


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-npy", "video/mp4", "application/x-www-form-urlencoded"])
def test_other_types_are_refused(client, content_type):
    refused(client.post("/invert", content=b"x" * 50, headers={"Content-Type": content_type}), 415)


def test_fields_that_cannot_be(client, png):
    parts = {"image": ("a.png", png)}
    cases = [
        (client.post("/invert?iterations=1", files=parts), ("iterations",)),  # the query is for bodies without fields
        (client.post("/invert?iterations=1", json={"images": ["YQ=="]}), ("iterations",)),
        (client.post("/invert?iterations=101", content=png, headers=PNG), ("iterations",)),
        (client.post("/invert?iterations=x", content=png, headers=PNG), ("iterations",)),
        (client.post("/invert?steps=3", content=png, headers=PNG), ("steps",)),
        (client.post("/invert?images=YQ==", content=png, headers=PNG), ("images",)),
        (client.post("/invert", files=parts, data={"images": "YQ=="}), ("images",)),
        (client.post("/invert", json={"images": ["no base64!"]}), ("images", 0)),
        (client.post("/invert", json={"images": [7]}), ("images", 0)),
        (client.post("/invert", json={"images": []}), ("images",)),
        (client.post("/invert", files=parts | {"photo": ("b.png", png)}), ("photo",)),
        (client.post("/invert", files=parts | {"fields": (None, "{}")}, data={"iterations": "1"}), ("fields",)),
        (client.post("/invert", files=parts | {"note": (None, b"\xff\xfe")}), ("note",)),
        (client.post("/invert?original=true", content=png, headers=PNG), ("original",)),
        (client.post("/invert?format=gif", content=png, headers=PNG), ("format",)),
        (client.post("/invert?label=Bag", content=png, headers=PNG), ("label",)),
        (client.post("/invert?quality=5&format=png", content=png, headers=PNG), ("quality",)),
        (client.post("/invert?scale=200&format=png", content=png, headers=PNG), ("scale",)),
        (client.post("/invert", files=[("image", ("a.png", png))] * 17), ("image",)),
        (client.post("/invert", json={"images": ["iVBO"] * 17}), ("images",)),
        (client.post("/edit", json={"images": ["iVBO"] * 17}), ("images",)),
        (client.post("/edit", json={"images": ["iVBO"] * 200}), ("images",)),
        (client.post("/edit", json={"images": ["iVBO"], "seed": 1}), ("images",)),
    ]
    for answer, place in cases:
        refused(answer, 422, place)
    refused(client.post("/invert?model=none", content=png, headers=PNG), 404, ("model",))
    refused(client.get("/invert"), 405)


def test_forms_that_are_none_are_refused(client, png):
    refused(client.post("/invert", content=png, headers={"Content-Type": "multipart/form-data"}), 400)
    refused(client.post("/invert", content=png, headers={"Content-Type": "multipart/form-data; boundary=x"}), 400)
    many = b"".join(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' for _ in range(1001)) + b"--x--"
    refused(client.post("/invert", content=many, headers={"Content-Type": "multipart/form-data; boundary=x"}), 422)


def test_bodies_with_pictures_have_a_bound_of_their_own(client):
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    large = file_of(Image.fromarray(noise))
    assert len(large) > 100_000  # GAN_MAX_BODY of this service
    assert client.post("/invert?iterations=0", content=large, headers=PNG).status_code == 200
    problem = refused(client.post("/invert", content=large + b"\0" * 2**24, headers=PNG), 413)
    assert "send fewer or smaller pictures" in problem["detail"]
