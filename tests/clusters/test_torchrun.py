"""torchrun: a run goes on by itself when one of its processes dies."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch

from tests.training.engine.test_distributed import FLAGS, PARTS, start_two
from training.engine import checkpoint
from training.engine.checkpoint import checkpoints
from training.run import main

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def test_a_run_whose_process_is_killed_goes_on_by_itself_and_ends_as_one_that_was_not(tmp_path, capsys):
    """With nothing but torchrun's --max-restarts and a name; the same command then finds the run done."""
    pair, outputs = start_two([*FLAGS, *PARTS, "--models", str(tmp_path / "models"), "--out", str(tmp_path / "two")], tmp_path)
    for process, output in zip(pair, outputs, strict=True):
        process.join(170)
        assert process.exitcode == 0, output.read_text()
    (two,) = (tmp_path / "two").iterdir()
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), "--run-name", "shoes"]
    command = [*TORCHRUN, "--max-restarts", "1", "-m", "training.run", *FLAGS, *PARTS, "--checkpoint-every", "32", *where]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as torchrun:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/checkpoint-*")):
            assert torchrun.poll() is None, torchrun.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (second,) = (one for one in psutil.Process(torchrun.pid).children() if one.environ().get("RANK") == "1")
        second.kill()
        out, err = torchrun.communicate(timeout=170)
    assert torchrun.returncode == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name == "001-shoes"
    assert "resumed from " in out
    assert out.count("exported ") == 1  # by the first process alone
    assert "training.run: another process of this run has ended" in err
    undisturbed, killed = (checkpoint.read(checkpoints(one)[-1])[0] for one in (two, run))
    assert undisturbed.keys() == killed.keys()
    for name, tensor in undisturbed.items():
        assert torch.equal(tensor, killed[name]), name
    assert main([*FLAGS, *PARTS, *where]) == 0
    assert f"{run} is done" in capsys.readouterr().out
