"""Model folder -> a function from rows of inputs to rows of outputs, on one of several engines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from gan import latents
from gan.errors import ModelFolderError
from gan.images.encoding import Images
from gan.latents import Inputs
from gan.manifest import IMAGES, Manifest
from gan.model_folder import ModelFolder
from gan.runtimes.base import DeviceName, Engine, PrecisionName, RunExclusively, Runtime, generate, run_inline
from gan.runtimes.network import ExportedNetwork, generator_of

# (network, device, precision, processor threads or None for as many as help, on_device) -> an engine for it.
# Raises ModelFolderError for a file that it cannot load, or a device that is not there.
Load = Callable[[ExportedNetwork, DeviceName, PrecisionName, int | None, RunExclusively], Engine]


@dataclass(frozen=True)
class EngineKind:
    """An engine that a model can be run on."""

    load: Load
    about: str  # for the list of settings
    precisions: tuple[PrecisionName, ...] = ("float32",)  # of GAN_PRECISION


def _of_module(name: str, package: str, remedy: str) -> Load:
    """The `load` of a module of this package, which is imported when it is first asked for."""

    def load(
        network: ExportedNetwork, device: DeviceName, precision: PrecisionName, threads: int | None, on: RunExclusively
    ) -> Engine:
        try:
            module = import_module(f"gan.runtimes.{name}")
        except ImportError as error:
            raise ModelFolderError(
                f"GAN_RUNTIME={name} needs {package}, which is not installed here ({error}): {remedy}"
            ) from error
        engine: Engine = module.load(network, device, precision, threads, on)
        return engine

    return load


# What an engine may raise, unforeseen, for files that another program made
_OF_OTHERS_FILES = (LookupError, TypeError, AttributeError, ArithmeticError)

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
    if engine not in ENGINES:
        raise ModelFolderError(f"there is no engine {engine}: take {', '.join(ENGINES)}")
    if precision not in ENGINES[engine].precisions:
        others = " or ".join(name for name, kind in ENGINES.items() if precision in kind.precisions)
        raise ModelFolderError(f"GAN_PRECISION={precision} needs GAN_RUNTIME={others}, not {engine}: leave it unset for float32")
    network, mapping = generator_of(folder), None
    if folder.manifest.styles is not None:
        from gan.runtimes.styles import StyleMapping  # imports ONNX Runtime, which other engines do without

        mapping = StyleMapping(folder)
        network = mapping.feeding(network)
    try:
        return Runtime(ENGINES[engine].load(network, device, precision, threads, on_device), network, mapping)
    except _OF_OTHERS_FILES as error:  # of one model, which must not end a service that has others
        raise ModelFolderError(
            f"{folder.path} cannot be run by GAN_RUNTIME={engine} ({type(error).__name__}: {error}): try another, or convert it "
            "again"
        ) from error


def inputs_of_seeds(
    runtime: Runtime, manifest: Manifest, seeds: Sequence[int], truncation: float | None, given: Inputs | None = None
) -> Inputs:
    """Complete rows of seeds, but for the inputs given, truncated where the model truncates: as latent vectors, or as styles."""
    of_latents = truncation if manifest.truncates == "z" else None
    return runtime.complete(latents.inputs_of_seeds(seeds, manifest.input_spec, of_latents) | (given or {}), truncation)


def generate_images(runtime: Runtime, rows: Inputs) -> Images:
    """The images of any number of rows from 1 up, uint8 [n, height, width, channels]."""
    return generate(runtime, rows)[IMAGES]
