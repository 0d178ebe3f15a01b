"""Request bodies as programs really send them: compressed, in other encodings, and .npy files of every kind."""

import asyncio
import gzip
import io
import json
import zlib
from contextlib import ExitStack

import numpy as np
import pytest
from starlette.requests import Request

from serving.bodies import BodyReader
from serving.errors import RequestError
from tests.conftest import latents
from tests.serving.test_api import pixels, refused

JSON, NPY = {"Content-Type": "application/json"}, {"Content-Type": "application/x-npy"}
BODY = b'{"seed": 7}'


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def with_header(header, numbers=b"", version=b"\x01\x00"):
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + header + numbers


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.fixture(scope="module")
def seven(client):
    return client.post("/generate", json={"seed": 7}).content


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:4]) + gzip.compress(body[4:])),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),  # not what the standard says, but what some send
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_compressed_bodies_are_read(client, seven, coding, pack):
    assert client.post("/generate", content=pack(BODY), headers={**JSON, "Content-Encoding": coding}).content == seven


def test_every_route_reads_compressed_bodies(client, seven):
    headers = {"Content-Encoding": "gzip"}
    asked = gzip.compress(b'{"seeds": [7, 8], "frames": 3, "format": "npz"}')
    response = client.post("/interpolate", content=asked, headers={**JSON, **headers})
    assert np.load(io.BytesIO(response.content))["images"].shape == (3, 32, 32, 1)
    noise = client.post("/generate", content=gzip.compress(npy(latents([7]))), headers={**NPY, **headers})
    assert np.array_equal(pixels(noise.content), pixels(seven))


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
def test_another_content_coding_is_refused_and_those_there_are_named(client, coding):
    response = client.post("/generate", content=BODY, headers={**JSON, "Content-Encoding": coding})
    assert "Content-Encoding" in refused(response, 415)["detail"]
    assert response.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_not_compressed_as_it_says_is_refused(client, coding):
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}[coding](json.dumps({"seeds": list(range(50))}).encode())
    for body in (BODY, packed[:-9], packed[:1], packed + b"more"):
        problem = refused(client.post("/generate", content=body, headers={**JSON, "Content-Encoding": coding}), 400)
        assert "Content-Encoding" in problem["detail"]


def test_the_bound_of_a_body_is_that_of_what_it_unpacks_to(client):
    for size, status in ((100_000, 200), (100_001, 413), (50_000_000, 413)):
        body = BODY + b" " * (size - len(BODY))
        assert (
            client.post("/generate", content=gzip.compress(body, 1), headers={**JSON, "Content-Encoding": "gzip"}).status_code
            == status
        )
    nothing = gzip.compress(b"") * 10_000  # members that unpack to nothing, 200 KB
    refused(client.post("/generate", content=nothing, headers={**JSON, "Content-Encoding": "gzip"}), 413)


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8", "us-ascii", "iso-8859-1"])
def test_charsets(client, seven, charset):
    headers = {"Content-Type": f"application/json; charset={charset}"}
    assert client.post("/generate", content=BODY, headers=headers).content == seven


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_json_in_any_unicode_encoding_is_read(client, seven, encoding):
    for headers in (JSON, {"Content-Type": f"application/json; charset={encoding.removesuffix('-sig')}"}):
        assert client.post("/generate", content=BODY.decode().encode(encoding), headers=headers).content == seven
    asked = '{"seeds": [7, 8], "frames": 3}'.encode(encoding)
    assert client.post("/interpolate", content=asked, headers=JSON).status_code == 200


def test_another_charset_is_refused_by_name(client):
    for charset in ("shift_jis", "rot13", "nonsense"):
        response = client.post("/generate", content=BODY, headers={"Content-Type": f"application/json; charset={charset}"})
        detail = refused(response, 415)["detail"]
        assert charset in detail
        assert "UTF-8" in detail


@pytest.mark.parametrize("body", [b"\xff\xfe{", b"{\x00\x00\xd8", b'{"model": "\xe9"}'])
def test_broken_text_is_said(client, body):
    assert "the body is not" in refused(client.post("/generate", content=body, headers=JSON), 400)["detail"]


@pytest.mark.parametrize("media_type", ["text/json", "application/vnd.api+json", "application/problem+json; charset=utf-8"])
def test_other_names_of_json(client, seven, media_type):
    assert client.post("/generate", content=BODY, headers={"Content-Type": media_type}).content == seven


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 100), }"


@pytest.mark.parametrize(
    "header",
    [
        GOOD,
        GOOD + " " * 54 + "\n",
        "{'descr':'<f4','fortran_order':False,'shape':(1,100)}",
        '{"descr": "<f4", "fortran_order": False, "shape": (1, 100,)}',
    ],
)
def test_headers_as_the_writers_of_npy_files_write_them(client, seven, header):
    numbers = latents([7]).tobytes()
    for version in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        response = client.post("/generate", content=with_header(header.encode(), numbers, version), headers=NPY)
        assert np.array_equal(pixels(response.content), pixels(seven))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "{[]:1}",
        "(" * 9_000,
        "-" * 9_000 + "1",
        "{1: 2, 'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -100), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 100), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0, 100), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': [1, 100], }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5_000 + ", 100), }",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1, 100), }",
        "{'descr': '<f4', 'fortran_order': False, }",
        GOOD + "x",
        "x" + GOOD,
        GOOD.replace("1, 100", "1,, 100"),
        "{'descr': " + "[" * 5_000,
        "__import__('os').abort()",
    ],
)
def test_a_malformed_npy_header_is_refused(client, header):
    for version in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        body = with_header(header.encode(), latents([7]).tobytes(), version)
        assert ".npy" in refused(client.post("/generate", content=body, headers=NPY), 400)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x09\x00" + b" " * 99,
        b"\x93NUMPX" + b" " * 99,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        npy(latents([7]))[:40],
        b"PK\x03\x04" + b" " * 200,
    ],
)
def test_what_is_no_npy_file_is_refused(client, body):
    assert ".npy" in refused(client.post("/generate", content=body, headers=NPY), 400)["detail"]


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 100), }",
        "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 100), }",
        "{'descr': '|b1', 'fortran_order': False, 'shape': (1, 100), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 100), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (100,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 10, 10), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 100), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (100, 0), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 100), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 99999999999), }",
    ],
)
def test_an_npy_file_of_another_kind_of_array_is_refused(client, header):
    refused(client.post("/generate", content=with_header(header.encode(), latents([7]).tobytes()), headers=NPY), 422, ("noise",))


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((2, 100), np.float64), "must be float32 [n, z_dim], not <f8; convert it by astype('<f4')"),
        (np.asfortranarray(np.zeros((2, 100), np.float32)), "convert it by numpy.ascontiguousarray"),
        (np.zeros(100, np.float32), "must have two dimensions, [n, z_dim], not [100]; make it one row by array[None]"),
        (np.zeros((1, 2, 100), np.float32), "must have two dimensions, [n, z_dim], not [1, 2, 100]"),
        (np.zeros((0, 100), np.float32), "must have at least one row and one column, not [0, 100]"),
    ],
)
def test_arrays_of_another_kind_are_refused_with_the_remedy_that_helps(client, array, remedy):
    file = io.BytesIO()
    np.save(file, array)
    answer = client.post("/generate", content=file.getvalue(), headers={"Content-Type": "application/x-npy"})
    assert refused(answer, 422, ("noise",))["detail"].endswith(remedy)


def test_even_a_tiny_body_is_bounded():
    async def scenario():
        async def receive():
            return {"type": "http.request", "body": b"a" * 11, "more_body": False}

        request = Request({"type": "http", "method": "POST", "headers": [], "query_string": b""}, receive)
        with ExitStack() as held, pytest.raises(RequestError, match="larger than 10 bytes") as refused:
            await BodyReader(10, "send less").read(request, held)
        assert refused.value.status == 413

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'{"seed": 7, "seed": 8}', ["seed"]),
        (b'{"seed": 7, "n": 1, "seed": 7}', ["seed"]),
        (b'{"seed": 7, "s\\u0065ed": 8}', ["seed"]),
        (b'{"codes": {"a": 1, "a": 2}}', ["a"]),
        (b'{"noise": [[1]], "format": "json", "noise": [[2]]}', ["noise"]),
    ],
)
def test_a_field_that_is_given_twice_is_refused_as_in_a_query(client, body, loc):
    problem = refused(client.post("/generate", content=body, headers=JSON), 422)
    assert problem["errors"] == [{"loc": loc, "msg": "is given more than once; give it once"}]


def test_equal_names_in_different_objects_are_not_given_twice(client):
    body = {"seed": 1, "mix": {"seed": 2, "layers": [0]}}
    assert "more than once" not in refused(client.post("/edit", json=body), 422)["detail"]
    assert (
        "there is no model" in refused(client.post("/generate", json={"seed": 7, "model": '"seed": \\"seed\\": '}), 404)["detail"]
    )


def test_headers_that_come_twice_and_differ_say_nothing_about_the_body(client, seven):
    twice = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    for headers in (twice, twice[::-1]):
        problem = refused(client.post("/generate", content=BODY, headers=headers), 415)
        assert ", ".join(value for _, value in headers) in problem["detail"]
    assert client.post("/generate", content=BODY, headers=twice[:1] * 2).content == seven
    codings = [*twice[:1], ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    assert "identity, gzip" in refused(client.post("/generate", content=gzip.compress(BODY), headers=codings), 415)["detail"]
