"""Single pictures a second over HTTP, against peers that serve the same ONNX file: `python -m benchmarks.serving`.

Needs wrk and FastAPI. Each side runs by itself, in turn with the others, and is loaded by wrk with random seeds.
"""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PORT = 3099
_BENTOML = [sys.executable, "-m", "bentoml", "serve"]
SIDES = {
    "ours": ([*_BENTOML, "service:GanService", "--host", "127.0.0.1", "--port", str(PORT)], '{"seed": %d}', "/readyz"),
    "plain BentoML": (
        [*_BENTOML, "benchmarks.peers.plain_bentoml:Plain", "--host", "127.0.0.1", "--port", str(PORT)],
        '{"seeds": [%d]}',
        "/readyz",
    ),
    "FastAPI, unbatched": (
        [sys.executable, "-m", "uvicorn", "benchmarks.peers.fastapi_unbatched:app", "--port", str(PORT), "--no-access-log"],
        '{"seed": %d}',
        "/openapi.json",
    ),
}


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    rate: float  # answers per second that were pictures
    p99: float  # milliseconds
    failed: int


@contextmanager
def running(side: str) -> Iterator[None]:
    """The side's server, ready."""
    command, _, probe = SIDES[side]
    onnx = ROOT / "models" / "fashion-mnist-dcgan" / "generator.onnx"
    environment = {**os.environ, "PEER_ONNX": str(onnx), "BENTOML_DO_NOT_TRACK": "True", "GAN_DRAIN": "0"}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}{probe}", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError(f"{side} did not start")
        yield
    finally:
        server.terminate()
        server.wait()


def load(side: str, connections: int, seconds: float) -> Load:
    """Run wrk against the running side."""
    _, body, _ = SIDES[side]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            "request = function() return wrk.format('POST', '/generate', {['Content-Type']='application/json'}, "
            f"string.format('{body}', math.random(0, 4294967295))) end\n"
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--timeout", "30s", "--latency", "-s", script.name]
        output = subprocess.run([*command, f"http://127.0.0.1:{PORT}"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+) requests in ([\d.]+)(m?s)", output)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert match
    assert p99
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    failed = int(refused[1]) if refused else 0
    return Load((int(match[1]) - failed) / float(match[2]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]], failed)


def main() -> None:
    """Measure all sides in turn and print a table for each number of connections."""
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 256])
    parser.add_argument("--seconds", type=float, default=8, help="of each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="for each side (default: %(default)s)")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("benchmarks.serving: wrk is not installed; it is in Debian's package wrk")
    versions = ", ".join(f"{name} {version(name)}" for name in ("bentoml", "fastapi", "onnxruntime"))
    print(f"{os.cpu_count()} processors; Python {platform.python_version()}, {versions}; {' '.join(sys.orig_argv[1:])}")
    found: dict[tuple[int, str], list[Load]] = {}
    for _ in range(given.rounds):
        for side in SIDES:
            with running(side):
                load(side, given.connections[0], 2)  # warm-up
                for connections in given.connections:
                    found.setdefault((connections, side), []).append(load(side, connections, given.seconds))
    for connections in given.connections:
        print(f"\n| {connections} connections | pictures/s, each round | median | ours to it | p99, ms | failed |")
        print("|---|---|---|---|---|---|")
        ours = statistics.median(one.rate for one in found[connections, "ours"])
        for side in SIDES:
            loads = found[connections, side]
            rates = " ".join(f"{one.rate:.0f}" for one in loads)
            median, p99 = statistics.median(one.rate for one in loads), statistics.median(one.p99 for one in loads)
            failed = sum(one.failed for one in loads)
            print(f"| {side} | {rates} | {median:.0f} | {ours / median:.2f} | {p99:.0f} | {failed} |")


if __name__ == "__main__":
    main()
