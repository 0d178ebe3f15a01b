import subprocess
import sys

import pytest
import torch

from training import hardware
from training.config import TrainingConfig
from training.hardware import Hardware


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx2 avx512_bf16", True), ("amx_bf16", True), ("avx2 avx512f", False), ("", False)]
)
def test_a_processor_computes_in_bfloat16_where_it_has_instructions_for_it(monkeypatch, flags, expected):
    monkeypatch.setattr(hardware, "_cpu_flags", flags.split)
    assert (Hardware.choose(TrainingConfig(device="cpu")).precision == torch.bfloat16) is expected
    for precision in ("float32", "bfloat16", "float16"):
        assert Hardware.choose(TrainingConfig(device="cpu", precision=precision)).precision == getattr(torch, precision)


def test_threads_are_those_asked_for():
    chosen = Hardware.choose(TrainingConfig(device="cpu", threads=1))
    assert chosen.threads == 1
    assert str(chosen).endswith(("1 thread, bfloat16", "1 thread, float32"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_missing_gpu_is_said():
    with pytest.raises(ValueError, match="--device cuda: torch sees no GPU here; use --device cpu"):
        Hardware.choose(TrainingConfig(device="cuda"))
    assert Hardware.choose(TrainingConfig()).device.type == "cpu"


@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
def test_freed_memory_is_kept():
    code = """
import resource, statistics, sys, torch
if sys.argv[1] == "kept":
    from training.hardware import keep_freed_memory
    keep_freed_memory()
def use():
    torch.ones(16 * 2**20)  # 64 MB
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    use()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
use()
print(statistics.median(faults() for _ in range(20)))  # the kernel may take pages back now and then by itself
"""
    faults = {
        kept: float(subprocess.run([sys.executable, "-c", code, kept], capture_output=True, text=True, check=True).stdout)
        for kept in ("kept", "as it was")
    }
    assert faults["kept"] < faults["as it was"] / 10
