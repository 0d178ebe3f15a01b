"""POST /score: how unusual pictures are, by the score that comes with a model."""

import io
import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from gan import model_folder
from gan.manifest import MANIFEST
from gan.scoring import SCORER
from tests.services import serving
from tests.serving.test_api import pixels, refused

PNG = {"Content-Type": "image/png"}


def png_of(level):
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def with_scorer(folder, target):
    """A copy of a model folder whose score is the mean of a picture's values, and whose nearest image is half of them."""
    shape = ["n", 1, 32, 32]
    nodes = [
        helper.make_node("Constant", [], ["half"], value=helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])),
        helper.make_node("ReduceMean", ["pictures", "axes"], ["score"], keepdims=0),
        helper.make_node("Constant", [], ["axes"], value=helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])),
        helper.make_node("Mul", ["pictures", "half"], ["drawn"]),
    ]
    graph = helper.make_graph(
        [nodes[0], nodes[2], nodes[1], nodes[3]],
        "scorer",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("drawn", TensorProto.FLOAT, shape),
        ],
    )
    shutil.copytree(folder, target)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), target / SCORER)
    manifest = json.loads((target / MANIFEST).read_text())
    manifest["networks"]["scorer"] = {"files": {"onnx": SCORER}}
    manifest["scoring"] = {"quantiles": np.linspace(-1, 0, 11).tolist(), "pictures": 11}
    manifest["files"] |= model_folder.digests(target, [SCORER])
    (target / MANIFEST).write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def client(trained, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    with_scorer(trained.model, models / trained.model.name)
    with serving(models) as client:
        yield client


def scores(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["images"]


def test_each_picture_has_a_score_and_the_share_of_real_pictures_above_it(client):
    parts = [("image", (f"{level}.png", png_of(level))) for level in (0, 64, 255)]
    answer = client.post("/score", files=parts)
    assert set(answer.json()) == {"model", "images"}
    assert answer.headers["x-model"] == answer.json()["model"]
    assert "score" in answer.headers["server-timing"]
    assert answer.headers["content-disposition"] == 'inline; filename="fashion-mnist-dcgan-score.json"'
    found = scores(answer)
    assert [set(one) for one in found] == [{"score", "share"}] * 3
    expected = [level / 127.5 - 1 for level in (0, 64, 255)]
    assert [one["score"] for one in found] == pytest.approx(expected, abs=1e-6)
    assert [one["share"] for one in found] == pytest.approx([1, 1 - (1 + expected[1]), 0], abs=1e-6)
    assert [scores(client.post("/score", content=png_of(level), headers=PNG))[0] for level in (0, 64, 255)] == found


def test_a_threshold_gives_a_verdict(client):
    parts = [("image", (f"{level}.png", png_of(level))) for level in (0, 64, 255)]
    for threshold, verdicts in ((0.05, [False, False, True]), (0.6, [False, True, True]), (0, [False] * 3)):
        found = scores(client.post("/score", files=parts, data={"threshold": str(threshold)}))
        assert [one["anomalous"] for one in found] == verdicts


def test_the_map_stands_beside_the_picture(client):
    sheet = pixels(client.post("/score?format=png", content=png_of(51), headers=PNG).content)  # the value -0.6, drawn as -0.3
    assert sheet.shape == (32, 64)
    assert (sheet[:, :32] == 51).all()
    assert (sheet[:, 32:] == 77).all()  # 0.3 of 255
    parts = [("image", (f"{level}.png", png_of(level))) for level in (0, 255)]
    answer = client.post("/score", files=parts, data={"format": "webp", "scale": "2"})
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == ("WEBP", (128, 128))
    assert answer.headers["content-disposition"].startswith("inline")


def test_scores_that_cannot_be(client):
    for query, place in (
        ("threshold=1.5", ("threshold",)),
        ("threshold=x", ("threshold",)),
        ("threshold=0.1&format=png", ("threshold",)),
        ("scale=2", ("scale",)),
        ("scale=500&format=png", ("scale",)),
        ("format=zip", ("format",)),
        ("iterations=3", ("iterations",)),
    ):
        refused(client.post(f"/score?{query}", content=png_of(0), headers=PNG), 422, place)
    refused(client.post("/score"), 422, ("image",))
    refused(client.post("/score", json={"images": ["iVBO"] * 1000}), 422, ("images",))
    refused(client.post("/score", content=b"no picture", headers=PNG), 422, ("image",))
    assert "only for /invert" in client.post("/score?iterations=3", content=png_of(0), headers=PNG).json()["detail"]


def test_a_model_without_a_score_says_how_to_make_one(trained):
    with serving(trained.models) as client:
        problem = refused(client.post("/score", content=png_of(0), headers=PNG), 422, ("model",))
        assert "python -m training.encoder MODEL" in problem["detail"]


def test_it_counts_as_images_while_it_is_scored(trained, tmp_path):
    with_scorer(trained.model, tmp_path / trained.model.name)
    with serving(tmp_path, queue=10) as client:
        admission = client.api._pipeline.admission
        admission.pending = 10
        refused(client.post("/score", content=png_of(0), headers=PNG), 429)
        admission.pending = 9
        assert client.post("/score", content=png_of(0), headers=PNG).status_code == 200
        assert (admission.pending, admission.pending_bytes) == (9, 0)
