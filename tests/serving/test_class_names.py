"""Classes under names as people have them: with commas, in other scripts, of digits."""

import json
import shutil
import unicodedata

import pytest

from gan.manifest import MANIFEST
from tests.serving.test_api import refused
from tests.serving.test_labels import serving

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Ärmel") for form in ("NFC", "NFD"))
NAMES = ["Coat, red", "Coat", DECOMPOSED, "2", "10", "a;b:c", "Bag", "red", "caf\u00e9", "T-shirt/top"]


def renamed(model, folder, classes):
    """A copy of a model's folder whose classes have other names."""
    shutil.copytree(model, folder / model.name)
    manifest = json.loads((folder / model.name / MANIFEST).read_text())
    latent, label = manifest["inputs"]
    inputs = [latent, label | {"names": classes, "categories": len(classes)}]
    (folder / model.name / MANIFEST).write_text(json.dumps(manifest | {"inputs": inputs}))
    return folder


@pytest.fixture(scope="module")
def named(conditional, tmp_path_factory):
    with serving(renamed(conditional.model, tmp_path_factory.mktemp("named"), NAMES)) as client:
        yield client


def labels(response):
    assert response.status_code == 200, response.text
    return [image["label"] for image in response.json()["images"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_asked_for_everywhere(named, name):
    assert labels(named.get("/generate", params={"label": name, "format": "json", "n": 2})) == [name] * 2
    assert labels(named.post("/generate", json={"label": name, "format": "json"})) == [name]
    assert labels(named.post("/generate", json={"label": [name, "Bag"], "n": 2, "format": "json"})) == [name, "Bag"]
    assert labels(named.get("/generate", params={"label": ["Bag", name], "format": "json", "n": 2})) == ["Bag", name]
    assert labels(named.get("/generate", params={"label": f"{name},Bag", "format": "json", "n": 2})) == [name, "Bag"]
    assert named.post("/interpolate", json={"seeds": [1, 2], "frames": 2, "label": name}).status_code == 200


def test_commas_separate_names_where_no_class_has_them(named):
    asked = {"label": "Bag, Coat, red,red,Coat", "n": 4, "format": "json"}
    assert labels(named.get("/generate", params=asked)) == ["Bag", "Coat, red", "red", "Coat"]
    # Named one by one, they are what they are
    assert labels(named.get("/generate", params={"label": ["Coat", "red"], "n": 2, "format": "json"})) == ["Coat", "red"]


def test_a_json_number_is_an_index_and_text_a_name(named):
    assert labels(named.post("/generate", json={"label": [2, "2", 10.0 - 7, "10"], "n": 4, "format": "json"})) == [
        NAMES[2],
        "2",
        "2",
        "10",
    ]


def test_in_a_query_a_number_is_a_name_where_a_class_has_it_and_else_an_index(named):
    asked = {"label": "2,3,10,4,4.0", "n": 5, "format": "json"}
    assert labels(named.get("/generate", params=asked)) == ["2", "2", "10", "10", "10"]


def test_names_that_look_the_same_are_the_same(named):
    for form in (COMPOSED, DECOMPOSED):
        assert labels(named.post("/generate", json={"label": form, "format": "json"})) == [DECOMPOSED]
        assert labels(named.get("/generate", params={"label": form, "format": "json"})) == [DECOMPOSED]
    assert labels(named.post("/generate", json={"label": "cafe\u0301", "format": "json"})) == ["caf\u00e9"]


@pytest.mark.parametrize(
    ("label", "name"), [("bag", "Bag"), ("COAT, RED", "Coat, red"), ("CAF\u00c9", "caf\u00e9"), ("\u00e4rmel", DECOMPOSED)]
)
def test_upper_and_lower_case_are_the_same(named, label, name):
    assert labels(named.post("/generate", json={"label": label, "format": "json"})) == [name]
    assert labels(named.get("/generate", params={"label": f"{label},Bag", "format": "json", "n": 2})) == [name, "Bag"]


def test_where_two_classes_differ_in_case_each_has_its_own_name(conditional, tmp_path):
    with serving(renamed(conditional.model, tmp_path, ["bag", "Bag", *NAMES[2:6], *NAMES[7:], "z"])) as client:
        for name in ("bag", "Bag"):
            assert labels(client.post("/generate", json={"label": name, "format": "json"})) == [name]
        detail = refused(client.post("/generate", json={"label": "BAG"}), 422, ("label",))["detail"]
        assert "did you mean 'bag'" in detail


def test_where_two_classes_look_the_same_each_has_its_own_name(conditional, tmp_path):
    with serving(renamed(conditional.model, tmp_path, [DECOMPOSED, COMPOSED, *NAMES[3:], "z"])) as client:
        for name in (COMPOSED, DECOMPOSED):
            assert labels(client.post("/generate", json={"label": name, "format": "json"})) == [name]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("6", "without quotes"),
        ("Hat", "there is no class 'Hat'"),
    ],
)
def test_a_name_that_is_nearly_right_is_told_the_right_one(named, label, says):
    detail = refused(named.post("/generate", json={"label": label}), 422, ("label",))["detail"]
    assert says in detail
    assert "Bag" in detail


@pytest.mark.parametrize("label", ["1" * 5_000, "1" * 30, "-1", "10.5", "," * 20_000, "x" * 20_000, "Bag," * 10_000])
def test_a_label_that_is_no_class_is_refused_shortly(named, label):
    response = named.get("/generate", params={"label": label})
    refused(response, 422, ("label",))
    assert len(response.content) < 2_000


@pytest.mark.parametrize("label", [10, 10.0, 10**400, 1e300])
def test_an_index_beyond_the_last_class_is_told_the_range(named, label):
    assert "0 to 9" in refused(named.post("/generate", json={"label": label}), 422, ("label",))["detail"]
