import os
import signal
import socket
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import processes
from tests.conftest import QUICKLY_MEASURED, SMALL_DATA
from tests.training.engine.pair import distance, train_in_two, way
from training import data
from training.cli.resuming import note_processes
from training.config import files
from training.config.schema import TrainingConfig
from training.engine import checkpoint, setup
from training.engine.checkpoint import checkpoints
from training.engine.distributed import Group
from training.engine.loop import train
from training.engine.state import TrainingState
from training.errors import UsageError
from training.hardware import Hardware
from training.run import main
from training.tracking import run_dir

ROOT = Path(__file__).parents[3]
# Networks without batch statistics, and everything random within a step.
FLAGS = [
    *("--data", str(SMALL_DATA), "--recipe", "r3gan", "--width", "16", "--gradient-penalty", "1", "--augment", "diffaugment"),
    *("--mirror", "--batch-size", "16", "--images", "128", "--threads", "1", "--precision", "float32", "--features", "random"),
    *QUICKLY_MEASURED,
]
PARTS = ["--micro-batch-size", "4"]  # of the eight that each of two processes has


@dataclass(frozen=True)
class Runs:
    one: Path
    two: Path  # trained by two processes, which accumulate the gradients of two parts each
    outputs: list[str]  # of the two


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of one process and one of two with the same settings. Tests must not change them."""
    folder = tmp_path_factory.mktemp("runs")
    where = ["--models", str(folder / "models")]
    assert main([*FLAGS, *where, "--out", str(folder / "one")]) == 0
    pair, outputs = start_two([*FLAGS, *PARTS, *where, "--out", str(folder / "two")], folder)
    for process, output in zip(pair, outputs, strict=True):
        process.join(170)
        assert process.exitcode == 0, output.read_text()
    return Runs(*(next((folder / name).iterdir()) for name in ("one", "two")), [output.read_text() for output in outputs])


def start_two(arguments, folder):
    """Start the command in two processes; returns these, and the files of what they print."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    outputs = [folder / "output0", folder / "output1"]
    pair = [
        processes.start(arguments, output, {**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, output in enumerate(outputs)
    ]
    return pair, outputs


def test_two_processes_train_what_one_trains(runs):
    assert "exported " in runs.outputs[0]
    assert "2 processes" in runs.outputs[0]
    assert "exported " not in runs.outputs[1]
    ours, theirs = (checkpoint.read(checkpoints(run)[-1])[0] for run in (runs.one, runs.two))
    assert ours.keys() == theirs.keys()
    # Sums of gradients in another order; two processes with the same half of each batch would be a good part of the way apart.
    assert distance(ours, theirs) < 0.03 * way(files.read_config(runs.one), ours)
    assert len((runs.two / "stats.jsonl").read_text().splitlines()) == len((runs.one / "stats.jsonl").read_text().splitlines())


def test_minutes_end_all_at_one_step(tmp_path):
    config = TrainingConfig(data=str(SMALL_DATA), recipe="gan", width=8, minutes=0.005, threads=1, device="cpu")
    train_in_two(config, tmp_path / "two")  # else one would wait for the other


def test_a_signal_to_one_process_stops_both(tmp_path):
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), "--recipe", "gan", "--images", "10M"]
    pair, outputs = start_two([*FLAGS, *where], tmp_path)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob("runs/*/stats.jsonl")):
        assert all(process.is_alive() for process in pair), [output.read_text() for output in outputs]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(pair[1].pid, signal.SIGTERM)
    for process in pair:
        process.join(60)
    assert [process.exitcode for process in pair] == [128 + signal.SIGTERM] * 2
    assert ["stopped and saved; go on with" in output.read_text() for output in outputs] == [True, False]


def test_another_number_of_processes_goes_on_with_a_run(runs, tmp_path):
    """One process goes on with what two began, as with what it began itself."""
    ends = []
    for run in (runs.one, runs.two):
        config = files.read_config(run).model_copy(update={"images": 160})
        dataset, hardware = data.load(config.data, config.size), Hardware.choose(config)
        state = TrainingState.start(config, 1, None, hardware)
        state.restore(checkpoints(run)[-1])
        assert state.processes == (1 if run is runs.one else 2)
        train(state, dataset, config, hardware, tmp_path, None, lambda: False)
        ends.append({name: tensor.clone() for name, tensor in state._tensors().items()})
    assert distance(*ends) < 0.03 * way(config, ends[0])


@pytest.mark.parametrize(
    ("settings", "processes", "warning"),
    [
        ({}, 1, "over 16 images, and not 8, since one process and not 2 processes share a batch"),
        ({}, 4, "over 4 images, and not 8, since 4 processes and not 2 processes share a batch"),
        ({"micro_batch_size": 4}, 4, None),
        ({"sync_batch_norm": True}, 1, None),
        ({"batch_norm_group": 2}, 4, None),
        ({"arch": "r3gan", "width": 16, "discriminator_norm": "none"}, 1, None),
    ],
)
def test_batch_normalisation_that_depends_on_the_number_of_processes_is_warned_of(caplog, settings, processes, warning):
    config = TrainingConfig(**{"batch_size": 16, "width": 4, "device": "cpu", **settings})
    state = TrainingState.start(config, 1, None, Hardware.choose(config))
    state.seen, state.processes = 16, 2
    note_processes(state, config, Group(0, processes))
    assert state.processes == processes
    assert (warning is None and caplog.text == "") or warning in caplog.text
    assert ("--micro-batch-size 8 --change micro_batch_size" in caplog.text) == (processes == 1 and warning is not None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 32}, "--batch-size 32 cannot be shared by 3 processes: take a multiple of 3, or, .* start 2, 1 of them"),
        ({"micro_batch_size": 12}, "--micro-batch-size 12 does not divide the 16 images of a batch that each of 3 processes has"),
        (
            {"batch_norm_group": 12},
            "--batch-norm-group 12 does not divide the 16 images of a batch that each of 3 processes computes",
        ),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(settings, message):
    config = TrainingConfig(**{"data": str(SMALL_DATA), "batch_size": 48, **settings})
    with pytest.raises(UsageError, match=message):
        setup.check_enough(config, data.load(config.data, config.size), Group(rank=0, size=3))


def test_what_could_not_be_found_again_after_a_restart_is_refused(monkeypatch, capsys, tmp_path):
    assert main([*FLAGS, "--out", str(tmp_path), "--run-name", "shoes", "--resume", "latest"]) == 2
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert main([*FLAGS, "--out", str(tmp_path)]) == 2
    refused = capsys.readouterr().err
    assert "--run-name and --resume both say which run to go on with" in refused
    assert "torchrun --max-restarts 3 starts this command again" in refused
    assert "add --run-name NAME" in refused
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_found_by_its_name(tmp_path):
    for name in ("002-shoes", "009-shoes", "010-boots", "shoes", "011-shoes"):
        (tmp_path / name).mkdir()
        if name != "011-shoes":  # which was killed before it had begun
            (tmp_path / name / files.CONFIG).touch()
    assert run_dir.find_named(tmp_path, "shoes") == tmp_path / "009-shoes"
    assert run_dir.find_named(tmp_path, "hats") is None
