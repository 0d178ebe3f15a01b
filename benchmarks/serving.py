"""The service over HTTP beside its peers, on the same machine with the same ONNX file: `python -m benchmarks.serving`.

Needs wrk and the extra `bench`. Each side runs by itself, in turn with the others.
"""

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import overload
from benchmarks.sides import ROOT, SIDES, Load, event_loop_seconds, load, longest_block, process_memory, running

REFERENCE = ROOT / "models" / "fashion-mnist-dcgan"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 256])
    parser.add_argument("--seconds", type=float, default=8, help="of each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="for each side (default: %(default)s)")
    parser.add_argument(
        "--parts",
        nargs="+",
        default=[part for part in PARTS if part != "container"],
        choices=[*PARTS],
        help="default: all but container",
    )
    parser.add_argument("--before", type=Path, help="another checkout, which the part event-loop measures too")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("benchmarks.serving: wrk is not installed; it is in Debian's package wrk")
    versions = ", ".join(f"{name} {version(name)}" for name in ("bentoml", "fastapi", "litserve", "onnxruntime"))
    print(f"{os.cpu_count()} processors; Python {platform.python_version()}, {versions}; {' '.join(sys.orig_argv[1:])}")
    if settings := " ".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("GAN_")):
        print(f"ours with {settings}")
    for part in given.parts:
        PARTS[part](given)


def singles(given: argparse.Namespace) -> None:
    """Single images of the reference network."""
    _compare("Single images, the reference network", _PEERS, REFERENCE, given)


def half_width(given: argparse.Namespace) -> None:
    """Single images of a network with a quarter of the arithmetic, so that the service's overhead dominates."""
    with tempfile.TemporaryDirectory() as folder:
        _compare("Single images, half its width", _PEERS, _half_width(Path(folder) / "half-width"), given)


def large(given: argparse.Namespace) -> None:
    """Requests for 64 images, four at a time, against the bare runtime in a loop."""
    with tempfile.TemporaryDirectory() as folder:
        for title, model in (("the reference network", REFERENCE), ("half its width", _half_width(Path(folder) / "half-width"))):
            _large(f"{title}, ONNX Runtime", model, given, {})
            _large(f"{title}, OpenVINO in bfloat16", model, given, {"GAN_RUNTIME": "openvino", "GAN_PRECISION": "bfloat16"})


def _large(title: str, model: Path, given: argparse.Namespace, settings: dict[str, str]) -> None:
    bare, ours = [], {"npz": [], "png": []}
    for _ in range(given.rounds):
        command = [sys.executable, "-m", "benchmarks.peers.bare_loop", str(given.seconds)]
        environment = {**os.environ, **settings, "PEER_ONNX": str(model / "generator.onnx")}
        bare.append(float(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout))
        with running("ours", model, **settings):
            for name, found in ours.items():
                body = '{"seed": %d, "n": 64, "format": "' + name + '"}'
                load(body, 4, 2)
                found.append(64 * load(body, 4, given.seconds).rate)
    print(
        f"\n### 64 images a request, four connections: {title}\n\n"
        "| | images/s, each round | median | of the bare runtime |\n|---|---|---|---|"
    )
    for name, rates in (
        ("the bare runtime in a loop, 64 at a time", bare),
        *((f"ours, {name}", rates) for name, rates in ours.items()),
    ):
        median = statistics.median(rates)
        print(f"| {name} | {' '.join(f'{rate:.0f}' for rate in rates)} | {median:.0f} | {median / statistics.median(bare):.2f} |")


def too_much(given: argparse.Namespace) -> None:
    """Ten times the service's capacity, for half a minute."""
    with running("ours", REFERENCE):
        load('{"seed": %d}', 16, 2)
        capacity = load('{"seed": %d}', 16, given.seconds).rate
        found = asyncio.run(overload.offer(images_per_second=10 * capacity, seconds=30, memory=process_memory))
    print(f"\n### Ten times too much\n\n{found}")


def start(given: argparse.Namespace) -> None:
    """Seconds from the command to /readyz, memory then, and the longest block of the event loop under a mixed load."""
    times, memory = [], 0
    for _ in range(given.rounds):
        with running("ours", REFERENCE) as seconds:
            times.append(seconds)
            memory = process_memory()
    print("\n### Start and event loop\n")
    print(f"Ready after {statistics.median(times):.1f} s (median of {len(times)}); resident memory then {memory} MB.\n")
    print(
        "| 16 connections, each asking for | the event loop was away at most, ms | of that in work of its own, ms |\n|---|---|---|"
    )
    with running("ours, watched", REFERENCE):
        load(_KINDS["a image"], 16, 2)
        longest_block()
        for kind, body in _KINDS.items():
            load(body, 16, given.seconds)
            gap, work = longest_block()
            print(f"| {kind} | {gap:.0f} | {work:.0f} |")


def event_loop(given: argparse.Namespace) -> None:
    """Processor time of the event loop for an image, which bounds what one worker answers."""
    checkouts = {"ours": ROOT, **({"before": given.before.resolve()} if given.before else {})}
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(given.rounds):
        for name, root in checkouts.items():
            with running("ours", REFERENCE, root, GAN_THREADS="1"):
                load('{"seed": %d}', given.connections[0], 2)
                for connections in given.connections:
                    before = event_loop_seconds()
                    answers = load('{"seed": %d}', connections, given.seconds).answers
                    found.setdefault((name, connections), []).append(1e6 * (event_loop_seconds() - before) / answers)
    print("\n### Event loop\n\n| connections | | µs an image, each round | median |\n|---|---|---|---|")
    for (name, connections), times in sorted(found.items(), key=lambda one: one[0][1]):
        print(f"| {connections} | {name} | {' '.join(f'{time:.0f}' for time in times)} | {statistics.median(times):.0f} |")


def container(given: argparse.Namespace) -> None:
    """The container image that `make container` builds, beside the same service without a container."""
    sides = ("ours", "ours, in a container")
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(given.rounds):
        for side in sides:
            with running(side, REFERENCE) as seconds:
                times[side].append(seconds)
    print("\n### In a container\n")
    for side, found in times.items():
        print(f"{side}: ready after {statistics.median(found):.1f} s (median of {len(found)}; longest {max(found):.1f}).")
    _compare("Single images, the reference network", sides, REFERENCE, given)


_KINDS = {
    "a image": '{"seed": %d}',
    "64 in a png": '{"seed": %d, "n": 64, "format": "png"}',
    "256 in an npz": '{"seed": %d, "n": 256, "format": "npz"}',
    "256 in json": '{"seed": %d, "n": 256, "format": "json"}',
    "16 in a webp, enlarged 16 times": '{"seed": %d, "n": 16, "scale": 16, "format": "webp"}',
}
_PEERS = ("ours", "plain BentoML", "LitServe", "FastAPI, unbatched")
PARTS = {
    "singles": singles,
    "half-width": half_width,
    "large": large,
    "overload": too_much,
    "start": start,
    "event-loop": event_loop,
    "container": container,
}


def _compare(title: str, sides: Sequence[str], model: Path, given: argparse.Namespace) -> None:
    """Load the sides in turn and print a table for each number of connections."""
    found: dict[tuple[int, str], list[Load]] = {}
    for _ in range(given.rounds):
        for side in sides:
            with running(side, model):
                load(SIDES[side].body, given.connections[0], 2)  # warm-up
                for connections in given.connections:
                    found.setdefault((connections, side), []).append(load(SIDES[side].body, connections, given.seconds))
    print(f"\n### {title}")
    for connections in given.connections:
        print(f"\n| {connections} connections | images/s, each round | median | ours to it | p99, ms | failed |")
        print("|---|---|---|---|---|---|")
        ours = statistics.median(one.rate for one in found[connections, "ours"])
        for side in sides:
            loads = found[connections, side]
            rates = " ".join(f"{one.rate:.0f}" for one in loads)
            median, p99 = statistics.median(one.rate for one in loads), statistics.median(one.p99 for one in loads)
            failed = sum(one.failed for one in loads)
            print(f"| {side} | {rates} | {median:.0f} | {ours / median:.2f} | {p99:.0f} | {failed} |")


def _half_width(folder: Path) -> Path:
    """A model folder with start weights: it generates noise, which takes as long as images do."""
    import torch
    from safetensors.torch import save_file

    from gan import atomic, model_folder
    from gan.latents import inputs_of_seeds
    from gan.manifest import MANIFEST
    from gan.networks import dcgan
    from training.export import export

    generator = dcgan.Generator(width=64).eval()
    dcgan.initialise(generator, torch.Generator().manual_seed(0))

    def fill(path: Path) -> None:
        save_file(generator.state_dict(), path / model_folder.WEIGHTS)
        export.export_onnx(generator, path / model_folder.ONNX, inputs_of_seeds(range(2), generator.input_spec))
        files = model_folder.digests(path, [model_folder.WEIGHTS, model_folder.ONNX])
        changes = {"name": folder.name, "version": files[model_folder.WEIGHTS][:12], "files": files}
        manifest = model_folder.read(REFERENCE).manifest.model_copy(update=changes)
        (path / MANIFEST).write_text(manifest.model_dump_json())

    atomic.write_atomically(folder, fill)
    return folder


if __name__ == "__main__":
    main()
