import json

import numpy as np
import pytest
import torch

from gan.latents import Space
from gan.networks.conditions import tensors
from tests.conftest import SMALL_DATA
from training import data, loop
from training.config import TrainingConfig
from training.hardware import Hardware
from training.state import CheckpointError, TrainingState, checkpoints, to_network

CONFIG = TrainingConfig(data=str(SMALL_DATA), width=8, images=256, batch_size=32, threads=2, checkpoint_every=64)


@pytest.fixture(scope="module")
def dataset():
    return data.load(CONFIG.data, CONFIG.resolution)


def play(dataset, folder, stop_after=None, state=None):
    """Train in `folder`, from a start or from `state`, and stop after so many steps if asked to."""
    folder.mkdir(exist_ok=True)
    hardware = Hardware.choose(CONFIG)
    state = state or TrainingState.start(CONFIG, 1, None, hardware.device)
    looks = iter(range(10**9))
    loop.train(state, dataset, CONFIG, hardware, folder, lambda: stop_after is not None and next(looks) >= stop_after)
    return state


def resumed(folder):
    state = TrainingState.start(CONFIG, 1, None, torch.device("cpu"))
    state.restore(checkpoints(folder)[-1])
    return state


def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(dataset, tmp_path):
    whole = play(dataset, tmp_path / "whole")
    play(dataset, tmp_path / "parts", stop_after=3)
    assert resumed(tmp_path / "parts").seen == 96
    parts = play(dataset, tmp_path / "parts", state=resumed(tmp_path / "parts"))
    assert parts.seen == whole.seen == 256
    for name, tensor in whole._tensors().items():
        assert torch.equal(tensor, parts._tensors()[name]), name


def test_statistics_of_steps_that_are_taken_again_are_dropped(dataset, tmp_path):
    play(dataset, tmp_path / "run", stop_after=4)
    stats = tmp_path / "run" / "stats.jsonl"
    stats.write_text('{"pictures": 64}\n{"pictures": 128}\n{"pictures": 160}\n{"pict')
    play(dataset, tmp_path / "run", state=resumed(tmp_path / "run"))
    assert [json.loads(row)["pictures"] for row in stats.read_text().splitlines()] == [64, 128, 256]


def test_losses_that_leave_the_numbers_stop_the_run(dataset, tmp_path):
    state = TrainingState.start(CONFIG, 1, None, torch.device("cpu"))
    with torch.no_grad():
        state.generator.layers[0].weight.fill_(float("nan"))
    with pytest.raises(
        loop.DivergedError, match=r"loss_g.* became infinite or not a number after 256 pictures: .* --learning-rate"
    ):
        play(dataset, tmp_path / "run", state=state)


def test_the_last_three_checkpoints_are_kept(dataset, tmp_path):
    play(dataset, tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run")] == [
        f"checkpoint-{seen:09d}.safetensors" for seen in (128, 192, 256)
    ]


def test_checkpoints_hold_no_pickle_and_every_layout_survives(dataset, tmp_path):
    state = play(dataset, tmp_path / "run")
    again = resumed(tmp_path / "run")
    for name, tensor in state._tensors().items():
        assert again._tensors()[name].stride() == tensor.stride(), name
    content = checkpoints(tmp_path / "run")[-1].read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header.pop("__metadata__")["progress"])["seen"] == 256
    ends = [tensor["data_offsets"][1] for tensor in header.values()]
    assert 8 + int.from_bytes(content[:8], "little") + max(ends) == len(content)  # tensors and nothing else


@pytest.mark.parametrize("harm", ["cut", "empty", "other width", "other metadata"])
def test_a_checkpoint_that_does_not_fit_is_refused(dataset, tmp_path, harm):
    play(dataset, tmp_path / "run")
    path = checkpoints(tmp_path / "run")[-1]
    config = CONFIG
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "other metadata":
        path.write_bytes(path.read_bytes().replace(b"progress", b"pr0gress"))
    else:
        config = CONFIG.model_copy(update={"width": 4})
    with pytest.raises(CheckpointError, match=f"{path.name} cannot be resumed from"):
        TrainingState.start(config, 1, None, torch.device("cpu")).restore(path)


def test_the_average_forgets_half_in_its_half_life():
    state = TrainingState.start(CONFIG, 1, None, torch.device("cpu"))
    first = state.average.layers[0].weight.clone()
    with torch.no_grad():
        state.generator.layers[0].weight.zero_()
    for _ in range(10):
        state.update_average(batch_size=100, half_life=1000)
    torch.testing.assert_close(state.average.layers[0].weight, first / 2)


def test_finished_generators_have_statistics_that_fit_their_weights(dataset, tmp_path):
    state = play(dataset, tmp_path / "run")
    finished = state.finished_generator()
    z = tensors(range(2000, 2512), Space(100))[0]
    with torch.no_grad():
        as_served, by_batch = finished(z), finished.train()(z)
    # In training mode each batch is normalised by itself; fitting running statistics do the same but for sampling noise.
    assert (as_served - by_batch).abs().mean() < 0.02 * by_batch.std() + 0.01
    assert torch.equal(state.finished_generator()(z), state.finished_generator()(z))


def test_pictures_reach_the_network_in_its_range():
    pictures = np.array([0, 255, 51], np.uint8).reshape(1, 3, 1, 1)
    torch.testing.assert_close(to_network(pictures, torch.device("cpu")).flatten(), torch.tensor([-1.0, 1.0, -0.6]))
