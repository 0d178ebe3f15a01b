"""What a wrong field is told: the field, the reason and what to write instead, in the service's own words."""

import json

import pytest

from tests.serving.test_api import images, pixels, refused

# How the library that checks the fields speaks
FOREIGN = (
    "Input should",
    "valid integer",
    "valid string",
    "valid number",
    "after validation",
    "unable to parse",
    "Field required",
    "Extra inputs",
)


def told(response, *fields):
    detail = refused(response, 422, *fields)["detail"]
    for words in FOREIGN:
        assert words not in response.text
    return detail


def post(client, text, path="/generate"):
    return client.post(path, content=text, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("number", ["7.0", "7e0", "0.7e1", "70e-1", "7.000"])
def test_a_whole_number_may_be_written_with_a_point_or_an_exponent(client, number):
    seven = client.post("/generate", json={"seed": 7, "n": 2, "scale": 2, "columns": 2}).content
    assert post(client, f'{{"seed": {number}, "n": 2.0, "scale": 2.0, "columns": 2e0}}').content == seven
    assert client.get(f"/generate?seed={number}&n=2.0&scale=2.&columns=2e0").content == seven
    assert images(post(client, f'{{"seeds": [{number}, 8.0], "format": "json"}}'))[0]["seed"] == 7
    assert post(client, f'{{"seed": {number}, "format": "jpeg", "quality": 50.0}}').status_code == 200
    assert images(client.get(f"/generate?seeds={number},8.0&format=json"))[0]["seed"] == 7
    assert post(client, f'{{"seeds": [{number}, 8], "frames": 3.0}}', "/interpolate").status_code == 200
    assert post(client, '{"seed": 4294967295.0}').headers["x-seed"] == "4294967295"


@pytest.mark.parametrize("field", ["seed", "n", "scale", "columns", "quality", "frames", "seeds"])
@pytest.mark.parametrize(
    "value", ["7.5", "true", '"7"', "1e999", "-1", "[]", "{}", "1e400", "9" * 4_000, "9" * 5_000, "-1.0", "NaN"]
)
def test_what_is_no_whole_number_is_refused(client, field, value):
    path, rest = ("/interpolate", '"seeds": [1, 2], ') if field == "frames" else ("/generate", "")
    given = f"[1, {value}]" if field == "seeds" else value
    response = post(client, f'{{{rest}"{field}": {given}}}', path)
    if len(value) == 5_000:  # more digits than the parser of JSON takes
        refused(response, 400)
    else:
        detail = told(response, ("seeds", 1) if field == "seeds" else (field,))
        assert "whole number" in detail or value == "9" * 4_000
    assert len(response.content) < 1_000


@pytest.mark.parametrize(
    "field", ["seed", "n", "seeds", "scale", "columns", "quality", "truncation", "noise", "format", "model", "label", "codes"]
)
@pytest.mark.parametrize(
    "text",
    [
        "1" * 5_000,
        "1" * 400,
        "-" + "1" * 5_000,
        "1e999",
        "nan",
        "x",
        "\u0663\u0663" * 3_000,
        "a:" + "1" * 5_000,
        "0x" + "f" * 5_000,
    ],
)
def test_nothing_in_a_query_fails_the_service(client, field, text):
    response = client.get("/generate", params={field: text})
    assert response.status_code in (404, 422)
    assert len(response.content) < 3_000
    assert not any(words in response.text for words in FOREIGN)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("seed=-1", "leave it out for a random one"),
        ("seed=18446744073709551615", "4294967295"),
        ("seed=4294967296", "write 0"),
        ("seed=0x10", "write 16"),
        ("seed=1.5", "whole number"),
        ("seed=abc", "whole number"),
        ("seeds=0-9", "seed=0 and n=10"),
        ("seeds=3..5", "seed=3 and n=3"),
        ("seeds=9-0", "seed=0 and n=10"),
        ("seed=1,2", "as seeds"),
        ("seeds=1;2", "commas"),
        ("seeds=1 2", "commas"),
        ("seeds=1,,2", "whole number"),
        ("n=0", "1 or more"),
        ("n=-3", "1 or more"),
        ("truncation=0,5", "write 0.5"),
        ("truncation=50%25", "from 0 to 1"),
        ("truncation=nan", "from 0 to 1"),
        ("scale=2x", "write 2"),
        ("scale=0.5", "whole number"),
        ("format=bmp", "png, webp, jpeg, zip, npz, json"),
        ("format=gif", "/interpolate"),
        ("quality=high&format=jpeg", "1 to 100"),
        ("noise=a", "between -1000 and 1000"),
        ("sead=1", "there are"),
        ("label=Bag", "no labels"),
        ("codes=slant", "codes=slant:"),
        ("seed=1&seed=2", "seed"),
    ],
)
def test_every_message_says_what_to_write_instead(client, query, says):
    field = query.partition("=")[0]
    detail = told(client.get(f"/generate?{query}"))
    assert detail.startswith(field)
    assert says in detail


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"seed": -1}, ("seed",), "leave it out for a random one"),
        ({"seed": -1.0}, ("seed",), "leave it out for a random one"),
        ({"seed": 2**64 - 1}, ("seed",), "4294967295"),
        ({"seed": 2.0**32 + 1}, ("seed",), "write 1, which is what it is modulo 2^32"),
        ({"seed": "7"}, ("seed",), "without quotes"),
        ({"seed": True}, ("seed",), "true"),
        ({"seed": [7]}, ("seed",), "a list of 1; several seeds are given as seeds"),
        ({"seeds": "0-9"}, ("seeds",), '"seed": 0 and "n": 10'),
        ({"seeds": "1,2"}, ("seeds",), "a list"),
        ({"seeds": []}, ("seeds",), "at least one"),
        ({"seeds": [1, "2"]}, ("seeds", 1), "without quotes"),
        ({"noise": [1.0]}, ("noise", 0), "a list of numbers"),
        ({"noise": [["x"]]}, ("noise", 0, 0), "number between -1000 and 1000"),
        ({"noise": {}}, ("noise",), "a list"),
        ({"label": True}, ("label",), "class"),
        ({"label": [1, None]}, ("label", 1), "class"),
        ({"label": {}}, ("label",), "class"),
        ({"label": []}, ("label",), "class"),
        ({"codes": 3}, ("codes",), "by name"),
        ({"codes": {"x": "y"}}, ("codes", "x"), "number"),
        ({"codes": {"x": [1, "y"]}}, ("codes", "x", 1), "number"),
        ({"truncation": "0.5"}, ("truncation",), "without quotes"),
        ({"truncation": 10**400}, ("truncation",), "from 0 to 1"),
        ({"model": 3}, ("model",), "name@version"),
        ({"format": 3}, ("format",), "png, webp"),
        ({"loop": "yes"}, ("loop",), "/interpolate"),
    ],
)
def test_every_message_of_a_json_body_says_what_to_write_instead(client, body, field, says):
    assert says in told(client.post("/generate", json=body), field)


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, ("seeds",), "at least two"),
        ({"seeds": [1]}, ("seeds",), "at least two"),
        ({"seeds": [1, 2], "loop": "yes"}, ("loop",), "true or false"),
        ({"seeds": [1, 2], "fps": 0}, ("fps",), "over 0 and at most 50"),
        ({"seeds": [1, 2], "fps": 10**400}, ("fps",), "over 0 and at most 50"),
        ({"seeds": [1, 2], "frames": 1}, ("frames",), "2 or more"),
        ({"seeds": [1, 2], "format": "jpeg"}, ("format",), "webp, gif, png, zip, npz"),
        ({"seeds": [1, 2], "label": [1]}, ("label",), "class"),
        ({"seeds": [1, 2], "n": 3}, ("n",), "/generate"),
    ],
)
def test_every_message_of_an_interpolation_says_what_to_write_instead(client, body, field, says):
    assert says in told(client.post("/interpolate", json=body), field)


@pytest.mark.parametrize("name", ["jpg", "JPG", "JPEG", "Jpeg", " jpeg"])
def test_jpg_is_jpeg_and_case_does_not_matter(client, name):
    jpeg = client.post("/generate", json={"seed": 7, "format": "jpeg"}).content
    assert client.post("/generate", json={"seed": 7, "format": name}).content == jpeg
    assert client.get("/generate", params={"seed": 7, "format": name}).content == jpeg
    assert client.get("/generate", params={"seed": 7, "format": "PNG"}).headers["content-type"] == "image/png"
    assert client.post("/interpolate", json={"seeds": [1, 2], "frames": 2, "format": "GIF"}).headers["content-type"] == "image/gif"


@pytest.mark.parametrize(
    "query",
    ["seed=", "seeds=&seed=7", "seed=7&n=&label=&codes=&noise=&format=&model=&truncation=&scale=", "seed=7&seed=", "seed=%20"],
)
def test_an_empty_value_in_a_query_is_an_absent_one(client, query):
    response = client.get(f"/generate?{query}")
    assert response.status_code == 200
    if "7" in query:
        assert response.content == client.get("/generate?seed=7").content
    assert client.post("/generate?seed=", json={"seed": 7}).content == client.get("/generate?seed=7").content


def test_a_list_may_be_given_by_repeating_its_field(client):
    assert client.get("/generate?seeds=1&seeds=2,3").content == client.get("/generate?seeds=1,2,3").content
    one, two = ",".join(["0.5"] * 100), ",".join(["-0.5"] * 100)
    assert client.get(f"/generate?noise={one}&noise={two}").content == client.get(f"/generate?noise={one};{two}").content


def test_the_message_of_a_long_list_is_short(client):
    response = post(client, json.dumps({"noise": [["x" * 10_000] * 3], "label": ["y" * 10_000], "seed": "z" * 10_000}))
    told(response)
    assert len(response.content) < 1_500
    assert pixels(client.get("/generate?seed=7").content).shape == (32, 32)


@pytest.mark.parametrize("number", ["1_0", "1_0.0", "\u0667.0"])
@pytest.mark.parametrize("field", ["seed", "seeds", "n", "scale", "quality"])
def test_digits_that_only_python_reads_are_no_whole_number_of_a_query(client, field, number):
    response = client.get("/generate", params={field: number, "format": "jpeg"})
    assert "whole number" in told(response, ("seeds", 0) if field == "seeds" else (field,))


@pytest.mark.parametrize("number", ["0_0.5", "0.\u0665", "1_0"])
@pytest.mark.parametrize(("field", "place"), [("truncation", ("truncation",)), ("noise", ("noise", 0, 0))])
def test_nor_any_other_number(client, field, place, number):
    assert "a number" in told(client.get("/generate", params={field: number}), place)


@pytest.mark.parametrize("blank", [b" ", b"\n\t ", b"\xef\xbb\xbf "])
def test_a_blank_body_is_told_what_to_send(client, blank):
    response = client.post("/generate", content=blank, headers={"Content-Type": "application/json"})
    assert "the body is blank; send an object in braces" in refused(response, 400)["detail"]
