"""Device and precision of a run, and the settings that make it fast."""

import os
import platform
import resource
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from gan import freed_memory

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ALL_THREADS = torch.get_num_threads()  # of the processor; later it is what `prepare` has set


class Settings(Protocol):
    """The settings that choose hardware; a run's configuration has them."""

    @property
    def device(self) -> str:
        """cpu, cuda, or auto: the GPU where there is one."""

    @property
    def precision(self) -> str:
        """float32, bfloat16, float16, or auto: bfloat16 where there are instructions for it."""

    @property
    def threads(self) -> int | None:
        """Of the processor; None: one for each of its cores."""


@dataclass(frozen=True)
class Hardware:
    """Device, precision and threads of the networks; their weights are always float32."""

    device: torch.device
    precision: torch.dtype  # of convolutions and matrix products
    threads: int

    @classmethod
    def choose(cls, config: Settings) -> "Hardware":
        """Resolve 'auto'. Raises ValueError, naming the flag, for hardware that this machine does not have."""
        if config.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda: torch sees no GPU here; use --device cpu")
        device = torch.device("cpu")
        if config.device != "cpu" and torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun's, one for each process
        if config.precision == "auto":
            precision = torch.bfloat16 if _has_bfloat16(device) else torch.float32
        else:
            precision = _PRECISIONS[config.precision]
        return cls(device, precision, config.threads or _ALL_THREADS)

    @classmethod
    def plain(cls) -> "Hardware":
        """The processor in float32, which computes the same everywhere to within rounding."""
        return cls(torch.device("cpu"), torch.float32, _ALL_THREADS)

    def prepare(self) -> None:
        """Apply the settings of the process."""
        torch.set_num_threads(self.threads)
        freed_memory.keep()
        forbid_tf32()
        torch.backends.cudnn.benchmark = True  # all batches have one size, so the fastest kernels are searched for once

    def autocast(self) -> AbstractContextManager[None]:
        """Context for convolutions and matrix products in `precision`; does nothing for float32."""
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaler, for gradients that underflow in float16; does nothing in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)

    def peak_memory(self) -> int:
        """Peak memory so far, in bytes: of the GPU on a GPU, else of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB

    def __str__(self) -> str:
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name()
        else:
            name = f"{_cpu_name()}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{name}, {str(self.precision).removeprefix('torch.')}"


def forbid_tf32() -> None:
    """No TensorFloat-32 on a GPU: its mantissa has 10 bits, too few for second derivatives, and for features that are compared."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags()


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
