import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import SMALL_DATA
from training import data
from training.config.schema import TrainingConfig
from training.engine.checkpoint_quality import _spread_within_classes, measure_checkpoint, spread
from training.engine.divergence import DivergenceMonitor, warnings_of
from training.engine.state import TrainingState
from training.errors import DivergenceError
from training.evaluation.evaluator import Evaluator
from training.hardware import Hardware
from training.losses.adversarial import OBJECTIVES

CONFIG = TrainingConfig(data=str(SMALL_DATA), width=8, batch_size=16, threads=1, measure=128, precision="float32")
FINE = {"spread": 1.0, "recall": 0.8, "precision": 0.8, "accuracy_held_out": 0.8, "accuracy_fake": 0.8}


def row(images, **given):
    return {"pictures": images, "loss_d": 1.0, "loss_g": 1.0, "logit_mean": 0.1, "logit_std": 1.0, **given}


def test_a_game_that_goes_well_goes_on(tmp_path):
    watch = DivergenceMonitor(tmp_path)
    for seen in range(0, 10**6, 1000):
        watch.check(row(seen, d_real=0.9, d_fake=0.1))


@pytest.mark.parametrize(
    ("trouble", "lasts", "said"),
    [
        ({"logit_std": 0.0}, 20_000, "the discriminator is dead: for 20,000 images it has given all of them the same logit"),
        ({"d_real": 0.99999, "d_fake": 0.00001}, 100_000, "the discriminator has won: for 100,000 images it has been certain"),
        ({"loss_g": float("nan"), "loss_d": float("inf")}, 0, "loss_d, loss_g became infinite or not a number"),
    ],
)
def test_a_game_that_teaches_nothing_any_more_is_stopped_with_a_remedy(tmp_path, trouble, lasts, said):
    watch = DivergenceMonitor(tmp_path)
    for seen in range(1000, 1000 + lasts, 1000):
        watch.check(row(seen, **trouble))
    with pytest.raises(DivergenceError, match=rf"{said}.*: (take|start) .*\(there is no checkpoint yet\)"):
        watch.check(row(1000 + lasts, **trouble))
    (tmp_path / "checkpoint-000000500.safetensors").write_bytes(b"")
    with pytest.raises(DivergenceError, match=r"last good checkpoint is .*checkpoint-000000500\.safetensors, from which --resume"):
        watch.check(row(1000 + lasts, **trouble))


def test_trouble_that_passes_is_forgotten(tmp_path):
    watch = DivergenceMonitor(tmp_path)
    for seen in range(0, 10**6, 1000):
        watch.check(row(seen, logit_std=0.0 if seen % 19_000 else 1.0))


def test_warnings_name_the_sign_and_a_remedy():
    assert warnings_of(FINE, [FINE], 500_000) == []
    assert warnings_of({**FINE, "spread": 0.3}, [], 50_000) == []  # early on all images are alike
    (collapse,) = warnings_of({**FINE, "spread": 0.3}, [], 500_000)
    assert "mode collapse: the images of 64 seeds differ 30% as much as real ones" in collapse
    (within,) = warnings_of({**FINE, "spread_within_classes": 0.2}, [], 500_000)
    assert "mode collapse within a class: its images differ 20% as much as real ones of it do; --r1 1" in within
    assert warnings_of({**FINE, "spread_within_classes": 0.2}, [], 50_000) == []
    (lost,) = warnings_of({**FINE, "recall": 0.3}, [FINE], 50_000)
    assert "recall is 0.30 and was 0.80" in lost
    (overfitting,) = warnings_of({**FINE, "accuracy_held_out": 0.1, "accuracy_fake": 0.9}, [], 50_000)
    assert "takes 10% of the real images it was not trained on for real" in overfitting
    assert "--augment translation or diffaugment" in overfitting


def test_the_spread_is_the_distance_of_two_images():
    images = np.random.default_rng(0).integers(0, 256, (64, 3, 8, 8)).astype(np.uint8)
    pairs = [(a, b) for a in range(64) for b in range(a)]
    squares = [np.square(images[a].astype(float) - images[b]).mean() for a, b in pairs]
    assert spread(images) == pytest.approx(np.mean(squares) ** 0.5)
    assert spread(images[:1].repeat(64, 0)) == 0


def test_a_class_that_has_become_one_image_shows(dataset):
    """Though all images together differ as real ones do: four styles of avatars became four faces without a warning."""
    labelled = data.load(CONFIG.data, CONFIG.size, labelled=True)
    labels = labelled.labels[:400]
    fresh, one_bag = labelled.images[:400].copy(), labelled.images[:400].copy()
    bags = np.flatnonzero(labels == labelled.classes.index("Bag"))
    one_bag[bags] = one_bag[bags[0]]
    assert _spread_within_classes(fresh, labels, labelled) > 0.7
    assert _spread_within_classes(one_bag, labels, labelled) == 0
    assert spread(one_bag) > 0.7 * spread(fresh)
    assert _spread_within_classes(fresh[:8], labels[:8], labelled) is None


@pytest.fixture(scope="module")
def dataset():
    return data.load(CONFIG.data, CONFIG.size)


def test_a_checkpoint_is_measured_by_its_weights_alone(dataset):
    state = TrainingState.start(CONFIG, 1, None, Hardware.choose(CONFIG))
    before = copy.deepcopy(state._tensors())
    checkpoint_evaluator = Evaluator.from_dataset(dataset, "random").checkpoint_evaluator(100)
    found = measure_checkpoint(state, dataset, CONFIG, Hardware.choose(CONFIG), checkpoint_evaluator)
    assert measure_checkpoint(state, dataset, CONFIG, Hardware.choose(CONFIG), checkpoint_evaluator) == found
    assert found.keys() == {
        *("frechet", "recall", "frechet_spread", "recall_spread", "spread", "accuracy_fake", "accuracy_held_out")
    }
    assert found["frechet"] > 3 * checkpoint_evaluator.real["frechet"]  # an untrained generator is far from the data
    assert found["spread"] < 0.5
    assert all(torch.equal(tensor, before[name]) for name, tensor in state._tensors().items())


@pytest.mark.parametrize(("boundary", "fake", "held_out"), [(-1e6, 0.0, 1.0), (1e6, 1.0, 0.0)])
def test_accuracy_counts_fakes_below_and_real_images_over_the_boundary(dataset, monkeypatch, boundary, fake, held_out):
    monkeypatch.setitem(OBJECTIVES, "nonsaturating", replace(OBJECTIVES["nonsaturating"], boundary=boundary))
    state = TrainingState.start(CONFIG, 1, None, Hardware.choose(CONFIG))
    found = measure_checkpoint(
        state, dataset, CONFIG, Hardware.choose(CONFIG), Evaluator.from_dataset(dataset, "random").checkpoint_evaluator(100)
    )
    assert (found["accuracy_fake"], found["accuracy_held_out"]) == (fake, held_out)
