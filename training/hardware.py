"""Which device a run computes on, in which precision, and how it is told to do so fast."""

import ctypes
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from training.config import TrainingConfig

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h


@dataclass(frozen=True)
class Hardware:
    """Where and how the networks compute; their weights are always float32."""

    device: torch.device
    bfloat16: bool
    threads: int

    @classmethod
    def choose(cls, config: TrainingConfig) -> "Hardware":
        """Resolve 'auto'. Raises ValueError, naming the flag, for what this machine does not have."""
        if config.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda: torch sees no GPU here; use --device cpu")
        device = torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
        if device.type == "cuda":
            has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            has_bfloat16 = "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags()
        bfloat16 = has_bfloat16 if config.precision == "auto" else config.precision == "bfloat16"
        return cls(device, bfloat16, config.threads or torch.get_num_threads())

    def prepare(self) -> None:
        """Set what is set per process."""
        torch.set_num_threads(self.threads)
        keep_freed_memory()

    def autocast(self) -> AbstractContextManager[None]:
        """Convolutions in bfloat16 where that is chosen; a context that does nothing otherwise."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def __str__(self) -> str:
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name()
        else:
            name = f"{_cpu_name()}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{name}, {'bfloat16' if self.bfloat16 else 'float32'}"


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks instead of handing each back to the kernel.

    Every step frees and asks for the same buffers of tens of megabytes; faulting their pages in anew costs a fifth of the time.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _cpu_flags() -> list[str]:
    return _cpuinfo("flags").split()


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.machine()
