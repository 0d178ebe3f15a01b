import socket
import subprocess
import sys
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from safetensors.torch import load_file

from tests import processes
from tests.conftest import QUICKLY_MEASURED, SMALL_DATA
from training.config import files
from training.engine.checkpoint import checkpoints
from training.engine.distributed import Group
from training.engine.state import TrainingState
from training.hardware import Hardware
from training.run import main

ROOT = Path(__file__).parents[3]
# Networks without batch statistics, and everything random within a step.
FLAGS = [
    *("--data", str(SMALL_DATA), "--recipe", "r3gan", "--width", "16", "--gradient-penalty", "1", "--augment", "diffaugment"),
    *("--mirror", "--batch-size", "16", "--images", "128", "--threads", "1", "--precision", "float32", "--features", "random"),
    *QUICKLY_MEASURED,
]


def test_two_processes_train_what_one_trains(tmp_path):
    assert main([*FLAGS, "--out", str(tmp_path / "one"), "--models", str(tmp_path / "models")]) == 0
    where = ["--out", str(tmp_path / "two"), "--models", str(tmp_path / "models")]
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    outputs = [tmp_path / "output0", tmp_path / "output1"]
    pair = [
        processes.start([*FLAGS, *where], output, {**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, output in enumerate(outputs)
    ]
    for process, output in zip(pair, outputs, strict=True):
        process.join(170)
        assert process.exitcode == 0, output.read_text()
    assert "exported " in outputs[0].read_text()
    assert "2 processes" in outputs[0].read_text()
    assert "exported " not in outputs[1].read_text()
    (one,), (two,) = (list((tmp_path / name).iterdir()) for name in ("one", "two"))
    ours, theirs = load_file(checkpoints(one)[-1]), load_file(checkpoints(two)[-1])
    assert ours.keys() == theirs.keys()
    config = files.read_config(one)
    start = TrainingState.start(config, 1, None, Hardware.choose(config))._tensors()
    names = [name for name in ours if name.startswith(("generator.", "judge.", "average."))]
    way, apart = (sum(float((ours[name] - other[name]).square().sum()) for name in names) ** 0.5 for other in (start, theirs))
    # Sums of gradients in another order; two processes with the same half of each batch would be a good part of the way apart.
    assert apart < 0.03 * way
    assert len((two / "stats.jsonl").read_text().splitlines()) == len((one / "stats.jsonl").read_text().splitlines())


def test_torchrun_starts_them_and_minutes_end_all_at_one_step(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training.run"]
    where = ["--out", str(tmp_path / "two"), "--models", str(tmp_path / "models")]
    flags = [*FLAGS, "--recipe", "gan", "--images", "10M", "--minutes", "0.02"]
    result = subprocess.run([*command, *where, *flags], cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("exported ") == 1  # by the first process alone


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch, tmp_path, capsys):
    @contextmanager
    def join(_):
        yield Group(rank=0, size=2)

    monkeypatch.setattr(Group, "join", classmethod(join))
    monkeypatch.setattr(Group, "one_after_another", lambda _: nullcontext())
    assert main([*FLAGS, "--batch-size", "33", "--out", str(tmp_path)]) == 2
    assert "--batch-size 33 cannot be shared by 2 processes: take a multiple of 2" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
