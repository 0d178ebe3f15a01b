"""Training an encoder: resumed exactly, best kept."""

import json

import pytest
import torch

from tests.training.encoder.conftest import setting
from training.encoder import loop
from training.encoder.loop import train
from training.encoder.state import CHECKPOINT
from training.engine.checkpoint import CheckpointError
from training.errors import DivergenceError


def tensors(state):
    return {name: tensor.clone() for name, tensor in state._tensors().items()}


def run(found, state, folder, stop_after=10**9):
    calls = iter(range(10**9))
    return train(
        state, found.model, found.pictures, found.config, found.hardware, folder, "mark", lambda: next(calls) >= stop_after
    )


@pytest.mark.parametrize("stop_after", [3, 7, 16])  # steps: before the first checkpoint, between two, at the end
def test_a_stopped_run_goes_on_to_the_same_weights(labelled, tmp_path, stop_after):
    whole, first, second = tmp_path / "whole", tmp_path / "parts", labelled.start()
    for folder in (whole, first):
        folder.mkdir()
    undisturbed, stopped = labelled.start(), labelled.start()
    assert run(labelled, undisturbed, whole)
    assert run(labelled, stopped, first, stop_after) == (stop_after >= 16)
    assert second.restore(first, "mark")
    assert second.seen == min(stop_after * 16, 256)
    assert run(labelled, second, first)
    expected = tensors(undisturbed)
    for name, tensor in tensors(second).items():
        assert torch.equal(tensor, expected[name]), name
    assert (second.best_psnr, second.best_seen) == (undisturbed.best_psnr, undisturbed.best_seen)


def test_a_killed_run_goes_on_from_its_last_checkpoint_to_the_same_weights(plain, tmp_path):
    undisturbed, killed, second = plain.start(), plain.start(), plain.start()
    (tmp_path / "whole").mkdir()
    assert run(plain, undisturbed, tmp_path / "whole")

    def kill():
        if killed.seen >= 128:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train(killed, plain.model, plain.pictures, plain.config, plain.hardware, tmp_path, "mark", kill)
    assert second.restore(tmp_path, "mark")
    assert second.seen == 96
    assert run(plain, second, tmp_path)
    expected = tensors(undisturbed)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors(second).items())


def test_the_best_average_is_kept(plain, tmp_path, monkeypatch):
    figures = iter([12.0, 15.0, 11.0])  # dB, at 96, 192 and 256 images
    monkeypatch.setattr(loop, "measure", lambda *_: next(figures))
    state, at_best = plain.start(), {}
    keep = state.keep_if_best

    def keeping(psnr):
        if psnr == 15.0:
            at_best.update({name: tensor.clone() for name, tensor in state.average.state_dict().items()})
        return keep(psnr)

    state.keep_if_best = keeping
    assert run(plain, state, tmp_path)
    assert (state.best_psnr, state.best_seen) == (15.0, 192)
    assert all(torch.equal(tensor, at_best[name]) for name, tensor in state.best.state_dict().items())
    assert any(not torch.equal(tensor, at_best[name]) for name, tensor in state.average.state_dict().items())
    rows = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert [(row["pictures"], row["psnr"]) for row in rows] == [(96, 12.0), (192, 15.0), (256, 11.0)]


def test_pictures_are_drawn_more_closely_after_training(trained, tmp_path):
    found = setting(trained.model, images=2048, width=8, checkpoint_every=1024)
    state = found.start()
    before = loop.psnr_of(state.average, found.model, found.pictures.test, found.hardware).mean()
    assert run(found, state, tmp_path)
    assert state.best_psnr > before + 0.3  # the generator of this test draws nothing like them


def test_a_checkpoint_of_something_else_or_damaged_is_refused(plain, tmp_path):
    state = plain.start()
    assert not state.restore(tmp_path, "mark")
    state.save(tmp_path, "mark")
    with pytest.raises(CheckpointError, match=r"other settings.*--anew"):
        plain.start().restore(tmp_path, "another")
    content = bytearray((tmp_path / CHECKPOINT).read_bytes())
    content[-1] ^= 1
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(CheckpointError, match="digest"):
        plain.start().restore(tmp_path, "mark")


def test_errors_that_are_not_numbers_end_the_run(plain, tmp_path):
    state = plain.start()
    state.average.last.bias.fill_(float("nan"))
    with pytest.raises(DivergenceError, match="--learning-rate"):
        loop.measure(state.average, plain.model, plain.pictures.selection, plain.hardware)
