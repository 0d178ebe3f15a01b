"""The command that measures runtimes: `python -m gan.bench`."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan import model_folder, runtimes
from gan.errors import GanServiceError
from gan.latents import inputs_of_seeds
from gan.paths import user_path
from gan.runtimes.base import DeviceName, PrecisionName, Runtime

BATCHES = (1, 16, 64)
_COMPARED_SEEDS = 64
_REFERENCE = ("onnx", "float32")  # what images are compared with
_EXAMPLES = """examples:
  python -m gan.bench models/fashion-mnist                 all runtimes that are installed here, in each of their precisions
  python -m gan.bench models/fashion-mnist --threads 1     as the service runs with GAN_THREADS=1
"""


@dataclass(frozen=True)
class Candidate:
    """Settings of the service that a model can be run with."""

    runtime: str
    precision: PrecisionName
    device: DeviceName

    @property
    def settings(self) -> str:
        """As environment variables, without those that are the default."""
        values = {"GAN_RUNTIME": self.runtime, "GAN_PRECISION": self.precision, "GAN_DEVICE": self.device}
        defaults = {"GAN_RUNTIME": "onnx", "GAN_PRECISION": "float32", "GAN_DEVICE": "cpu"}
        return " ".join(f"{name}={value}" for name, value in values.items() if value != defaults[name]) or "the defaults"


@dataclass(frozen=True)
class Result:
    """Measurements of one candidate, or the reason why it does not run here."""

    candidate: Candidate
    failure: str | None = None
    name: str = ""  # of the runtime, as in metrics
    load_seconds: float = 0.0
    megabytes: float = 0.0  # peak memory of a process that runs this runtime alone
    images_per_second: dict[int, float] | None = None  # by batch size
    milliseconds: dict[int, float] | None = None  # from a batch's inputs to its images
    largest: int = 0  # difference from the reference's images in grey levels
    mean: float = 0.0

    @property
    def speed(self) -> float:
        """Images a second in batches of 16, by which settings are recommended."""
        return 0.0 if self.images_per_second is None else self.images_per_second[16]


_runtime: Runtime | None = None  # of a measuring process, which has one


def _load(path: Path, candidate: Candidate, threads: int | None) -> tuple[str, float, NDArray[np.uint8]]:
    """In the measuring process: load, and generate the images to compare. Raises GanServiceError."""
    global _runtime
    started = time.perf_counter()
    folder = model_folder.read(path)
    _runtime = runtimes.load(folder, candidate.runtime, candidate.device, candidate.precision, threads)
    seconds = time.perf_counter() - started
    return (
        _runtime.name,
        seconds,
        runtimes.generate_images(_runtime, inputs_of_seeds(range(_COMPARED_SEEDS), folder.manifest.input_spec)),
    )


def _time(path: Path, size: int, seconds: float) -> float:
    """In the measuring process: seconds for a batch of this size, the median of as many as fit into `seconds`, at least three."""
    assert _runtime is not None
    rows = inputs_of_seeds(range(size), model_folder.read_manifest(path).input_spec)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        runtimes.generate_images(_runtime, rows)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _megabytes() -> float:
    """In the measuring process: its peak memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


def candidates() -> list[Candidate]:
    """Every runtime in every precision, on the processor and, where torch sees one, on a GPU; the reference first."""
    found = [
        Candidate(name, precision, device)
        for name, kind in runtimes.ENGINES.items()
        for precision in kind.precisions
        for device in _devices(name, precision)
    ]
    return sorted(found, key=lambda one: (one.runtime, one.precision) != _REFERENCE)


def _devices(runtime: str, precision: PrecisionName) -> list[DeviceName]:
    if runtime != "torchscript":
        return ["cpu"]
    try:
        import torch
    except ImportError:
        return ["cpu"]  # where loading it says what is missing
    gpu: list[DeviceName] = ["cuda"] if torch.cuda.is_available() else []
    return [*gpu, *(["cpu"] if precision != "float16" or not gpu else [])]  # type: ignore[list-item]


def measure(path: Path, threads: int | None, rounds: int, seconds: float, report: Callable[[str], None]) -> list[Result]:
    """Measure all candidates, each in a process of its own, in turn, `rounds` times. Raises GanServiceError for a bad model."""
    model_folder.read(path)
    results: dict[Candidate, Result] = {}
    processes: dict[Candidate, ProcessPoolExecutor] = {}
    reference: NDArray[np.uint8] | None = None
    with ExitStack() as stack:
        for candidate in candidates():
            report(f"loading {candidate.runtime} in {candidate.precision} on {candidate.device}")
            process = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            try:
                name, load_seconds, images = process.submit(_load, path, candidate, threads).result()
            except GanServiceError as error:
                results[candidate] = Result(candidate, str(error))
                continue
            reference = images if reference is None else reference
            apart = np.abs(images.astype(int) - reference)
            results[candidate] = Result(candidate, None, name, load_seconds, largest=int(apart.max()), mean=float(apart.mean()))
            processes[candidate] = process
        for candidate, medians in _medians(path, processes, rounds, seconds, report).items():
            results[candidate] = replace(
                results[candidate],
                megabytes=processes[candidate].submit(_megabytes).result(),
                images_per_second={size: size / median for size, median in medians.items()},
                milliseconds={size: 1000 * median for size, median in medians.items()},
            )
    return sorted(results.values(), key=lambda result: result.failure is not None)


def _medians(
    path: Path, processes: dict[Candidate, ProcessPoolExecutor], rounds: int, seconds: float, report: Callable[[str], None]
) -> dict[Candidate, dict[int, float]]:
    """Seconds for a batch by its size, the median over all rounds."""
    taken: dict[tuple[Candidate, int], list[float]] = {(candidate, size): [] for candidate in processes for size in BATCHES}
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}")
        for (candidate, size), found in taken.items():
            found.append(processes[candidate].submit(_time, path, size, seconds).result())
    return {candidate: {size: statistics.median(taken[candidate, size]) for size in BATCHES} for candidate in processes}


def recommend(results: Sequence[Result]) -> list[str]:
    """Sentences: the fastest settings with the same images to one grey level, and the fastest of all if others are."""
    measured = [result for result in results if result.failure is None]
    exact = max((result for result in measured if result.largest <= 1), key=lambda result: result.speed)
    fastest = max(measured, key=lambda result: result.speed)
    found = [f"fastest with the same images, to one grey level: {exact.candidate.settings} ({exact.speed:,.0f} images/s)"]
    if fastest is not exact:
        faster = f"{fastest.speed:,.0f} images/s, {fastest.speed / exact.speed:.2f} times as many"
        apart = f"{fastest.mean:.2f} grey levels on average, by {fastest.largest} at most"
        found.append(f"fastest of all: {fastest.candidate.settings} ({faster}); its images differ by {apart}")
    return found


def as_table(results: Sequence[Result]) -> str:
    """A Markdown table."""
    heads = [*(f"images/s, {size}" for size in BATCHES), *(f"ms, {size}" for size in BATCHES)]
    lines = [f"| runtime | precision | {' | '.join(heads)} | MB | load, s | largest, mean difference |"]
    lines.append("|---" * (len(heads) + 5) + "|")
    for one in results:
        settings = f"| {one.name or one.candidate.runtime} | {one.candidate.precision} "
        if one.images_per_second is None or one.milliseconds is None:
            lines.append(f"{settings}| {one.failure} {'|  ' * (len(heads) + 2)}|")
            continue
        speeds = " | ".join(f"{one.images_per_second[size]:,.0f}" for size in BATCHES)
        latencies = " | ".join(f"{one.milliseconds[size]:.2f}" for size in BATCHES)
        rest = f"{one.megabytes:,.0f} | {one.load_seconds:.1f} | {one.largest}, {one.mean:.3f}"
        lines.append(f"{settings}| {speeds} | {latencies} | {rest} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        "python -m gan.bench",
        description="Measure a model on every runtime and precision that is installed, each in a process of its own, in turn. "
        "Differences are in grey levels, from ONNX Runtime's images in float32. At the end: the settings that are the fastest.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=user_path, metavar="MODEL", help="a model folder")
    parser.add_argument("--threads", type=_positive, help="processor threads, as GAN_THREADS; by default as many as help")
    parser.add_argument("--rounds", type=_positive, default=3, help="how often each is measured, %(default)s by default")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement, %(default)s by default")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)

    def report(text: str) -> None:
        print(f"gan.bench: {text}", file=sys.stderr)

    try:
        results = measure(options.model, options.threads, options.rounds, options.seconds, report)
    except GanServiceError as error:
        report(str(error))
        return error.exit_status
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        print("\n".join([as_table(results), "", *recommend(results)]))
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
