"""The outputs of a run while it trains: progress bar, statistics, trackers such as TensorBoard, sample grids, warnings, report."""

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from gan import atomic
from gan.images import encoding
from gan.latents import InputSpec, inputs_of_seeds
from gan.networks.family import Generator
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.engine import point_frames
from training.engine.checkpoint_quality import generate_nchw
from training.engine.distributed import Group
from training.engine.slowdown import SLOWER, Slowdown
from training.engine.state import TrainingState
from training.errors import DivergenceError
from training.tracking import report, stats
from training.tracking.progress_bar import Progress
from training.tracking.trackers import Trackers

GRID_SEEDS = range(64)
# Seconds between two reports: writing one takes a fifth of a second
_REPORT_AGE = 30.0  # at ticks
_BETWEEN_REPORTS = 2.0  # at samples, which points in the plane have more often
_ON_THE_BAR = ("loss_d", "loss_g", "d_real", "d_fake")

_log = logging.getLogger(__name__)


class RunLogger:
    """The logger of one process; all but the first only compute their share of the means."""

    def __init__(
        self, state: TrainingState, config: TrainingConfig, folder: Path, group: Group, trackers: Trackers | None = None
    ) -> None:
        """Drop what a killed run wrote after the checkpoint that `state` is at: those steps will be repeated.

        The trackers stay open at the end.
        """
        self._state, self._config, self._folder, self._group = state, config, folder, group
        self._trackers = trackers or Trackers()
        self._sums: dict[str, Tensor] = {}  # of each statistic since the last tick
        self._steps: Counter[str] = Counter()  # in which it was reported
        self._images = 0
        self._slowdown = Slowdown()
        self._started = time.perf_counter()
        self._reported = -math.inf  # when the report was last written
        self._is_report_behind = False  # whether samples have been written since
        if group.is_first:
            for file in (stats.STATS, stats.WARNINGS):
                _forget_after(folder / file, state.seen)
            self._stats = (folder / stats.STATS).open("a")
        # How many images --minutes allow is known after the first steps.
        self._bar = Progress(config.images if config.minutes is None else None, state.seen, group.is_first, config.things)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Record in the report why training has diverged; the command says it on standard error."""
        self._bar.close()
        if self._group.is_first:
            if isinstance(error, DivergenceError):
                self._remember(f"{stats.HAS_ENDED}{error}")
            if isinstance(error, DivergenceError) or (error is None and self._is_report_behind):
                self._report()
            # Where a disk is full closing fails as writing did, and the first error is the one to report.
            with suppress(OSError) if error is not None else nullcontext():
                self._stats.close()

    def add(self, measured: dict[str, Tensor], images: int) -> None:
        """Add the statistics of one step of `images` images; they stay on the device. A step may leave some of them out."""
        for name, value in measured.items():
            self._sums[name] = self._sums[name] + value.detach() if name in self._sums else value.detach()
        self._steps.update(measured.keys())
        self._images += images
        self._bar.update(images)

    def tick(self) -> dict[str, float]:
        """Images seen, seconds, speed, and the mean of each statistic since the last tick. Waits for the device.

        A mean is over the steps that report the statistic, and over all processes.
        """
        means = self._group.mean(torch.stack([total / self._steps[name] for name, total in self._sums.items()])).tolist()
        now = time.perf_counter()
        row = {
            "pictures": self._state.seen,
            "seconds": round(self._state.seconds, 3),
            "pictures_per_second": round(self._images / (now - self._started), 1),
            **dict(zip(self._sums, means, strict=True)),
        }
        if self._slowdown.notices(self._images, now - self._started):
            self.warn([SLOWER])
        self._sums, self._steps, self._images, self._started = {}, Counter(), 0, now
        return row

    def restart_clock(self) -> None:
        """Forget the time since the last tick, which was not spent in training."""
        self._started = time.perf_counter()

    def write(self, row: Mapping[str, float | str]) -> None:
        """Add to stats.jsonl, and the numbers to the trackers and the bar."""
        if not self._group.is_first:
            return
        shown = {name: float(row[name]) for name in _ON_THE_BAR if name in row}
        minutes = self._config.minutes
        left = None if minutes is None else 60 * minutes - self._state.seconds
        self._bar.set_statistics(_expected_length(self._config, self._state), shown, left)
        self._stats.write(json.dumps(row) + "\n")
        self._stats.flush()
        self._trackers.scalars(row, self._state.seen)
        if time.perf_counter() - self._reported > _REPORT_AGE:
            self._report()

    def say(self, message: str) -> None:
        """Log a line about the images seen so far."""
        if self._group.is_first:
            _log.info(f"after {self._state.seen:,} {self._config.things}: {message}")

    def warn(self, messages: list[str]) -> None:
        """Log warnings, and add them to warnings.jsonl, which the report shows."""
        for message in messages if self._group.is_first else []:
            _log.warning(f"after {self._state.seen:,} {self._config.things}: {message}", extra={"stream": "stdout"})
            self._remember(message)

    def write_samples(self) -> None:
        """Write the sample grid, the same 64 seeds each time, or the frame of points, and the report with it."""
        if not self._group.is_first:
            return
        if self._config.is_points:
            point_frames.write_frame(self._folder, self._state, self._config)
        else:
            sheet = sample_grid(self._state.finished_generator(self._state.device))
            path = self._folder / f"samples-{self._state.seen:09d}.png"
            atomic.write_bytes_atomically(path, encoding.encode(sheet, "png"))
            self._trackers.image("samples", sheet, self._state.seen)
        self._is_report_behind = True
        if time.perf_counter() - self._reported > _BETWEEN_REPORTS:
            self._report()

    def _remember(self, message: str) -> None:
        with (self._folder / stats.WARNINGS).open("a") as file:
            file.write(json.dumps({"pictures": self._state.seen, "message": message}) + "\n")

    def _report(self) -> None:
        report.write(self._folder, training=True)
        self._reported, self._is_report_behind = time.perf_counter(), False


def sample_grid(finished: Generator, seeds: Sequence[int] = GRID_SEEDS) -> encoding.Images:
    """Generate these seeds by a finished generator, uint8 [rows height, columns width, channels]."""
    at_once = len(GRID_SEEDS) if len(seeds) == len(GRID_SEEDS) else 1  # fewer are of large images
    images = generate_nchw(finished, inputs_of_seeds(seeds, finished.input_spec), at_once)
    return encoding.grid(images.transpose(0, 2, 3, 1))


def write_real_samples(dataset: Dataset, config: TrainingConfig, input_spec: InputSpec, folder: Path) -> None:
    """Write what stands beside the samples: a grid of real images, or real points."""
    if config.is_points:
        point_frames.write_backdrop(folder, config)
    else:
        _write_real_grid(dataset, input_spec, folder)


def _write_real_grid(dataset: Dataset, input_spec: InputSpec, folder: Path) -> None:
    """Write real.png, real images with the labels that the samples have at the same places, and the names of these labels."""
    labels = inputs_of_seeds(GRID_SEEDS, input_spec).get("label")
    wanted = None if labels is None else labels.tolist()
    sheet = encoding.grid(dataset.examples(len(GRID_SEEDS), wanted).transpose(0, 2, 3, 1))
    atomic.write_bytes_atomically(folder / report.REAL, encoding.encode(sheet, "png"))
    names = [] if wanted is None else [dataset.classes[label] for label in wanted]
    atomic.write_bytes_atomically(folder / report.GRID_LABELS, json.dumps(names, ensure_ascii=False).encode())


def _expected_length(config: TrainingConfig, state: TrainingState) -> int:
    """Images that the run will have seen at its end, estimated where --minutes may end it before --images."""
    if config.minutes is None or not state.seconds:
        return config.images
    return min(config.images, round(state.seen * max(60 * config.minutes / state.seconds, 1)))


def _forget_after(file: Path, seen: int) -> None:
    """Drop the rows after `seen` images, and lines that a crash has damaged."""
    if file.is_file():
        kept = [json.dumps(row) for row in stats.read_rows(file) if row["pictures"] <= seen]
        atomic.write_bytes_atomically(file, "".join(f"{line}\n" for line in kept).encode())
