"""The TorchScript file on torch: for GPUs, and for a second opinion on the processor."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.errors import ModelFolderError
from gan.images.encoding import Images, to_uint8_range
from gan.latents import Inputs
from gan.model_folder import export_again_hint
from gan.processors import usable_processors
from gan.runtimes.base import DeviceName, Outputs, PrecisionName, RunExclusively, rows_in_a_batch, run_inline
from gan.runtimes.network import ExportedNetwork


class FixedTypeError(Exception):
    """A TorchScript file whose weights cannot be given another type."""


_GPU_BATCH_VALUES = 2**22  # that a batch may hold: 64 images of 128x128 RGB, or 21 of 256x256
_WARM_UP_RUNS = 3  # TorchScript specialises its graph over the first two runs, which may change last bits


class TorchScriptEngine:
    """TorchScript on the processor or on CUDA, all batches of one shape.

    One shape, because on a GPU another batch size may choose another kernel and with it other last bits; and because a CUDA
    graph, which replays all kernels of a batch with one call, is of one shape.
    """

    library = "torch"
    needs_fixed_batch_size = makes_uint8 = True

    def __init__(
        self,
        network: ExportedNetwork,
        device: DeviceName = "auto",
        precision: PrecisionName = "float32",
        threads: int | None = None,
        on_device: RunExclusively = run_inline,
    ) -> None:
        """Raises ModelFolderError."""
        (output,) = network.outputs
        self.file = network.file("torchscript")
        assert output.uint8_source_range is not None, "the step to uint8 is part of the graph"
        self._output, self._range = output.name, output.uint8_source_range
        if device == "cuda" and not torch.cuda.is_available():
            raise ModelFolderError("GAN_DEVICE=cuda: torch sees no GPU here; leave GAN_DEVICE unset")
        self._device = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        on_gpu = self._device.type == "cuda"
        if precision == "float16" and not on_gpu:
            raise ModelFolderError("GAN_PRECISION=float16 needs a GPU, and torch sees none here: leave it unset")
        self._dtype = torch.float16 if precision == "float16" else torch.float32
        self.name = f"torchscript-{self._device.type}" + ("-float16" if precision == "float16" else "")
        self.max_batch_size = rows_in_a_batch(64, network, _GPU_BATCH_VALUES) if on_gpu else rows_in_a_batch(8, network)
        self.in_flight = 2 if on_gpu else 1
        self._slots: list[_CudaGraphBuffers] = []
        torch.set_num_threads(threads or min(torch.get_num_threads(), usable_processors()))
        # TensorFloat-32 would cost the promise of one grey level; autotuning, that of the same bytes after a restart.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        self._names = network.inputs
        content, folder = network.content("torchscript"), network.folder.path
        try:
            self._module = load_module(content, self._device, self._dtype)
            # While a CUDA graph is captured no other thread may ask anything of the device.
            on_device(lambda: self._warm_up(network.rows(self.max_batch_size)))
        except FixedTypeError as error:
            raise ModelFolderError(
                f"GAN_PRECISION={precision}: {folder / self.file} {error}: {export_again_hint(folder)}, "
                "or leave GAN_PRECISION unset"
            ) from error
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().rpartition("\n")[2]  # torch's own trace comes before it
            raise ModelFolderError(f"torch cannot run {folder / self.file} ({reason}): {export_again_hint(folder)}") from error

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """See `base.Engine`."""
        batch = [torch.from_numpy(values) for values in self._in_order(rows)]
        with torch.inference_mode():
            if self._slots:
                slot = next((slot for slot in self._slots if slot.free), None)
                if slot is None:
                    raise RuntimeError("more batches were started than the device takes before one is waited for")
                wait = slot.start(batch)
                return lambda: {self._output: wait()}
            levels: Images = self._levels(batch).numpy()
        return lambda: {self._output: levels}

    def start_values(self, rows: Inputs) -> Callable[[], Outputs]:
        """See `base.Engine`."""
        with torch.inference_mode():
            values = self._values([torch.from_numpy(values).to(self._device) for values in self._in_order(rows)]).cpu().numpy()
        return lambda: {self._output: values}

    def _in_order(self, rows: Inputs) -> list[NDArray[Any]]:
        return [rows[name] for name in self._names]

    @torch.inference_mode()
    def _warm_up(self, rows: Inputs) -> None:
        probe = [torch.from_numpy(values).to(self._device) for values in self._in_order(rows)]
        if self._device.type == "cpu":
            for _ in range(_WARM_UP_RUNS):
                self._levels(probe)
            return
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(aside):  # a capture needs kernels that ran beside the main stream before
            for _ in range(_WARM_UP_RUNS):
                self._levels(probe)
        aside.synchronize()
        copies = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._slots = [_CudaGraphBuffers(self._levels, probe, copies) for _ in range(self.in_flight)]

    def _levels(self, batch: list[Tensor]) -> Tensor:
        """Inputs in the network's order, on its device -> uint8 [max_batch_size, height, width, channels]."""
        levels: Tensor = to_uint8_range(self._values(batch), *self._range).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return levels

    def _values(self, batch: list[Tensor]) -> Tensor:
        """The same -> float32 [max_batch_size, channels, height, width]."""
        images = self._module(*(values.to(self._dtype) if values.is_floating_point() else values for values in batch))
        return images.float()  # type: ignore[no-any-return]


def load_module(content: bytes, device: torch.device, dtype: torch.dtype) -> torch.jit.ScriptModule:
    """The module in a TorchScript file's bytes, its weights on the device, of the type, and fixed from now on.

    Raises FixedTypeError for a file that was fixed in another type when it was exported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch calls TorchScript deprecated but keeps it
        module = torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
        if next(module.parameters(), None) is not None:
            return torch.jit.freeze(module.eval().to(dtype))  # type: ignore[no-any-return]
        if dtype != torch.float32:
            raise FixedTypeError("was exported with weights that stay float32")
        return module  # type: ignore[no-any-return]


class _CudaGraphBuffers:
    """Room for one batch on a GPU: a CUDA graph, which launches all kernels in one go, with the memory that it reads and writes.

    With two of them the copy of one batch to the processor runs beside the kernels of the next.
    """

    def __init__(self, levels: Callable[[list[Tensor]], Tensor], probe: list[Tensor], copies: torch.cuda.Stream) -> None:
        self.free = True  # no batch is in it that has not been waited for
        self._inputs = [values.clone() for values in probe]
        self._staged = [torch.empty_like(values, device="cpu", pin_memory=True) for values in probe]
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._levels = levels(self._inputs)
        self._result = torch.empty_like(self._levels, device="cpu", pin_memory=True)
        self._copies = copies
        self._drawn, self._copied = torch.cuda.Event(), torch.cuda.Event()  # type: ignore[no-untyped-call]

    def start(self, batch: list[Tensor]) -> Callable[[], Images]:
        for staged, place, values in zip(self._staged, self._inputs, batch, strict=True):
            place.copy_(staged.copy_(values), non_blocking=True)
        self._graph.replay()
        self._drawn.record()
        with torch.cuda.stream(self._copies):
            self._copies.wait_event(self._drawn)
            self._result.copy_(self._levels, non_blocking=True)
            self._copied.record()
        self.free = False  # not before: a batch that could not be started is never waited for
        return self._wait

    def _wait(self) -> Images:
        self.free = True  # whatever the device says
        self._copied.synchronize()
        levels: Images = self._result.numpy().copy()  # the next batch of this slot is written there
        return levels


load = TorchScriptEngine
