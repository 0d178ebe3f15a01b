"""Model folder -> a function from rows of inputs to rows of outputs, on one of several engines."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from gan.errors import ModelFolderError
from gan.images.encoding import Images
from gan.latents import Inputs, count, select
from gan.manifest import IMAGES
from gan.model_folder import ModelFolder
from gan.runtimes.base import DeviceName, Engine, Outputs, PrecisionName, RunExclusively, Runtime, run_inline

# (folder, device, precision, processor threads or None for as many as help, on_device) -> an engine for the folder's generator.
# Raises ModelFolderError for a file that it cannot load, or a device that is not there.
Load = Callable[[ModelFolder, DeviceName, PrecisionName, int | None, RunExclusively], Engine]


@dataclass(frozen=True)
class EngineKind:
    """An engine that a model can be run on."""

    load: Load
    about: str  # for the list of settings
    precisions: tuple[PrecisionName, ...] = ("float32",)  # of GAN_PRECISION


def _of_module(name: str, package: str, remedy: str) -> Load:
    """The `load` of a module of this package, which is imported when it is first asked for."""

    def load(folder: ModelFolder, device: DeviceName, precision: PrecisionName, threads: int | None, on: RunExclusively) -> Engine:
        try:
            module = import_module(f"gan.runtimes.{name}")
        except ImportError as error:
            raise ModelFolderError(
                f"GAN_RUNTIME={name} needs {package}, which is not installed here ({error}): {remedy}"
            ) from error
        engine: Engine = module.load(folder, device, precision, threads, on)
        return engine

    return load


ENGINES: dict[str, EngineKind] = {
    "onnx": EngineKind(
        _of_module("onnx", "onnxruntime", "install this program again"),
        "runs on the processor without torch",
    ),
    "torchscript": EngineKind(
        _of_module("torchscript", "torch", "install the extra 'gpu', or leave GAN_RUNTIME unset"),
        "needs torch and can use a GPU",
        ("float32", "float16"),
    ),
    "openvino": EngineKind(
        _of_module("openvino", "openvino", "install the extra 'openvino', or leave GAN_RUNTIME unset"),
        "is faster on the processor, most of all in bfloat16",
        ("float32", "bfloat16"),
    ),
}


def register(name: str, load: Load, about: str, precisions: tuple[PrecisionName, ...] = ("float32",)) -> None:
    """Add an engine of another package. Raises ValueError if there is one of its name."""
    if name in ENGINES:
        raise ValueError(f"there is an engine {name} already")
    ENGINES[name] = EngineKind(load, about, precisions)


def load(
    folder: ModelFolder,
    engine: str,  # a name in ENGINES
    device: DeviceName = "auto",
    precision: PrecisionName = "float32",  # one of the engine's
    threads: int | None = None,  # processor threads; None: as many as help
    on_device: RunExclusively = run_inline,  # used for that part of the loading which must have the device alone
) -> Runtime:
    """Make ready to run.

    Raises ModelFolderError for a file that the engine cannot load, or a precision or device that it does not have.
    """
    if precision not in ENGINES[engine].precisions:
        others = " or ".join(name for name, kind in ENGINES.items() if precision in kind.precisions)
        raise ModelFolderError(f"GAN_PRECISION={precision} needs GAN_RUNTIME={others}, not {engine}: leave it unset for float32")
    loaded = ENGINES[engine].load(folder, device, precision, threads, on_device)
    return Runtime(loaded, folder.manifest.input_spec, tuple(folder.manifest.outputs))


def generate(runtime: Runtime, rows: Inputs) -> Outputs:
    """All outputs of any number of rows from 1 up, one batch after another."""
    starts = range(0, count(rows), runtime.batch_size)
    parts = [runtime.start(select(rows, slice(start, start + runtime.batch_size)))() for start in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def generate_images(runtime: Runtime, rows: Inputs) -> Images:
    """The images of any number of rows from 1 up, uint8 [n, height, width, channels]."""
    return generate(runtime, rows)[IMAGES]
