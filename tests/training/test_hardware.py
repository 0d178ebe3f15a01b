import numpy as np
import pytest
import torch

from training import hardware
from training.config.schema import TrainingConfig
from training.engine import minibatch
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


def test_all_threads_are_all_after_a_run_of_one():
    every = Hardware.choose(TrainingConfig(device="cpu")).threads
    before = torch.get_num_threads()
    try:
        Hardware.choose(TrainingConfig(device="cpu", threads=1)).prepare()
        assert Hardware.choose(TrainingConfig(device="cpu")).threads == every
    finally:
        torch.set_num_threads(before)


def test_float32_is_float32_on_a_gpu_too_and_the_fastest_kernels_are_looked_for(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.backends.cuda.matmul.allow_tf32 = True  # which no monkeypatch can take back; other tests have no GPU
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    for precision in ("float32", "bfloat16", "float16"):  # whose penalties are computed in float32
        Hardware.choose(TrainingConfig(device="cpu", precision=precision)).prepare()
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.benchmark


class FromPinned:
    """A tensor that remembers how it went to a GPU."""

    def __init__(self, tensor):
        self.tensor, self.said = tensor, []

    def pin_memory(self):
        self.said.append("pinned")
        return self

    def to(self, device, non_blocking=False):
        self.said.append((device.type, non_blocking))
        return self


def test_batches_go_to_a_gpu_from_pinned_memory_without_waiting(monkeypatch):
    monkeypatch.setattr(minibatch.torch, "from_numpy", FromPinned)
    assert minibatch.upload(np.zeros(3, np.float32), torch.device("cuda")).said == ["pinned", ("cuda", True)]
    assert minibatch.upload(np.zeros(3, np.float32), torch.device("cpu")).said == [("cpu", False)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_missing_gpu_is_said():
    with pytest.raises(ValueError, match="--device cuda: torch sees no GPU here; use --device cpu"):
        Hardware.choose(TrainingConfig(device="cuda"))
    assert Hardware.choose(TrainingConfig()).device.type == "cpu"
