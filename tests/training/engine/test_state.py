import copy
import dataclasses
import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from gan.latents import InputSpec, inputs_of_seeds
from gan.networks.layers.conditioning import inputs_as_tensors
from tests.conftest import SMALL_DATA
from tests.exports import CALIBRATION_BATCHES
from training import data
from training.config.schema import TrainingConfig
from training.engine import loop
from training.engine.checkpoint import CheckpointError, checkpoints, measures_of, ranked
from training.engine.checkpoint_quality import generate_nchw
from training.engine.minibatch import to_network
from training.engine.state import TrainingState
from training.errors import DivergenceError
from training.evaluation.evaluator import Evaluator
from training.evaluation.feature_extractors import Extractor
from training.hardware import Hardware

CONFIG = TrainingConfig(data=str(SMALL_DATA), width=8, images=256, batch_size=32, threads=1, checkpoint_every=64, measure=100)


@pytest.fixture(scope="module")
def dataset():
    return data.load(CONFIG.data, CONFIG.size)


def start(config=CONFIG):
    return TrainingState.start(config, 1, None, Hardware.choose(config))


@functools.cache
def checkpoint_evaluator(dataset, size):
    """Measures by 16 features, which is quick: nothing here depends on which they are."""
    few = Extractor("random", "mean levels", lambda images: (functional.avg_pool2d(images.float(), 8).flatten(1), None))
    return dataclasses.replace(Evaluator.from_dataset(dataset, "random"), extractor=few).checkpoint_evaluator(size)


def train(dataset, folder, stop_after=None, state=None, config=CONFIG):
    """Train in `folder`, from a start or from `state`, and stop after so many steps if asked to."""
    folder.mkdir(exist_ok=True)
    state = state or start(config)
    looks = iter(range(10**9))
    loop.train(
        state,
        dataset,
        config,
        Hardware.choose(config),
        folder,
        checkpoint_evaluator(dataset, config.measure),
        lambda: stop_after is not None and next(looks) >= stop_after,
    )
    return state


@pytest.fixture(scope="module")
def whole_run(dataset, tmp_path_factory):
    """The folder of a run from start to end, and its state. Tests must not change them."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, train(dataset, folder)


def resumed(folder, config=CONFIG):
    state = start(config)
    state.restore(checkpoints(folder)[-1])
    return state


# The default settings, and all that has a state of its own: power iterations, penalties, auxiliary heads, schedules, loss scales.
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"arch": "resnet", "width": 4, "objective": "hinge", "augment": "diffaugment", "mirror": True},
        {"arch": "r3gan", "width": 16, "objective": "relativistic", "r1": 1.0, "r2": 1.0, "penalty_every": 2},
        {"recipe": "infogan", "width": 4, "batch_size": 32, "anneal_images": 200, "learning_rate_end": 0.0, "beta2_end": 0.9},
        {"precision": "float16"},
    ],
    ids=lambda settings: " ".join(settings) or "defaults",
)
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(dataset, tmp_path, settings):
    config = TrainingConfig(**{**CONFIG.model_dump(exclude_defaults=True), "width": 8, "images": 160, **settings})
    whole = train(dataset, tmp_path / "whole", config=config)
    train(dataset, tmp_path / "parts", stop_after=3, config=config)
    assert resumed(tmp_path / "parts", config).seen == 96
    parts = train(dataset, tmp_path / "parts", state=resumed(tmp_path / "parts", config), config=config)
    assert parts.seen == whole.seen == 160
    for name, tensor in whole._tensors().items():
        assert torch.equal(tensor, parts._tensors()[name]), name


def test_float16_scales_its_losses_and_remembers_the_scale(dataset, tmp_path):
    config = CONFIG.model_copy(update={"precision": "float16"})
    state = train(dataset, tmp_path / "run", config=config)
    state.scalers[0].update(1024.0)
    state.save(tmp_path / "run", config)
    again = resumed(tmp_path / "run", config)
    assert [scaler.get_scale() for scaler in again.scalers] == [1024.0, state.scalers[1].get_scale()]
    assert not start().scalers[0].is_enabled()


def test_measuring_and_sampling_change_nothing(dataset, tmp_path):
    config = CONFIG.model_copy(update={"arch": "resnet", "discriminator_norm": "spectral", "width": 4, "images": 128})
    often = train(dataset, tmp_path / "often", config=config.model_copy(update={"sample_every": 64, "checkpoint_every": 64}))
    seldom = train(dataset, tmp_path / "seldom", config=config.model_copy(update={"checkpoint_every": 10**6}))
    for name, tensor in often._tensors().items():
        assert torch.equal(tensor, seldom._tensors()[name]), name


def test_statistics_of_steps_that_are_taken_again_are_dropped(dataset, tmp_path):
    train(dataset, tmp_path / "run", stop_after=4)
    (tmp_path / "run" / "stats.jsonl").write_text('{"pictures": 64}\n{"pictures": 128}\n{"pictures": 160}\n{"pict')
    (tmp_path / "run" / "warnings.jsonl").write_text('{"pictures": 64, "message": "a"}\n{"pictures": 160, "message": "b"}\n')
    train(dataset, tmp_path / "run", state=resumed(tmp_path / "run"))
    seen = [json.loads(row)["pictures"] for row in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert seen[:2] == [64, 128]
    assert set(seen[2:]) == {192, 256}  # each a tick and a checkpoint
    assert '"b"' not in (tmp_path / "run" / "warnings.jsonl").read_text()


def test_losses_that_leave_the_numbers_stop_the_run(dataset, tmp_path):
    train(dataset, tmp_path / "run", stop_after=2)
    state = resumed(tmp_path / "run")
    with torch.no_grad():
        state.generator.layers[0].weight.fill_(float("nan"))
    expected = r"loss_g.* became infinite or not a number after 128 images: .*--learning-rate.*the last good checkpoint is .*064"
    with pytest.raises(DivergenceError, match=expected):
        train(dataset, tmp_path / "run", state=state)
    assert len(checkpoints(tmp_path / "run")) == 1  # none of what came after
    assert "training has ended: " in (tmp_path / "run" / "report.html").read_text()


def test_weights_that_leave_the_numbers_are_not_saved(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.DivergenceMonitor, "check", lambda *_: None)  # losses that say nothing of it
    state = start()
    with torch.no_grad():
        state.discriminator.discriminator.layers[-1].weight.fill_(float("inf"))
    with pytest.raises(DivergenceError, match="weights became infinite or not a number after 64 images"):
        train(dataset, tmp_path / "run", state=state)
    assert checkpoints(tmp_path / "run") == []


def test_the_last_three_checkpoints_and_the_best_are_kept(dataset, tmp_path, monkeypatch):
    scores = iter([9.0, 2.0, 5.0, 6.0, 4.0, 7.0])
    monkeypatch.setattr(
        loop, "measure_checkpoint", lambda *_: {"frechet": next(scores), "spread": 1.0, "recall": 1.0, "precision": 1.0}
    )
    folder = tmp_path / "run"
    train(dataset, folder, config=CONFIG.model_copy(update={"images": 384}))
    assert [path.name for path in checkpoints(folder)] == [f"checkpoint-{seen:09d}.safetensors" for seen in (128, 256, 320, 384)]
    assert ranked(folder) == [folder / f"checkpoint-{seen:09d}.safetensors" for seen in (128, 320, 256, 384)]
    assert resumed(folder).measures["frechet"] == 7.0


def test_checkpoints_are_ranked_by_numbers_of_one_protocol(dataset, tmp_path, monkeypatch):
    scores = iter([1.0, 2.0])
    monkeypatch.setattr(
        loop, "measure_checkpoint", lambda *_: {"frechet": next(scores), "spread": 1.0, "recall": 1.0, "precision": 1.0}
    )
    state = train(dataset, tmp_path / "run", config=CONFIG.model_copy(update={"images": 64}))
    assert "100 generated against 100 held-out pictures of fashion-mnist (" in state.protocol
    longer = CONFIG.model_copy(update={"images": 128, "measure": 110})
    train(dataset, tmp_path / "run", state=resumed(tmp_path / "run"), config=longer)
    assert [path.name for path in ranked(tmp_path / "run")] == [
        "checkpoint-000000128.safetensors",
        "checkpoint-000000064.safetensors",
    ]


def test_who_asks_to_stop_does_not_wait_for_measures_and_changes_no_choice(dataset, tmp_path, monkeypatch):
    def measured(*_):
        raise AssertionError("a run that is asked to stop saves at once")

    monkeypatch.setattr(loop, "measure_checkpoint", measured)
    train(dataset, tmp_path / "run", stop_after=1)
    (path,) = checkpoints(tmp_path / "run")
    assert resumed(tmp_path / "run").measures == {}
    with pytest.raises(AssertionError):  # even where measuring fails, what was trained is saved
        train(dataset, tmp_path / "run", state=resumed(tmp_path / "run"))
    assert [one.name for one in checkpoints(tmp_path / "run")] == [path.name, "checkpoint-000000064.safetensors"]


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("features that are not finite numbers cannot be compared"),
        np.linalg.LinAlgError("Eigenvalues did not converge"),
        torch.linalg.LinAlgError("linalg.eigh failed"),
        MemoryError("no room"),
        {"frechet": float("nan"), "spread": 1.0, "recall": 1.0, "precision": 1.0},
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_checkpoint_that_cannot_be_measured_ends_no_run(dataset, tmp_path, monkeypatch, failure):
    calls = []

    def measured(*_):
        calls.append(1)
        if len(calls) > 1:
            return {"frechet": 3.0, "spread": 1.0, "recall": 1.0, "precision": 1.0}
        if isinstance(failure, Exception):
            raise failure
        return failure

    monkeypatch.setattr(loop, "measure_checkpoint", measured)
    folder = tmp_path / "run"
    assert train(dataset, folder, config=CONFIG.model_copy(update={"images": 128})).seen == 128
    message = json.loads((folder / "warnings.jsonl").read_text().splitlines()[0])["message"]
    assert message.startswith("this checkpoint was not measured: ")
    assert [path.name[-15:-12] for path in ranked(folder)] == ["128", "064"]
    assert all("NaN" not in line for line in (folder / "stats.jsonl").read_text().splitlines())


@pytest.mark.parametrize("killed_at", [64, 256])
def test_a_checkpoint_that_was_not_yet_measured_when_the_run_was_killed_is_measured_on_resume(
    dataset, whole_run, tmp_path, monkeypatch, killed_at
):
    folder, whole = whole_run
    measure = loop.measure_checkpoint

    def killed(state, *rest):
        if state.seen == killed_at:
            raise KeyboardInterrupt
        return measure(state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "measure_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path / "parts")
    assert resumed(tmp_path / "parts").measures == {}
    train(dataset, tmp_path / "parts", state=resumed(tmp_path / "parts"))
    assert measures_of(tmp_path / "parts", whole.protocol) == measures_of(folder, whole.protocol)
    assert resumed(tmp_path / "parts").measures == whole.measures != {}


def test_trouble_is_remembered_over_a_stop(dataset, tmp_path):
    state = start()
    state.monitor_state["lost"] = 7
    state.save(tmp_path, CONFIG)
    assert resumed(tmp_path).monitor_state == {"lost": 7}


def test_another_precision_may_go_on(dataset, tmp_path):
    train(dataset, tmp_path / "run", stop_after=1)
    config = CONFIG.model_copy(update={"precision": "float16"})
    assert train(dataset, tmp_path / "run", state=resumed(tmp_path / "run", config), config=config).seen == 256


def test_checkpoints_hold_no_pickle_and_every_layout_survives(whole_run):
    folder, state = whole_run
    again = resumed(folder)
    for name, tensor in state._tensors().items():
        assert again._tensors()[name].stride() == tensor.stride(), name
    content = checkpoints(folder)[-1].read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header.pop("__metadata__")["progress"])["seen"] == 256
    ends = [tensor["data_offsets"][1] for tensor in header.values()]
    assert 8 + int.from_bytes(content[:8], "little") + max(ends) == len(content)  # tensors and nothing else


@pytest.mark.parametrize("harm", ["cut", "empty", "other width", "other metadata", "flipped bit", "other progress"])
def test_a_checkpoint_that_does_not_fit_is_refused(whole_run, tmp_path, harm):
    path = Path(shutil.copy(checkpoints(whole_run[0])[-1], tmp_path))
    content, config = path.read_bytes(), CONFIG
    if harm == "cut":
        path.write_bytes(content[:-100])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "other metadata":
        path.write_bytes(content.replace(b"progress", b"pr0gress"))
    elif harm == "other progress":
        path.write_bytes(re.sub(rb'(\\"seen\\":)256', rb"\g<1>255", content))
        assert path.read_bytes() != content
    elif harm == "flipped bit":
        path.write_bytes(content[:-2000] + bytes([content[-2000] ^ 1]) + content[-1999:])
    else:
        config = CONFIG.model_copy(update={"width": 4})
    state = start(config)
    before = {name: tensor.clone() for name, tensor in state._tensors().items()}
    with pytest.raises(CheckpointError, match=f"{path.name} cannot be used: "):
        state.restore(path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state._tensors().items())


def test_the_average_forgets_half_in_its_half_life():
    state = start()
    first = state.average.layers[0].weight.clone()
    with torch.no_grad():
        state.generator.layers[0].weight.zero_()
    for _ in range(10):
        state.update_average(1 - 0.5 ** (100 / 1000))
    torch.testing.assert_close(state.average.layers[0].weight, first / 2)


class Buffered(torch.nn.Module):
    """A toy generator with every kind of buffer."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2)
        self.register_buffer("w_avg", torch.zeros(3))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("noise", torch.zeros(2), persistent=False)


def test_the_average_copies_buffers_but_not_batch_statistics():
    state = start()
    state.average, state.generator = Buffered(), Buffered()
    with torch.no_grad():
        for tensor in (*state.generator.parameters(), *state.generator.buffers()):
            tensor.fill_(5)
    state.update_average(0.25)
    assert {name: tensor.flatten().tolist() for name, tensor in state.average.named_parameters()} == {
        "norm.weight": [2.0, 2.0],  # 1 + 0.25 * (5 - 1)
        "norm.bias": [1.25, 1.25],
    }
    assert {name: tensor.flatten().tolist() for name, tensor in state.average.named_buffers()} == {
        "w_avg": [5.0] * 3,
        "steps": [5],
        "noise": [5.0] * 2,
        "norm.running_mean": [0.0, 0.0],
        "norm.running_var": [1.0, 1.0],
        "norm.num_batches_tracked": [0],
    }


@pytest.mark.parametrize("arch", ["mlp", "dcgan", "resnet", "r3gan"])
def test_buffers_of_present_generators_are_batch_statistics_or_constants(arch):
    state = start(TrainingConfig(arch=arch, width={"mlp": 40, "r3gan": 16}.get(arch, 4), batch_size=2))
    state.generator.train()(torch.randn(2, state.input_spec.z_dim))
    for name, buffer in state.generator.named_buffers():
        statistic = name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
        assert statistic or torch.equal(buffer, state.average.get_buffer(name)), name


def test_finished_generators_have_statistics_that_fit_their_weights(whole_run, monkeypatch):
    monkeypatch.setattr("training.engine.state._CALIBRATION_BATCHES", CALIBRATION_BATCHES)
    finished = copy.deepcopy(resumed(whole_run[0]).finished_generator())
    z = inputs_as_tensors(range(2000, 2512), InputSpec(100))[0]
    with torch.no_grad():
        as_served, by_batch = finished(z), finished.train()(z)
    # In training mode each batch is normalised by itself; fitting running statistics do the same but for sampling noise.
    assert (as_served - by_batch).abs().mean() < 0.02 * by_batch.std() + 0.01


def test_a_finished_generator_is_that_of_the_weights_as_they_are(whole_run):
    state = start()
    z = inputs_as_tensors(range(4), InputSpec(100))[0]

    def images():
        with torch.no_grad():
            return state.finished_generator()(z)

    first = images()
    assert torch.equal(images(), first)
    assert state.finished_generator() is state.finished_generator()  # found once for the sample, the measures and the export
    for parameter in state.generator.parameters():
        parameter.data.mul_(1.5)
    state.update_average(1.0)
    changed = images()
    assert not torch.equal(changed, first)
    state.restore(checkpoints(whole_run[0])[-1])
    restored = images()
    with torch.no_grad():
        assert torch.equal(restored, whole_run[1].finished_generator()(z))
    assert not torch.equal(restored, changed)


def test_images_reach_the_network_in_its_range():
    images = np.array([0, 255, 51], np.uint8).reshape(1, 3, 1, 1)
    torch.testing.assert_close(to_network(images, torch.device("cpu")).flatten(), torch.tensor([-1.0, 1.0, -0.6]))


def test_generators_are_calibrated_and_drawn_from_where_they_are_asked_to_be(monkeypatch):
    """On the training device while a run goes on, on the processor for the export. `meta` stands for a GPU: it computes nothing."""
    calibrated = []

    def update_bn(batches, network):
        calibrated.append(
            ({values.device.type for batch in batches for values in batch[0]}, next(network.parameters()).device.type)
        )

    monkeypatch.setattr("training.engine.state.update_bn", update_bn)
    state = start()
    assert state.device == torch.device("cpu")
    state.finished_generator(torch.device("meta"))
    state.finished_generator()
    assert calibrated == [({"meta"}, "meta"), ({"cpu"}, "cpu")]

    drawn = []

    class Generator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, z):
            drawn.append(z.device.type)
            return torch.zeros(len(z), 1, 4, 4)

    assert generate_nchw(Generator(), inputs_of_seeds(range(3), InputSpec(100))).shape == (3, 1, 4, 4)
    assert drawn == ["meta"]
