"""Images per second of generators on a processor, beside other engines: `python -m benchmarks.engines`.

Networks are fixed: seeded random weights. Each side has a process of its own, and they take turns, so that a machine that drifts
drifts for all. Ours is measured through `gan.runtimes`, from latent vectors to uint8 images; the others from latent vectors to
float images, each as its documentation recommends. torch.compile needs a C++ compiler, and is left out where there is none; so are
the sides in bfloat16 where the processor has no instructions for it, which torch imitates two hundred times slower.

    python -m benchmarks.engines                                every network, in batches of 16 and 1: some 20 minutes
    python -m benchmarks.engines --networks reference --batches 16
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gan.latents import Inputs, InputSpec, inputs_of_seeds


@dataclass(frozen=True)
class Network:
    """A generator with seeded random weights."""

    family: str
    size: tuple[int, int]
    channels: int
    arguments: dict[str, int]

    @property
    def spec(self) -> InputSpec:
        """Latent vectors of 100 components, and nothing else."""
        return InputSpec(100)


NETWORKS = {
    "reference": Network("dcgan", (32, 32), 1, {"width": 128}),
    "width 64": Network("dcgan", (32, 32), 1, {"width": 64}),
    "resnet 64x64": Network("resnet", (64, 64), 3, {"width": 64}),
    "r3gan 64x64": Network("r3gan", (64, 64), 3, {"width": 64}),
}
Run = Callable[[Inputs], Any]


def build(network: Network) -> Any:
    """The network, in eval mode."""
    import torch

    from gan.networks import families

    generator = families.generator(network.family, network.spec, network.channels, network.size, network.arguments)
    families.initialise(network.family, generator, torch.Generator().manual_seed(0))
    return generator.eval()


def _torch(network: Network, batch: int, *, compiled: bool = False, bfloat16: bool = False, scripted: bool = False) -> Run:
    """Eager, channels last; or compiled with frozen weights; or TorchScript, frozen and optimised for inference."""
    import torch

    from gan.runtimes.openvino import has_bfloat16

    if bfloat16 and not has_bfloat16():
        raise RuntimeError("the processor has no instructions for bfloat16 (AVX-512 BF16 or AMX)")
    generator = build(network).to(memory_format=torch.channels_last)
    example = torch.randn(batch, network.spec.z_dim)
    if scripted:
        with torch.inference_mode():
            generator = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(generator, example)))  # type: ignore[no-untyped-call]
    if compiled:
        import torch._inductor.config as inductor

        inductor.freezing = True
        generator = torch.compile(generator)

    def run(rows: Inputs) -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return generator(torch.from_numpy(rows["z"])).float().numpy()

    return run


def _onnx_runtime(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, rows)


def _openvino(batch: int, content: bytes, precision: str | None) -> Run:
    """With a fixed batch size and the hint for latency; its own default precision, or another."""
    import openvino

    core = openvino.Core()
    model = core.read_model(content)
    model.reshape({one.any_name: [batch, *list(one.partial_shape)[1:]] for one in model.inputs})
    hints = {"PERFORMANCE_HINT": "LATENCY", **({} if precision is None else {"INFERENCE_PRECISION_HINT": precision})}
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return lambda rows: request.infer(rows, share_inputs=True)[0]


def _ours(folder: Path, runtime: str, precision: Any) -> Run:
    from gan import model_folder, runtimes
    from gan.processors import usable_processors

    # With all processors, as the others: by default a small network gets one, and leaves the others to the service.
    loaded = runtimes.load(model_folder.read(folder), runtime, precision=precision, threads=usable_processors())
    return lambda rows: runtimes.generate_images(loaded, rows)


# name -> (whether it computes in float32, whether it is ours, how to make it)
SIDES: dict[str, tuple[bool, bool, Callable[[Network, int, Path], Run]]] = {
    "torch eager": (True, False, lambda network, batch, _: _torch(network, batch)),
    "torch eager, bfloat16": (False, False, lambda network, batch, _: _torch(network, batch, bfloat16=True)),
    "torch.compile": (True, False, lambda network, batch, _: _torch(network, batch, compiled=True)),
    "torch.compile, bfloat16": (False, False, lambda network, batch, _: _torch(network, batch, compiled=True, bfloat16=True)),
    "TorchScript": (True, False, lambda network, batch, _: _torch(network, batch, scripted=True)),
    "ONNX Runtime": (True, False, lambda _, __, folder: _onnx_runtime(_content(folder))),
    "OpenVINO, float32": (True, False, lambda _, batch, folder: _openvino(batch, _content(folder), "f32")),
    "OpenVINO as it comes": (False, False, lambda _, batch, folder: _openvino(batch, _content(folder), None)),
    "ours, onnx": (True, True, lambda _, __, folder: _ours(folder, "onnx", "float32")),
    "ours, openvino": (True, True, lambda _, __, folder: _ours(folder, "openvino", "float32")),
    "ours, openvino, bfloat16": (False, True, lambda _, __, folder: _ours(folder, "openvino", "bfloat16")),
}


def _content(folder: Path) -> bytes:
    from gan.model_folder import ONNX

    return (folder / ONNX).read_bytes()


def export(network: Network, folder: Path) -> None:
    """Write a model folder of the network, without its TorchScript file."""
    from safetensors.torch import save_file

    from gan import manifest, manifest_parts, model_folder
    from training.export.export import export_onnx, write_manifest

    generator = build(network)
    save_file(generator.state_dict(), folder / model_folder.WEIGHTS)
    export_onnx(generator, folder / model_folder.ONNX, inputs_of_seeds(range(2), generator.input_spec))
    digests = model_folder.digests(folder, [model_folder.WEIGHTS, model_folder.ONNX])
    found = manifest.Manifest(
        name="benchmark",
        version=digests[model_folder.WEIGHTS][:12],
        inputs=manifest.generator_inputs(network.spec, None),
        outputs=[manifest.image_output(network.channels, *network.size)],
        networks={"generator": manifest_parts.Network(files=manifest.GENERATOR_FILES)},
        origin=manifest_parts.Imported(source="seeded random weights", digest=digests[model_folder.WEIGHTS]),
        licence="none",
        files=digests,
    )
    write_manifest(folder, found)


def flops(network: Network) -> float:
    """Operations for an image, a multiplication and an addition counting as two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        build(network)(torch.zeros(1, network.spec.z_dim))
    return float(counter.get_total_flops())


_run: Run | None = None  # of a measuring process, which has one


def _start(side: str, network: Network, batch: int, folder: Path) -> None:
    """In the measuring process: make the side, and warm it up."""
    global _run
    _run = SIDES[side][2](network, batch, folder)
    rows = inputs_of_seeds(range(batch), network.spec)
    for _ in range(3):
        _run(rows)


def _rate(network: Network, batch: int, seconds: float) -> float:
    """In the measuring process: images a second."""
    assert _run is not None
    rows = inputs_of_seeds(range(batch), network.spec)
    done, started = 0, time.perf_counter()
    while (now := time.perf_counter()) < started + seconds:
        _run(rows)
        done += batch
    return done / (now - started)


def _products(seconds: float) -> float:
    """In the measuring process: operations a second of this machine's fastest matrix product, 2048 x 2048."""
    import torch

    from gan.runtimes.openvino import has_bfloat16

    a, b = torch.randn(2, 2048, 2048, dtype=torch.bfloat16 if has_bfloat16() else torch.float32)
    done, started = 0, time.perf_counter()
    while (now := time.perf_counter()) < started + seconds:
        torch.mm(a, b)
        done += 1
    return done * 2 * 2048**3 / (now - started)


def measure(network: Network, batch: int, sides: Sequence[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Images a second of each side in each round; a side that does not run here is told on standard error, and left out."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        export(network, Path(name))
        processes: dict[str, ProcessPoolExecutor] = {}
        for side in sides:
            process = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            try:
                process.submit(_start, side, network, batch, Path(name)).result()
            except Exception as error:  # whatever another library raises
                print(f"{side} does not run here: {str(error).partition(chr(10))[0]}", file=sys.stderr)
                continue
            processes[side] = process
        ceiling = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        rates: dict[str, list[float]] = {side: [] for side in (*processes, _CEILING)}
        for _ in range(rounds):
            for side, process in processes.items():
                rates[side].append(process.submit(_rate, network, batch, seconds).result())
            rates[_CEILING].append(ceiling.submit(_products, seconds).result() / flops(network))
        return rates


_CEILING = "matrix product in the fastest type (ceiling)"


def print_table(title: str, rates: dict[str, list[float]]) -> None:
    """Every round, the medians, and the ratios of ours to the best of the others."""
    medians = {side: statistics.median(found) for side, found in rates.items()}
    print(f"\n### {title}\n\n| | images/s, each round | median |\n|---|---|---|")
    for side, found in rates.items():
        print(f"| {side} | {' '.join(f'{rate:,.0f}' for rate in found)} | {medians[side]:,.0f} |")
    peers = {side: rate for side, rate in medians.items() if side in SIDES and not SIDES[side][1]}
    best = max((side for side in medians if side in SIDES and SIDES[side][1]), key=medians.__getitem__)
    exact = max((side for side in peers if SIDES[side][0]), key=peers.__getitem__)
    fastest = max(peers, key=peers.__getitem__)
    ratios = (
        f"{medians[best] / peers[exact]:.2f} to the best of the others in float32, {exact}",
        f"{medians[best] / peers[fastest]:.2f} to the best in any precision, {fastest}",
        f"{medians[best] / peers['ONNX Runtime']:.2f} to ONNX Runtime",
        f"{medians[best] / medians[_CEILING]:.0%} of the ceiling",
    )
    print(f"\nBest of ours, {best}: {'; '.join(ratios)}.")


def plot(title: str, rates: dict[str, list[float]], file: Path) -> None:
    """Draw the medians as bars, with the lowest and highest round; ours in another colour."""
    from matplotlib.figure import Figure

    medians = {side: statistics.median(found) for side, found in rates.items()}
    sides = sorted(medians, key=medians.__getitem__)
    colours = ["#9aa5b1" if side not in SIDES else "#d1495b" if SIDES[side][1] else "#30638e" for side in sides]
    spread = [[medians[side] - min(rates[side]) for side in sides], [max(rates[side]) - medians[side] for side in sides]]
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(sides, [medians[side] for side in sides], xerr=spread, color=colours, error_kw={"lw": 0.8, "capsize": 2})
    axes.bar_label(bars, [f"{medians[side]:,.0f}" for side in sides], padding=14, fontsize=8)
    axes.margins(x=0.12)
    axes.set_xlabel("images a second")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 1], metavar="N", help="batch sizes, 16 and 1 by default")
    parser.add_argument("--rounds", type=int, default=5, help="for each side (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="of each round (default: %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the first table as bars, a PNG or SVG file")
    given = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "openvino"))
    print(f"{platform.machine()}, Python {platform.python_version()}, {versions}; {' '.join(sys.orig_argv[1:])}")
    file = given.plot
    for name in given.networks:
        for batch in given.batches:
            title, rates = f"{name}, batch {batch}", measure(NETWORKS[name], batch, list(SIDES), given.rounds, given.seconds)
            print_table(title, rates)
            if file is not None:
                plot(f"The {title}, on {os.cpu_count()} processors", rates, file)
                file = None


if __name__ == "__main__":
    main()
