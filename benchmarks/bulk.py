"""Many images into WebDataset shards, `gan.bulk` beside a plain loop: `python -m benchmarks.bulk`.

The loop (benchmarks/peers/plain_sampler.py) runs once with ONNX Runtime's own threads and once as a process for each processor;
the better of the two is the peer. Every side's time counts from its command to its end, with the start of Ray in ours. Memory is
that of the command and all processes below it, pages that they share counted once.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from gan.processors import usable_processors

_SHARD = 10_000


def main() -> None:
    """Print one line for each side, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=Path("models/fashion-mnist"), help="default: %(default)s")
    parser.add_argument("--images", type=int, default=200_000, help="of each side, whole shards (default: %(default)s)")
    parser.add_argument("--shard-size", type=int, default=_SHARD, help="images (default: %(default)s)")
    chosen = parser.parse_args()
    processors = usable_processors()
    if chosen.images % (chosen.shard_size * processors):
        parser.error(f"--images {chosen.images}: must be a multiple of {chosen.shard_size * processors}, shards for each processor")
    print(
        f"{chosen.images:,} images of {chosen.model.name} in shards of {chosen.shard_size:,}, {processors} processors", flush=True
    )
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        peers = [
            _side("plain loop, one process", _loops(chosen, out / "one", 1, 0), chosen.images),
            _side(f"plain loop, {processors} processes", _loops(chosen, out / "each", processors, 1), chosen.images),
        ]
        seeds = ("--seeds", f"0-{chosen.images - 1}", "--format", "webdataset", "--shard-size", str(chosen.shard_size))
        alone = _side("gan.sample", [_command("gan.sample", chosen.model, *seeds, "--out", out / "sample")], chosen.images)
        bulk = _side("gan.bulk", [_command("gan.bulk", chosen.model, *seeds, "--out", out / "bulk")], chosen.images)
        equal = _digests(out / "sample") == _digests(out / "bulk")
    print(f"gan.bulk / the better loop: {bulk / max(peers):.2f}; gan.sample / the same: {alone / max(peers):.2f}")
    print(f"the shards of gan.sample and gan.bulk are {'equal' if equal else 'DIFFERENT'}, byte for byte")


def _loops(chosen: argparse.Namespace, out: Path, processes: int, threads: int) -> list[list[str]]:
    """Commands that share the images."""
    images, shards = chosen.images // processes, chosen.images // processes // chosen.shard_size
    script, onnx = Path(__file__).parent / "peers" / "plain_sampler.py", chosen.model / "generator.onnx"
    return [
        [sys.executable, *map(str, (script, onnx, out, images, chosen.shard_size, threads, one * shards))]
        for one in range(processes)
    ]


def _command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def _side(title: str, commands: Sequence[list[str]], images: int) -> float:
    """Run commands at once; prints and returns their images a second."""
    memory: list[float] = []
    ended = threading.Event()
    started = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(command, **quiet) for command in commands]
    watch = threading.Thread(target=_watch, args=([one.pid for one in running], memory, ended))
    watch.start()
    statuses = [one.wait() for one in running]
    seconds = time.perf_counter() - started
    ended.set()
    watch.join()
    if any(statuses):
        raise RuntimeError(f"{title} ended with {statuses}: {commands[0]}")
    quarter = max(1, len(memory) // 4)
    middle, last = (statistics.median(part) for part in (memory[quarter : 2 * quarter] or memory, memory[-quarter:]))
    print(
        f"{title}: {images / seconds:,.0f} images/s in {seconds:.0f} s; "
        f"memory {middle:.0f} MB in the second quarter of the time, {last:.0f} MB in the last, {max(memory):.0f} MB at most",
        flush=True,
    )
    return images / seconds


def _watch(pids: Sequence[int], memory: list[float], ended: threading.Event) -> None:
    """Append the memory of processes and those below them, in MB, every second."""
    while not ended.wait(1):
        total = 0
        for pid in pids:
            try:
                family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for process in family:
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
        memory.append(total / 2**20)


def _digests(folder: Path) -> dict[str, bytes]:
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in sorted(folder.glob("shard-*"))}


if __name__ == "__main__":
    main()
