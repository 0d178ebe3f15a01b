"""The training command: `python -m training.run`."""

import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from gan.errors import GanServiceError
from gan.paths import UserPath
from training.cli.console import log_lines
from training.cli.flags import Flags, explain, parse
from training.config.resolve import resolve
from training.config.schema import TrainingConfig, current_name
from training.disk import explain as explain_disk
from training.disk import writing_to
from training.engine.stopping import StopSignal
from training.errors import DiskError, UsageError
from training.tracking import run_dir

if TYPE_CHECKING:  # The libraries take seconds to import: --help and a mistyped flag should not.
    from gan.manifest import Metric
    from training.data import Dataset
    from training.engine.device import Hardware
    from training.engine.distributed import Group
    from training.engine.state import TrainingState
    from training.evaluation.evaluator import Evaluator
    from training.evaluation.feature_extractors import FeatureName

_EXAMPLES = """examples:
  python -m training.run                                       the article's recipe on Fashion-MNIST
  python -m training.run --minutes 30 --width 64               half the width: sooner to a fair image
  python -m training.run --data ./my-pictures --name shoes     any folder of images; --recipe auto chooses the rest
  python -m training.run --data ./my-pictures --dry-run        what that would be, how long it would take, and a preview
  python -m training.run --recipe infogan --codes kind=10,slant
  python -m training.run --resume latest                       go on where the last run stopped
  torchrun --nproc-per-node 4 -m training.run                  on four GPUs
"""


class _CommandLine(TrainingConfig, Flags):  # type: ignore[misc]  # both have a model_config; they merge
    """Train a generator on a folder of images and export it to a model folder that the service serves."""

    out: UserPath = Path("runs")
    """the folder that gets a folder for each run: configuration, statistics, sample grids, checkpoints, the model"""
    models: UserPath = Path("models")
    """the folder the finished model is copied to, if none of its name stands there"""
    resume: str | None = Field(None, min_length=1)
    """go on with a run, given by its folder, or 'latest'; lengths and intervals may be changed, and what --change names"""
    promote: bool = False
    """replace the model of that name in --models if the new one is better: the smaller Fréchet distance, both measured alike by
    held-out images that are in no figure of either"""
    change: str = ""
    """settings that --resume may change, such as learning_rate,beta1; pictures, if the images in --data may be others"""
    config: UserPath | None = None
    """a YAML file of settings, such as a run's config.yaml; flags override it"""
    dry_run: bool = False
    """show the configuration, the data, the networks, and what time and memory they would take; train nothing"""


_ELSEWHERE = set(_CommandLine.model_fields) - set(TrainingConfig.model_fields)

_log = logging.getLogger(__name__)


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command; returns the exit status, 2 for one that cannot be carried out as given, 1 where a disk fails it."""
    given = parse(_CommandLine, "training.run", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    from training.engine.checkpoint import CheckpointError

    try:
        return _run(given)
    except ValidationError as error:
        print(explain("training.run", error), file=sys.stderr)
    except (DiskError, OSError) as error:
        reason = str(error) if isinstance(error, DiskError) else explain_disk(error, Path(), "start again")
        print(f"training.run: {reason}", file=sys.stderr)
        return 1
    except (GanServiceError, CheckpointError) as error:
        print(f"training.run: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("training.run: stopped; --resume latest goes on with a run that had begun", file=sys.stderr)
        return 128 + signal.SIGINT
    return 2


def _run(given: dict[str, Any]) -> int:
    flags = {name: value for name, value in given.items() if name not in _ELSEWHERE}
    where = _CommandLine.model_validate({name: value for name, value in given.items() if name in _ELSEWHERE})
    changeable = {current_name(name.strip().replace("-", "_"), "--change") for name in where.change.split(",") if name.strip()}
    folder = run_dir.find(where.out, where.resume) if where.resume else None
    config = resolve(flags, where.config, folder, changeable)
    for flag, target in (("--out", where.out), ("--models", where.models)):
        run_dir.check_writable(flag, target)

    from training.engine import setup
    from training.engine.device import Hardware
    from training.engine.distributed import Group
    from training.engine.estimate import print_estimate
    from training.engine.state import TrainingState

    with Group.join() as group:
        if not group.is_first:
            logging.getLogger("training").setLevel(logging.WARNING)
        if where.resume and folder is None:
            _log.info(f"nothing to resume in {where.out}: starting anew")
        if folder is not None and _is_done(folder, config):
            _log.info(f"{folder} is done; its model is in {folder}/model")
            if group.is_first and not where.dry_run:
                with run_dir.locked(folder):
                    _hand_over(folder, where, config)
            return 0
        try:
            hardware = Hardware.choose(config)
        except ValueError as error:
            raise UsageError(str(error)) from error
        with group.one_after_another():
            known, features = setup.load(config, folder)
        dataset = known if config.conditional else known.without_labels()
        setup.check_enough(config, dataset, group)

        _log.info(run_dir.to_yaml(config).rstrip())
        _log.info(f"data: {dataset.name}, {'; '.join(dataset.notes)}")
        for file in dataset.skipped:
            _log.info(f"skipped {file}")
        _log.info(f"features to measure by: {features}")
        _log.info(f"hardware: {hardware}" + (f", {group.size} processes" if group.size > 1 else ""))
        try:
            state = TrainingState.start(config, dataset.images.shape[1], len(dataset.classes) or None, hardware)
        except ValueError as error:  # what the networks cannot be
            raise UsageError(f"--arch {config.arch}: {error}") from error
        except (RuntimeError, TypeError) as error:  # what PyTorch raises for more memory, or larger numbers, than there are
            raise _too_large(error) from error
        for player, network in (("generator", state.generator), ("discriminator", state.judge)):
            _log.info(f"{player}: {sum(parameter.numel() for parameter in network.parameters()):,} parameters")
        if where.dry_run:
            if group.is_first:
                print_estimate(where.out, state, dataset, config, hardware)
            return 0

        if folder is None and group.is_first:
            with writing_to(where.out, "start again"):
                folder = run_dir.create(where.out, f"{dataset.name}-{config.recipe}")
        folder = Path(group.tell(str(folder)))
        with (
            writing_to(folder, f"go on with: python -m training.run --resume {folder}"),
            run_dir.locked(folder) if group.is_first else nullcontext(),
        ):
            may_change = run_dir.PICTURES in changeable
            return _train(folder, where, may_change, known, features, dataset, config, hardware, state, group)


def _train(
    folder: Path,
    where: _CommandLine,
    images_may_change: bool,
    known: "Dataset",  # with its labels if there are any, to measure by
    features: "FeatureName",
    dataset: "Dataset",  # to learn from
    config: TrainingConfig,
    hardware: "Hardware",
    state: "TrainingState",
    group: "Group",
) -> int:
    """Start or go on, and export at the end; returns the exit status."""
    from training.engine import checkpoint, setup
    from training.engine.loop import train
    from training.export.export import export_model
    from training.export.publish import measure_model
    from training.tracking import report
    from training.tracking.environment import record

    resumed_from = _restore(state, checkpoint.checkpoints(folder)[::-1])
    if group.is_first:
        run_dir.check_data(folder, config.data, dataset.fingerprint, len(dataset.images), images_may_change)
        run_dir.write_config(folder, config)
        environment = record(folder, hardware)
    evaluator = setup.evaluator_of(config, known, features) if group.is_first else None
    if evaluator is not None:
        _log.info(f"checkpoints are measured by {evaluator.extractor.protocol}")
        _log.info((f"resumed from {resumed_from}\n" if resumed_from else "") + f"run: {folder}")
    stop = StopSignal()
    checkpoint_evaluator = None if evaluator is None else evaluator.checkpoint_evaluator(config.measure)
    finished = train(state, dataset, config, hardware, folder, checkpoint_evaluator, stop.received, group)
    if evaluator is None:
        return 0
    stop.let_go()  # the weights are saved: what is left can be done again
    if not finished:
        print(f"stopped and saved; go on with: python -m training.run --resume {folder}", file=sys.stderr)
        return 128 + stop.number

    _restore(state, checkpoint.ranked(folder))
    name = config.name or f"{dataset.name}-{config.recipe}"

    def measure(model: Path) -> "list[Metric]":
        try:
            return measure_model(evaluator, model, config.measure_final, config.measure_sets, folder / report.NEAREST)
        except ValueError as error:
            _log.warning(f"the model was not measured: {error}")
            return []

    manifest = export_model(folder / "model", name, state, dataset, config, environment, measure)
    _log.info(
        f"exported {manifest.name}@{manifest.version}, of the best checkpoint, after {state.seen:,} images, "
        f"to {folder / 'model'}; the report: {report.write(folder)}"
    )
    _hand_over(folder, where, config, evaluator)
    return 0


def _hand_over(folder: Path, where: _CommandLine, config: TrainingConfig, evaluator: "Evaluator | None" = None) -> None:
    """Give the finished model to the service. Without a ruler one is made if there is something to measure."""
    from training.engine import setup
    from training.export.publish import promote, publish, rank_models

    def rank(models: list[Path]) -> "list[Metric]":
        nonlocal evaluator
        if evaluator is None:
            known, features = setup.load(config, folder)
            dataset = known if config.conditional else known.without_labels()
            run_dir.check_data(folder, config.data, dataset.fingerprint, len(dataset.images), may_change=False)
            evaluator = setup.evaluator_of(config, known, features)
        try:
            return rank_models(evaluator, models, config.measure_final)
        except ValueError as error:
            raise UsageError(
                f"--promote: the models cannot be measured ({error}); leave --promote out, or replace it by hand"
            ) from error

    if where.promote:
        promote(folder / "model", where.models, rank)
    else:
        publish(folder / "model", where.models)


def _restore(state: "TrainingState", paths: list[Path]) -> Path | None:
    """Bring back the first checkpoint that is whole; None where there is none. Raises CheckpointError if all are unusable."""
    from training.engine.checkpoint import CheckpointError

    for path in paths:
        try:
            state.restore(path)
        except CheckpointError as error:
            if path == paths[-1]:
                raise CheckpointError(
                    path, f"{error.reason}; no other one is whole: start a new run, or bring a copy back"
                ) from error
            _log.warning(f"{error}: going on from the next one")
        else:
            return path
    return None


def _is_done(folder: Path, config: TrainingConfig) -> bool:
    """Whether the last checkpoint is at the run's end and the exported model was made from the best one."""
    from gan import errors, model_folder
    from training.engine.checkpoint import CheckpointError, checkpoints, ranked, read_progress

    best = next(iter(ranked(folder)), None)
    if best is None:
        return False
    try:
        last = read_progress(checkpoints(folder)[-1])
        exported = model_folder.read(folder / "model").manifest.origin.pictures_seen
        return config.is_reached(last.seen, last.seconds) and exported == read_progress(best).seen
    except (CheckpointError, errors.ModelFolderError):
        return False


def _too_large(error: Exception) -> UsageError:
    reason = str(error).partition("\n")[0]
    return UsageError(f"the networks do not fit into memory ({reason}): take a smaller --width, --z-dim or --blocks")
