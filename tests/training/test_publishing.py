import json
import shutil
from functools import partial

import pytest

from gan import artifact
from tests.conftest import SMALL_DATA
from training import data
from training.publishing import measure_model, promote, publish
from training.ruler import Ruler
from training.runs import UsageError


@pytest.fixture(scope="module")
def ruler():
    return Ruler.of(data.load(str(SMALL_DATA), (32, 32)), "random")


@pytest.fixture
def places(trained, tmp_path):
    """A finished model in a run's folder, and a folder of models where it stands already, under another version."""
    model, models = tmp_path / "run" / "model", tmp_path / "models"
    shutil.copytree(trained.run / "model", model)
    shutil.copytree(trained.run / "model", models / artifact.read_manifest(model).name)
    weigh(model, b"others")
    return model, models


def weigh(model, weights):
    """Give a model other weights, and so another version; the exported files stay."""
    (model / artifact.WEIGHTS).write_bytes(weights)
    files = artifact.digests(model, [artifact.WEIGHTS, artifact.ONNX, artifact.TORCHSCRIPT])
    rewrite(model, files=files, version=files[artifact.WEIGHTS][:12])


def rewrite(model, **changes):
    path = model / artifact.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def measured(model, value, protocol="by hand"):
    rewrite(model, metrics=[{"name": "frechet", "value": value, "protocol": protocol}])


def standing(models):
    (model,) = models.iterdir()
    return artifact.read(model).manifest


def test_a_better_model_replaces_the_one_that_stands_and_that_is_kept(places, ruler, capsys):
    model, models = places
    old, new = standing(models), artifact.read_manifest(model)
    measured(model, 1.0)
    measured(models / old.name, 2.0)
    before = (models / old.name / artifact.MANIFEST).read_bytes()
    promote(model, models, partial(measure_model, ruler, samples=20))
    assert standing(models).version == new.version
    assert (model.parent / f"replaced-{old.version}" / artifact.MANIFEST).read_bytes() == before
    said = capsys.readouterr().out
    assert f"frechet: 1, and 2 of {old.name}@{old.version} (by hand)" in said
    assert "to go back: rm -r " in said
    promote(model, models, partial(measure_model, ruler, samples=20))
    assert "is this model already" in capsys.readouterr().out


@pytest.mark.parametrize("value", [2.0, 3.0])
def test_one_that_is_not_better_does_not(places, ruler, capsys, value):
    model, models = places
    old = standing(models)
    measured(model, value)
    measured(models / old.name, 2.0)
    promote(model, models, partial(measure_model, ruler, samples=20))
    assert standing(models).version == old.version
    assert "was left alone, since the new model is not better" in capsys.readouterr().out


def test_numbers_of_two_protocols_are_not_compared_but_measured_anew(places, ruler, capsys):
    model, models = places
    old = standing(models)
    measured(model, 1e9)
    measured(models / old.name, 0.0, "by others")
    promote(model, models, partial(measure_model, ruler, samples=20))
    said = capsys.readouterr().out
    assert "measuring" in said
    # Both draw the same pictures, since only what is called their weights differs: neither is better.
    assert "not better" in said
    assert "20 generated against 20 held-out pictures of fashion-mnist (" in said
    assert standing(models).version == old.version


def test_a_model_that_answers_other_requests_does_not_replace(places, conditional, ruler, capsys):
    model, models = places
    name = standing(models).name
    shutil.rmtree(models / name)
    shutil.copytree(conditional.model, models / name)
    rewrite(models / name, name=name)
    promote(model, models, partial(measure_model, ruler, samples=20))
    said = capsys.readouterr().out
    assert "it draws grey 32x32 pictures of T-shirt/top, Trouser" in said
    assert "and the new model grey 32x32 pictures from 100 numbers; move the old one away" in said


def test_a_damaged_model_is_not_replaced_unseen(places, ruler):
    model, models = places
    name = standing(models).name
    (models / name / artifact.ONNX).write_bytes(b"damaged")
    with pytest.raises(UsageError, match=r"--promote: .*generator.onnx is damaged .*, or move .* away"):
        promote(model, models, partial(measure_model, ruler, samples=20))


def test_where_nothing_stands_the_model_is_copied(places, ruler, capsys):
    model, models = places
    shutil.rmtree(models)
    promote(model, models, partial(measure_model, ruler, samples=20))
    assert standing(models).version == artifact.read_manifest(model).version
    publish(model, models)
    assert "stands already and was left alone; add --promote" in capsys.readouterr().out


def test_a_model_is_measured_as_it_is_served(trained, ruler, tmp_path):
    found = {metric.name: metric for metric in measure_model(ruler, trained.model, 40, tmp_path / "nearest.png")}
    assert found["frechet"].value > 3 * found["frechet"].real > 0
    assert "40 generated against 40 held-out pictures" in found["frechet"].protocol
    assert (tmp_path / "nearest.png").read_bytes().startswith(b"\x89PNG")
