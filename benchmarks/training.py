"""Images per second of a training step, against a plain DCGAN loop: `python -m benchmarks.training`.

The same networks, batch and data on both sides, each in a process of its own, taking turns so that a machine that drifts
drifts for all. Prints every round and the ratio of the medians.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import plain_dcgan
from training.config.schema import TrainingConfig
from training.data import load
from training.engine.loop import train
from training.engine.state import TrainingState
from training.hardware import Hardware

SIDES = ("plain", "ours", "ours-float32")
_WARM_UP_STEPS = 4


class Clock:
    """Called between two steps; decides when to stop, and measures the rate from the end of the warm-up on."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._steps = seconds, 0

    def __call__(self) -> bool:
        """Count a step; True once the time is up."""
        self._steps += 1
        self._now = time.perf_counter()
        if self._steps == _WARM_UP_STEPS:
            self._start = self._now
        return self._steps > _WARM_UP_STEPS and self._now - self._start > self._seconds

    def rate(self, batch_size: int) -> float:
        """Images per second."""
        return (self._steps - _WARM_UP_STEPS) * batch_size / (self._now - self._start)


def measure(side: str, data: str, batch_size: int, seconds: float) -> float:
    """Images per second of one side, in this process."""
    clock = Clock(seconds)
    precision = "float32" if side == "ours-float32" else "auto"
    config = TrainingConfig(
        data=data, batch_size=batch_size, images=10**12, precision=precision, sample_every=10**12, checkpoint_every=10**12
    )
    dataset = load(config.data, config.size)
    if side == "plain":
        plain_dcgan.train(dataset.images, batch_size, lambda _: clock())
    else:
        hardware = Hardware.choose(config)
        state = TrainingState.start(config, dataset.images.shape[1], None, hardware)
        with tempfile.TemporaryDirectory() as folder:
            train(state, dataset, config, hardware, Path(folder), None, clock)
    return clock.rate(batch_size)


def main() -> None:
    """Measure all sides in turn and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.training", description=__doc__)
    parser.add_argument("--data", default="fashion-mnist", help="as for training.run (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=128, help="images per step (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=15, help="of each round, after the warm-up (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="for each side (default: %(default)s)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measure(given.side, given.data, given.batch_size, given.seconds)))
        return
    hardware = Hardware.choose(TrainingConfig(batch_size=given.batch_size))
    print(f"{hardware}; Python {platform.python_version()}, torch {version('torch')}; {' '.join(sys.orig_argv[1:])}")
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(given.rounds):
        for side in SIDES:
            command = [sys.executable, "-m", "benchmarks.training", "--side", side, "--data", given.data]
            command += ["--batch-size", str(given.batch_size), "--seconds", str(given.seconds)]
            output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
            rates[side].append(json.loads(output.splitlines()[-1]))
    plain = statistics.median(rates["plain"])
    print(f"| batch {given.batch_size} | images/s, each round | median | ratio |\n|---|---|---|---|")
    for side, found in rates.items():
        median = statistics.median(found)
        print(f"| {side} | {' '.join(f'{rate:.0f}' for rate in found)} | {median:.0f} | {median / plain:.2f} |")


if __name__ == "__main__":
    main()
