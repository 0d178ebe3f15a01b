import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import SMALL_DATA
from training import data
from training.evaluation import classifier
from training.evaluation.classifier import Schedule, load_or_train, train
from training.hardware import Hardware

QUICK = Schedule(epochs=3, width=8, batch_size=32)


@pytest.fixture(scope="module")
def small():
    return data.load(str(SMALL_DATA), (32, 32), labelled=True)


@pytest.fixture(scope="module")
def trained(small):
    return train(small.images, small.labels, classes=10, schedule=QUICK)


def weights(found):
    return torch.cat([values.flatten() for values in found.network.state_dict().values()])


def test_it_learns(small, trained):
    assert trained.record.tested == 51
    assert trained.record.accuracy > 0.45  # guessing is right 1 time in 10
    logits = trained.network(classifier.to_input(small.images, 1))[1]
    assert float((logits.argmax(1).numpy() == small.labels).mean()) > 0.55


def test_the_same_again_gives_the_same_weights(small, trained):
    torch.rand(3)
    state = torch.get_rng_state()
    assert torch.equal(weights(train(small.images, small.labels, classes=10, schedule=QUICK)), weights(trained))
    assert torch.equal(torch.get_rng_state(), state)  # a training run around it is not disturbed
    other = train(small.images, small.labels, classes=10, schedule=Schedule(epochs=1, width=8, batch_size=256, seed=1))
    assert not torch.equal(weights(other), weights(trained))


def test_the_accuracy_is_that_on_held_out_images(small):
    rest = (small.images[400:], small.labels[400:])
    quick = Schedule(epochs=1, width=8)
    found = train(small.images[:400], small.labels[:400], classes=10, held_out=rest, schedule=quick)
    right = found.network(classifier.to_input(rest[0], 1))[1].argmax(1).numpy() == rest[1]
    assert found.record.accuracy == pytest.approx(right.mean())
    assert found.record.tested == 112
    wrong = train(small.images[:400], small.labels[:400], classes=10, held_out=(rest[0], (rest[1] + 1) % 10), schedule=quick)
    assert wrong.record.accuracy < found.record.accuracy


def test_one_that_removes_less_than_half_of_the_mistakes_of_guessing_is_known(small):
    def trained_on(labels, schedule=QUICK):
        rest = (small.images[400:], labels[400:])
        return train(small.images[:400], labels[:400], classes=10, held_out=rest, schedule=schedule)

    assert not trained_on(small.labels).is_unsure
    shuffled = trained_on(np.random.default_rng(0).permutation(small.labels))
    assert shuffled.is_unsure
    # One that names the largest class every time is right about all of that, and has learnt nothing.
    unequal = np.where(np.arange(512) % 10 == 0, small.labels, 3)
    largest = (unequal[400:] == 3).mean()
    found = trained_on(unequal, Schedule(epochs=1, width=4, learning_rate=1e-9))
    assert found.record.guessing == pytest.approx(largest)
    assert with_record(found, accuracy=largest).is_unsure
    assert not with_record(found, accuracy=1.0).is_unsure


@pytest.mark.parametrize(
    ("guessing", "accuracy", "tested", "unsure"),
    [
        (0.6, 0.677, 186, True),
        (0.6, 0.81, 186, False),
        (0.6, 0.75, 10_000, True),
        (0.1, 0.5, 10_000, True),
        (0.1, 0.6, 10_000, False),
    ],
)
def test_how_sure_is_sure_enough(trained, guessing, accuracy, tested, unsure):
    """The first was a classifier of ten kinds of emoji, 60 % of which were people: mosaics had a precision of 0.97 by it."""
    found = with_record(trained, guessing=guessing, accuracy=accuracy, tested=tested)
    assert found.is_unsure is unsure


def with_record(found, **changed):
    return replace(found, record=found.record.model_copy(update=changed))


def test_it_is_trained_once(small, tmp_path, monkeypatch):
    arguments = {"classes": 10, "schedule": Schedule(epochs=1, width=4), "cache": tmp_path / "cache", "progress": False}
    first = load_or_train(small.images, small.labels, fingerprint="a", **arguments)
    (folder,) = (tmp_path / "cache").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["classifier.json", "classifier.safetensors"]
    assert json.loads((folder / "classifier.json").read_text())["accuracy"] == first.record.accuracy

    def refuse(*_, **__):
        raise AssertionError("trained again")

    with monkeypatch.context() as patched:
        patched.setattr(classifier, "train", refuse)
        again = load_or_train(small.images, small.labels, fingerprint="a", **arguments)
        assert torch.equal(weights(again), weights(first))
        assert again.record == first.record
        elsewhere = load_or_train(
            small.images,
            small.labels,
            fingerprint="a",
            **arguments,
            hardware=replace(Hardware.plain(), device=torch.device("cpu", 0)),
        )
        assert elsewhere.device == torch.device("cpu", 0)  # where it was not trained
        for changed in ({"fingerprint": "b"}, {"fingerprint": "a", "held_out": (small.images, small.labels)}):
            with pytest.raises(AssertionError, match="trained again"):
                load_or_train(small.images, small.labels, **arguments, **changed)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"{"), lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["classifier.json", "classifier.safetensors"])
def test_a_damaged_cache_is_mended(small, tmp_path, damage, name):
    arguments = {"classes": 10, "fingerprint": "a", "schedule": Schedule(epochs=1, width=4), "cache": tmp_path, "progress": False}
    first = load_or_train(small.images[:40], small.labels[:40], **arguments)
    (folder,) = tmp_path.iterdir()
    damage(folder / name)
    assert torch.equal(weights(load_or_train(small.images[:40], small.labels[:40], **arguments)), weights(first))
    assert (folder / name).stat().st_size > 10


def test_images_of_any_size_are_brought_to_32():
    grey = np.full((2, 1, 50, 40), 255, np.uint8)
    for channels in (1, 3):
        torch.testing.assert_close(classifier.to_input(grey, channels), torch.ones(2, channels, 32, 32))
    torch.testing.assert_close(classifier.to_input(grey * 0, 1), -torch.ones(2, 1, 32, 32))


@pytest.mark.parametrize(("n", "classes", "message"), [(19, 10, "at least 20"), (100, 3, "from 0 to 2")])
def test_what_cannot_be_learnt_from(small, n, classes, message):
    with pytest.raises(ValueError, match=message):
        train(small.images[:n], small.labels[:n], classes=classes)


def test_a_cache_that_cannot_be_written_costs_nothing_but_the_cache(small, tmp_path, capsys, lines):
    (tmp_path / "file").touch()
    arguments = {"classes": 10, "fingerprint": "a", "schedule": Schedule(epochs=1, width=4), "progress": False}
    found = load_or_train(small.images[:40], small.labels[:40], cache=tmp_path / "file" / "cache", **arguments)
    assert found.record.tested == 4
    assert "cannot be kept in" in capsys.readouterr().err
