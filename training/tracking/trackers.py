"""Where a run's statistics, samples, configuration and figures go beside its own files: --log tensorboard, mlflow, wandb."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from gan import atomic
from gan.images.encoding import Images
from gan.manifest_parts import Metric
from training.config.schema import TrainingConfig
from training.errors import UsageError

TRACKING = "tracking.json"  # in a run's folder: name of a tracker -> the run's id there, by which a resumed run goes on
_REMEDIES = {  # for a tracker whose package is missing
    "tensorboard": "install the extra 'train' (pip install tensorboard)",
    "mlflow": "install the extra 'mlflow' (pip install mlflow-skinny sqlalchemy alembic)",
    "wandb": "install the extra 'wandb' (pip install wandb)",
}
_log = logging.getLogger(__name__)


class Tracker(Protocol):
    """One tracker, open for a run."""

    @property
    def run_id(self) -> str | None:
        """By what the run is found there when it goes on; None where that is its folder."""

    def scalars(self, values: Mapping[str, float], seen: int) -> None:
        """Take numbers after `seen` images."""

    def image(self, name: str, image: Images, seen: int) -> None:
        """Take an image after `seen` images, uint8 [height, width, channels]."""

    def close(self, finished: bool, /) -> None:
        """The run has finished; or it was stopped or failed, and may go on."""


class Trackers:
    """All trackers of a run. What one of them on another machine does not take is said once, and does not end the run."""

    def __init__(self) -> None:
        self._opened: dict[str, Tracker] = {}
        self._finished, self._complained = False, set[str]()

    @classmethod
    def open(cls, config: TrainingConfig, folder: Path, seen: int) -> Self:
        """Open those of the configuration for a run that has seen so many images. Raises UsageError for one that cannot be used."""
        trackers, ids = cls(), _ids(folder)
        try:
            for name in config.trackers:
                trackers._opened[name] = opened = _open(name, config, folder, seen, ids.get(name))
                if opened.run_id != ids.get(name):
                    ids[name] = opened.run_id
                    atomic.write_bytes_atomically(folder / TRACKING, json.dumps(ids).encode())
        except BaseException:
            trackers.close()
            raise
        return trackers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:  # where a disk is full closing fails as writing did, and the first error is the one to report
            with suppress(OSError):
                self.close()

    def scalars(self, values: Mapping[str, Any], seen: int) -> None:
        """Give them the numbers among some values, after `seen` images. Raises OSError where TensorBoard cannot write."""
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        for name, tracker in self._opened.items():
            with self._surviving(name):
                tracker.scalars(numbers, seen)

    def image(self, name: str, image: Images, seen: int) -> None:
        """Give them an image after `seen` images, uint8 [height, width, channels]. Raises OSError as `scalars` does."""
        for tracker_name, tracker in self._opened.items():
            with self._surviving(tracker_name):
                tracker.image(name, image, seen)

    def finish(self, metrics: Iterable[Metric], seen: int) -> None:
        """Give them the figures of the finished model, by which the run has finished there too."""
        self.scalars({f"final/{metric.name}": metric.value for metric in metrics}, seen)
        self._finished = True

    def close(self) -> None:
        """Close them all. Raises OSError as `scalars` does."""
        while self._opened:
            name, tracker = self._opened.popitem()
            with self._surviving(name):
                tracker.close(self._finished)

    @contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if name == "tensorboard":  # its files are the run's own
                raise
            if name not in self._complained:
                reason = " ".join(str(error).split()) or type(error).__name__
                _log.warning(f"--log {name} fails ({reason}): the run goes on, and what is missing there is in its folder")
            self._complained.add(name)


def _open(name: str, config: TrainingConfig, folder: Path, seen: int, run_id: str | None) -> Tracker:
    """A run of a tracker, whose client takes seconds to import; that of the id, if there is one."""
    if name == "mlflow":
        from training.tracking import to_mlflow

        return to_mlflow.open_run(config, folder, run_id)
    if name == "wandb":
        from training.tracking import to_wandb

        return to_wandb.open_run(config, folder, run_id)
    from training.tracking.to_tensorboard import TensorBoard

    return TensorBoard(config, folder, seen)


def check_installed(config: TrainingConfig) -> None:
    """Raises UsageError if a tracker of the configuration needs a package that is missing."""
    for name in config.trackers:
        if find_spec(name) is None:
            raise UsageError(f"--log {name}: its package is not installed here: {_REMEDIES[name]}, or leave {name} out of --log")


def _ids(folder: Path) -> dict[str, Any]:
    """The ids of a run in its trackers; none where they cannot be read."""
    try:
        found = json.loads((folder / TRACKING).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
