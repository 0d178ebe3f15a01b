"""Minibatches that are made before they are asked for."""

import threading

import pytest
from safetensors.torch import load_file

from tests.conftest import train
from training.engine.checkpoint import checkpoints
from training.engine.minibatch import Minibatches


def test_the_next_is_made_in_another_thread():
    threads = {}

    def make(seen):
        threads[seen] = threading.current_thread()
        return seen

    minibatches = Minibatches(make)
    assert minibatches.at(0) == 0
    minibatches.prefetch(8)
    assert minibatches.at(8) == 8
    assert minibatches.at(16) == 16
    assert threads[8] is not threading.main_thread()
    assert [threads[0], threads[16]] == [threading.main_thread()] * 2


def test_another_than_was_made_is_made_anew():
    minibatches = Minibatches(lambda seen: seen)
    minibatches.prefetch(8)
    assert minibatches.at(24) == 24
    assert minibatches.at(8) == 8


def test_what_goes_wrong_is_raised_where_it_is_asked_for():
    def make(seen):
        raise OSError(f"no images at {seen}")

    minibatches = Minibatches(make)
    minibatches.prefetch(8)
    with pytest.raises(OSError, match="no images at 8"):
        minibatches.at(8)


def test_weights_do_not_depend_on_it(tmp_path, monkeypatch):
    """As on a GPU, where all minibatches but the first are made ahead."""
    flags = ["--width", "4", "--batch-size", "16", "--images", "160", "--mirror", "--recipe", "cgan"]
    at = Minibatches.at
    weights = []
    for name, ahead in (("one by one", False), ("ahead", True)):

        def then_prefetch(self, seen, ahead=ahead):
            found = at(self, seen)
            if ahead:
                self.prefetch(seen + 16)
            return found

        monkeypatch.setattr(Minibatches, "at", then_prefetch)
        weights.append(load_file(checkpoints(train(tmp_path / name, *flags).run)[-1]))
    one, other = weights
    assert one.keys() == other.keys()
    assert all(bool((one[name] == other[name]).all()) for name in one)
