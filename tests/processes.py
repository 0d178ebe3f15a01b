"""The training command in processes of its own, which need not import torch each: they are forked from one that has."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.exports import quicken

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["tests.processes", "training.run", "training.engine.setup", "training.engine.loop", "training.export.export"]
)


def start(arguments: Sequence[str], output: Path, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """`python -m training.run ARGUMENTS`, begun; what it prints goes to `output`, with what else it got in `environment`.

    The process has `pid`, `exitcode` (None as long as it runs, minus the signal that ended it), `kill` and `join`.
    """
    process = FORKED.Process(target=_train, args=(list(arguments), output, {**os.environ, **(environment or {})}))
    process.start()
    return process


def _train(arguments: Sequence[str], output: Path, environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(file, number)
    from training.cli import console
    from training.run import main

    quicken()
    sys.argv = ["training.run", *arguments]
    console.run(main)
