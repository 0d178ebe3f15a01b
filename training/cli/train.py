"""The training command: `python -m training.run`."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from gan.manifest_parts import NAME
from gan.paths import UserPath
from training.cli.console import log_lines
from training.cli.flags import Flags, parse, run_command
from training.config.files import PICTURES
from training.config.resolve import Resolved, resolve
from training.config.schema import TrainingConfig
from training.config.values import current_name
from training.disk import writing_to
from training.errors import UsageError
from training.tracking import run_dir
from training.tracking.trackers import check_installed

_EXAMPLES = """examples:
  python -m training.run                                       the recipe dcgan on Fashion-MNIST
  python -m training.run --minutes 30 --width 64               half the width: sooner to a fair image
  python -m training.run ./my-pictures --name shoes            any folder of images; --recipe auto chooses the rest
  python -m training.run ./my-pictures --minutes 30            … what it can in half an hour
  python -m training.run ./my-pictures --dry-run               what that would be, how long it would take, and a preview
  python -m training.run --recipe infogan --codes kind=10,slant
  python -m training.run --resume latest                       go on where the last run stopped
  torchrun --nproc-per-node 4 -m training.run                  on four GPUs
  torchrun --nproc-per-node 4 --max-restarts 3 -m training.run --run-name shoes
                                                               … and goes on by itself when one of them fails
"""


class Options(TrainingConfig, Flags):  # type: ignore[misc]  # both have a model_config; they merge
    """Train a generator on a folder of images and export it to a model folder that the service serves."""

    headings: ClassVar = {
        "data": "the images",
        "recipe": "the networks",
        "objective": "the losses",
        "batch_size": "the optimisers",
        "images": "the run",
        "features": "how it is measured",
        "out": "this command",
    }
    usage = "[FOLDER] [--flag value …]        (--help lists the flags)"
    leading = "data"

    out: UserPath = Path("runs")
    """the folder that gets a folder for each run: configuration, statistics, sample grids, checkpoints, the model"""
    models: UserPath = Path("models")
    """the folder the finished model is copied to, if there is none of its name"""
    run_name: str | None = Field(None, pattern=f"^{NAME}$")
    """the run's folder is <number>-<this>, and the same command goes on with the run if there is one: for torchrun's
    --max-restarts, Slurm and Kubernetes, which start a command again as it was"""
    resume: str | None = Field(None, min_length=1)
    """go on with a run, given by its folder, or 'latest'; lengths and intervals may be changed, and what --change names"""
    promote: bool = False
    """replace the model of that name in --models if the new one is better: the smaller Fréchet distance, both measured alike by
    held-out images that are in no figure of either"""
    export: str | None = Field(None, min_length=1)
    """of a run given by --resume, export this checkpoint and not the best: its file, or the images it has seen, such as 400k"""
    change: str = ""
    """settings that --resume may change, such as learning_rate,beta1; pictures, if the images in --data may be others"""
    config: UserPath | None = None
    """a YAML file of settings, such as a run's config.yaml; flags override it"""
    dry_run: bool = False
    """show the configuration, the data, the networks, and what time and memory they would take; train nothing"""


# Settings of the command alone: the others make up the configuration of the run.
_COMMAND_ONLY = set(Options.model_fields) - set(TrainingConfig.model_fields)


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 for one that cannot be carried out as given, 1 where a disk fails it."""
    given = parse(Options, "training.run", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)

    def work() -> int:
        with writing_to(Path(), "start again"):  # what names no folder of its own
            return _run(given)

    try:
        remedy = (
            "take a smaller --batch-size, --width or --measure, or a --micro-batch-size, which computes each batch in parts, or "
            "free some; --resume latest goes on from the last checkpoint of a run that had begun (--change micro_batch_size)"
        )
        return run_command("training.run", work, remedy)
    except KeyboardInterrupt:
        print("training.run: stopped; --resume latest goes on with a run that had begun", file=sys.stderr)
        return 128 + signal.SIGINT


def _run(given: dict[str, Any]) -> int:
    flags = {name: value for name, value in given.items() if name not in _COMMAND_ONLY}
    options = Options.model_validate({name: value for name, value in given.items() if name in _COMMAND_ONLY})
    if options.export is not None and options.resume is None:
        raise UsageError("--export: name the run whose checkpoint it is by --resume")
    changeable = {current_name(name.strip().replace("-", "_"), "--change") for name in options.change.split(",") if name.strip()}
    _check_can_restart(options)
    # What others of several processes would do alike is left to the first, whose files they may not see.
    is_first = os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK") == "0"
    asked = _find(options, flags, changeable) if is_first else None

    # The libraries take seconds to import: --help and a mistyped flag should not.
    from training.cli import training_run
    from training.engine.distributed import Group
    from training.engine.estimate import seconds_per_image

    with Group.join() as group:

        def complete() -> tuple[TrainingConfig, Path | None]:
            assert asked is not None, "called in the first process"
            return asked[0].complete(seconds_per_image), asked[1]

        config, folder = group.from_first(complete)
        return training_run.run(options, config, folder, PICTURES in changeable, group)


def _find(options: Options, flags: dict[str, Any], changeable: set[str]) -> tuple[Resolved, Path | None]:
    """The configuration, and the folder of a run that is gone on with. Raises UsageError."""
    folder = None
    if options.run_name:
        folder = run_dir.find_named(options.out, options.run_name)
    elif options.resume:
        folder = run_dir.find(options.out, options.resume)
    resolved = resolve(flags, options.config, folder, changeable)
    check_installed(resolved.config)
    for flag, target in (("--out", options.out), ("--models", options.models)):
        run_dir.check_writable(flag, target)
    return resolved, folder


def _check_can_restart(options: Options) -> None:
    """Raises UsageError for a command that would begin another run when torchrun starts it again."""
    if options.run_name and options.resume:
        raise UsageError("--run-name and --resume both say which run to go on with: leave one of them out")
    restarts = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")
    if restarts != "0" and not (options.run_name or options.resume or options.dry_run):
        raise UsageError(
            f"torchrun --max-restarts {restarts} starts this command again when a process dies, and it could not tell which run to "
            "go on with: add --run-name NAME"
        )
