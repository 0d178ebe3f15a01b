"""The servers under comparison, started and put under load in the same way."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
PORT = 3099
ADDRESS = f"http://127.0.0.1:{PORT}"


@dataclass(frozen=True)
class Side:
    """One server: its command, its request for an image, and its check of readiness."""

    command: Callable[[Path], list[str]]  # for the model folder to draw with
    body: str  # with %d for the seed
    ready: str


def _module(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda _: [sys.executable, "-m", *arguments]


def _bentoml(service: str) -> Callable[[Path], list[str]]:
    return _module("bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(PORT))


def _container(model: Path) -> list[str]:
    """The container image that `make container` builds, run as in docs/deploy.md."""
    from deploy.image import find_engine  # which needs the extra `deploy`

    limits = ("--cap-drop", "all", "--security-opt", "no-new-privileges", "--memory", "1g", "--cpus", "2", "--pids-limit", "256")
    options = ("--rm", "--publish", f"127.0.0.1:{PORT}:3000", "--read-only", "--tmpfs", "/tmp", *limits)
    settings = ("--env", "GAN_MODELS=/models", "--env", "GAN_DEFAULT_MODEL", "--env", "GAN_DRAIN")
    return [find_engine(), "run", *options, "--volume", f"{model.parent}:/models:ro", *settings, "gan-service:latest"]


SIDES = {
    "ours": Side(_bentoml("service:GanService"), '{"seed": %d}', "/readyz"),
    "ours, watched": Side(_bentoml("benchmarks.watched:GanService"), '{"seed": %d}', "/readyz"),
    "ours, in a container": Side(_container, '{"seed": %d}', "/readyz"),
    "plain BentoML": Side(_bentoml("benchmarks.peers.plain_bentoml:Plain"), '{"seeds": [%d]}', "/readyz"),
    "LitServe": Side(_module("benchmarks.peers.litserve_batched"), '{"seed": %d}', "/health"),
    "FastAPI, unbatched": Side(
        _module("uvicorn", "benchmarks.peers.fastapi_unbatched:app", "--port", str(PORT), "--no-access-log"),
        '{"seed": %d}',
        "/openapi.json",
    ),
}


@dataclass(frozen=True)
class Load:
    """Results of wrk."""

    rate: float  # answers per second that were right
    answers: int
    p99: float  # milliseconds
    failed: int


@contextmanager
def running(side: str, model: Path, root: Path = ROOT, **settings: str) -> Iterator[float]:
    """Run the side's server with a model folder; yields the seconds until it was ready.

    `root` is the checkout that it runs from; `settings` are environment variables beside those that all sides need.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),  # before the checkout that is installed
        "PEER_ONNX": str(model / "generator.onnx"),
        "PEER_PORT": str(PORT),
        "GAN_MODELS": str(model.parent),
        "GAN_DEFAULT_MODEL": model.name,
        "GAN_DRAIN": "0",
        "BENTOML_DO_NOT_TRACK": "True",
        **settings,
    }
    command = SIDES[side].command(model)
    started = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True, **quiet)
    try:
        while not _answers(ADDRESS + SIDES[side].ready):
            if time.perf_counter() > started + 60 or server.poll() is not None:
                raise RuntimeError(f"{side} did not start: {' '.join(command)}")
            time.sleep(0.02)
        yield time.perf_counter() - started
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        with suppress(ProcessLookupError):  # some leave their workers behind, and with them the port
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def load(body: str, connections: int, seconds: float) -> Load:
    """Run wrk against the running side: POST /generate with random seeds put into the body."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            "request = function() return wrk.format('POST', '/generate', {['Content-Type']='application/json'}, "
            f"string.format('{body}', math.random(0, 4294967295))) end\n"
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--timeout", "30s", "--latency", "-s", script.name]
        output = subprocess.run([*command, ADDRESS], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+) requests in ([\d.]+)(m?s)", output)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert match
    assert p99
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failed = (int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0)
    answered = int(match[1]) - (int(refused[1]) if refused else 0)
    return Load(answered / float(match[2]), answered, float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]], failed)


def process_memory() -> int:
    """Resident memory of the service's worker, in MB."""
    return max(worker.memory_info().rss for worker in _workers()) // 2**20


def event_loop_seconds() -> float:
    """Processor seconds that the event loop of the service's worker has used: its first thread's."""
    (worker,) = _workers()
    return int(Path(f"/proc/{worker.pid}/task/{worker.pid}/schedstat").read_text().split()[0]) / 1e9


def _workers() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [process for process in found if "_bentoml_impl.worker.service" in " ".join(process.cmdline())]


def longest_block() -> tuple[float, float]:
    """Longest block of the watched service's event loop since the last call: milliseconds by the clock, and of its own work."""
    with urllib.request.urlopen(f"{ADDRESS}/longest-block", timeout=5) as answer:
        gap, work = answer.read().split()
    return float(gap), float(work)
