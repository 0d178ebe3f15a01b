"""Training by the loop alone, without figures and exports, in one process or in two that share each batch."""

import os
import socket
from contextlib import closing
from pathlib import Path

from torch import Tensor

from tests.processes import FORKED
from training import data
from training.config.schema import TrainingConfig
from training.engine import checkpoint, loop
from training.engine.distributed import Group
from training.engine.state import TrainingState
from training.hardware import Hardware

NETWORKS = ("generator.", "judge.", "average.")


def train(config: TrainingConfig, folder: Path, group: Group | None = None) -> dict[str, Tensor]:
    """Train in one process of a group; returns the tensors of the last checkpoint that it then finds."""
    folder.mkdir(exist_ok=True)
    dataset, hardware = data.load(config.data, config.size, labelled=config.conditional), Hardware.choose(config)
    state = TrainingState.start(config, 1, len(dataset.classes) or None, hardware)
    loop.train(state, dataset, config, hardware, folder, None, lambda: False, group or Group())
    return checkpoint.read(checkpoint.checkpoints(folder)[-1])[0]


def train_in_two(config: TrainingConfig, folder: Path) -> dict[str, Tensor]:
    """The same in two processes."""
    folder.mkdir()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    both = [
        FORKED.Process(target=_join, args=({**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)}, config, folder))
        for rank in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    return checkpoint.read(checkpoint.checkpoints(folder)[-1])[0]


def _join(environment: dict[str, str], config: TrainingConfig, folder: Path) -> None:
    os.environ.update(environment)
    with Group.join() as group:
        train(config, folder, group)


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Of the weights of all networks."""
    names = [name for name in one if name.startswith(NETWORKS) and "running_" not in name and "num_batches" not in name]
    return sum(float((one[name] - other[name]).square().sum()) for name in names) ** 0.5


def way(config: TrainingConfig, end: dict[str, Tensor], classes: int | None = None) -> float:
    """The distance of a run's end from its start."""
    return distance(end, TrainingState.start(config, 1, classes, Hardware.choose(config))._tensors())
