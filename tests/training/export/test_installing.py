import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gan import model_folder
from gan.manifest import MANIFEST
from gan.manifest_parts import Metric
from tests.conftest import SMALL_DATA
from training import data
from training.data import Dataset, HeldOut
from training.data.split import halves
from training.errors import UsageError
from training.evaluation.evaluator import Evaluator
from training.evaluation.samples import ModelSampler, SeedRange
from training.export.installing import install, measure_model, promote, rank_models

pytestmark = pytest.mark.usefixtures("lines")


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator.from_dataset(data.load(str(SMALL_DATA), (32, 32)), "random")


@pytest.fixture
def places(trained, tmp_path):
    """A finished model in a run's folder, and a folder of models where it stands already, under another version."""
    model, models = tmp_path / "run" / "model", tmp_path / "models"
    shutil.copytree(trained.run / "model", model)
    shutil.copytree(trained.run / "model", models / model_folder.read_manifest(model).name)
    weigh(model, b"others")
    return model, models


def weigh(model, weights):
    """Give a model other weights, and so another version; the exported files stay."""
    (model / model_folder.WEIGHTS).write_bytes(weights)
    files = model_folder.digests(model, [model_folder.WEIGHTS, model_folder.ONNX, model_folder.TORCHSCRIPT])
    rewrite(model, files=files, version=files[model_folder.WEIGHTS][:12])


def rewrite(model, **changes):
    path = model / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def ranked(new, old):
    """What measures both models, and finds these distances."""

    def rank(models):
        return [Metric(name="frechet", value=value, protocol="by hand") for value in (old, new)]

    return rank


def unused(models):
    raise AssertionError("nothing is to be measured")


def standing(models):
    (model,) = models.iterdir()
    return model_folder.read(model).manifest


def test_a_better_model_replaces_the_one_that_stands_and_that_is_kept(places, capsys):
    model, models = places
    old, new = standing(models), model_folder.read_manifest(model)
    before = (models / old.name / MANIFEST).read_bytes()
    promote(model, models, ranked(new=1.0, old=2.0))
    assert standing(models).version == new.version
    assert (model.parent / f"replaced-{old.version}" / MANIFEST).read_bytes() == before
    said = capsys.readouterr().out
    assert f"frechet: 1, and 2 of {old.name}@{old.version} (by hand)" in said
    assert "to go back: rm -r " in said
    promote(model, models, unused)
    assert "is this model already" in capsys.readouterr().out


@pytest.mark.parametrize("value", [2.0, 3.0])
def test_one_that_is_not_better_does_not(places, capsys, value):
    model, models = places
    old = standing(models)
    promote(model, models, ranked(new=value, old=2.0))
    assert standing(models).version == old.version
    assert "was left as it is, since the new model is not better" in capsys.readouterr().out


def test_reported_figures_do_not_decide(places, evaluator, capsys):
    """Who is chosen by the figures that are reported has figures that are too good."""
    model, models = places
    old = standing(models)
    for folder, value in ((model, 0.0), (models / old.name, 1e9)):
        rewrite(folder, metrics=[{"name": "frechet", "value": value, "protocol": "by hand"}])
    promote(model, models, partial(rank_models, evaluator, samples=20))
    said = capsys.readouterr().out
    assert f"measuring {models / old.name} and the new model" in said
    # Both draw the same images, since only what is called their weights differs: neither is better.
    assert "not better" in said
    assert "20 generated against 20 held-out pictures of fashion-mnist (" in said
    assert "), selection, seeds 0 to 19; k = 5" in said
    assert standing(models).version == old.version


@pytest.fixture(scope="module")
def halved():
    """A set with enough held-out images for two halves, and the same with noise and one label in place of its test half."""
    small = data.load(str(SMALL_DATA), (32, 32), labelled=True)
    held_out = np.concatenate([small.images, small.images[..., ::-1], small.held_out.images])
    labels = np.concatenate([small.labels, small.labels, small.held_out.labels])
    selection, test = halves(held_out)
    noise = np.random.default_rng(0).integers(0, 256, (2 * len(held_out), 1, 32, 32), np.uint8)
    poison = noise[halves(noise)[1]][: len(test)]
    poisoned = held_out.copy()
    poisoned[test] = poison
    assert halves(poisoned)[0].tolist() == selection.tolist()
    wrong = labels.copy()
    wrong[test] = 0
    whole = Dataset("garments", small.images, "none", small.classes, small.labels, HeldOut(held_out, labels))
    return whole, replace(whole, held_out=HeldOut(poisoned, wrong))


@pytest.mark.parametrize("features", ["random", "classifier"])
def test_nothing_is_chosen_by_the_test_images(trained, halved, features):
    whole, poisoned = (Evaluator.from_dataset(dataset, features) for dataset in halved)
    assert np.array_equal(whole.selection.held_out, poisoned.selection.held_out)
    (one,), (other,) = (rank_models(evaluator, [trained.model], 100) for evaluator in (whole, poisoned))
    assert one == other
    assert one.protocol.endswith(
        "100 held-out pictures of garments (" + halved[0].fingerprint[:8] + "), selection, seeds 0 to 99; k = 5"
    )
    fake = np.random.default_rng(0).integers(0, 256, (100, 1, 32, 32), np.uint8)
    assert whole.checkpoint_evaluator(100).measure(fake) == poisoned.checkpoint_evaluator(100).measure(fake)
    gauges = [evaluator.checkpoint_evaluator(100) for evaluator in (whole, poisoned)]
    assert gauges[0].real == gauges[1].real
    assert np.array_equal(gauges[0].held_out, gauges[1].held_out)
    reported = [
        {metric.name: metric.value for metric in measure_model(evaluator, trained.model, 100)} for evaluator in (whole, poisoned)
    ]
    assert reported[0]["frechet"] != reported[1]["frechet"]


def test_figures_come_from_test_images_and_from_seeds_that_chose_nothing(trained, halved):
    evaluator = Evaluator.from_dataset(halved[0], "random")
    found = {metric.name: metric for metric in measure_model(evaluator, trained.model, 100, sets=2)}
    where = f"100 generated against 100 held-out pictures of garments ({halved[0].fingerprint[:8]}), test"
    assert f"{where}, seeds 2147483648 to 2147483847; " in found["recall"].protocol
    samples = ModelSampler(trained.model).generate(SeedRange(100, 2**31, 2))
    by_hand = evaluator.evaluate(samples, seeds="seeds 2147483648 to 2147483847")
    assert list(found.values()) == by_hand.measurements
    assert found["frechet"].deviation > 0
    (metric,) = rank_models(evaluator, [trained.model], 100)
    assert metric.value != found["frechet"].value
    test = {image.tobytes() for image in evaluator.test.held_out}
    assert not test & {image.tobytes() for image in evaluator.selection.held_out}


def test_few_held_out_images_serve_both_and_it_is_said(trained, evaluator):
    assert evaluator.test == evaluator.selection
    found = {metric.name: metric for metric in measure_model(evaluator, trained.model, 20)}
    assert "), selection, seeds 2147483648 to 2147483667" in found["frechet"].protocol


def test_a_classifier_that_guesses_chooses_nothing(monkeypatch, capsys):
    known = data.load(str(SMALL_DATA), (32, 32), labelled=True)
    shuffled = replace(known, labels=np.random.default_rng(0).permutation(known.labels), recorded_fingerprint=None)
    found = Evaluator.from_dataset(shuffled, "classifier")
    assert (found.extractor.name, found.classifier) == ("random", None)
    warning = capsys.readouterr().err
    assert warning.endswith(f"warning: {found.caveat}\n")
    assert "models are measured by features of a random network, and not by class" in warning
    assert "selection" in found.checkpoint_evaluator(100).protocol
    sure = Evaluator.from_dataset(known, "classifier")
    assert (sure.extractor.name, sure.caveat) == ("classifier", "")
    assert "warning" not in capsys.readouterr().err


def test_a_model_that_answers_other_requests_does_not_replace(places, conditional, capsys):
    model, models = places
    name = standing(models).name
    shutil.rmtree(models / name)
    shutil.copytree(conditional.model, models / name)
    rewrite(models / name, name=name)
    promote(model, models, unused)
    said = capsys.readouterr().out
    assert "it draws grey 32x32 images of T-shirt/top, Trouser" in said
    assert "and the new model grey 32x32 images from 100 numbers; move the old one away" in said


def test_a_damaged_model_is_not_replaced_unseen(places):
    model, models = places
    name = standing(models).name
    (models / name / model_folder.ONNX).write_bytes(b"damaged")
    with pytest.raises(UsageError, match=r"--promote: .*generator.onnx is damaged .*, or move .* away"):
        promote(model, models, unused)


def test_a_full_disk_is_said_in_one_sentence(places, monkeypatch):
    model, models = places
    shutil.rmtree(models)
    refused = [(file.name, "there", f"[Errno 28] No space left on device: '{file.name}'") for file in model.iterdir()]

    def full(*_):
        raise shutil.Error(refused)  # as copying a folder does

    monkeypatch.setattr(model_folder, "copy", full)
    with pytest.raises(UsageError, match=r"--models: cannot copy .* \(\[Errno 28\] No space left on device: '[^']*'\); see that"):
        install(model, models)


def test_where_nothing_stands_the_model_is_copied(places, capsys):
    model, models = places
    shutil.rmtree(models)
    promote(model, models, unused)
    assert standing(models).version == model_folder.read_manifest(model).version
    install(model, models)
    assert "exists already and was left as it is; add --promote" in capsys.readouterr().out


def test_a_model_is_measured_as_it_is_served(trained, evaluator, tmp_path):
    found = {metric.name: metric for metric in measure_model(evaluator, trained.model, 40, nearest=tmp_path / "nearest.png")}
    assert found["frechet"].value > 3 * found["frechet"].real > 0
    assert "40 generated against 40 held-out pictures" in found["frechet"].protocol
    assert (tmp_path / "nearest.png").read_bytes().startswith(b"\x89PNG")
