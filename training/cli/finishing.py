"""The end of a run: its model is copied to the models of the service, and people are told how good it is and what to do next."""

import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from gan.manifest_parts import Metric
from gan.model_folder import read_manifest
from training.config import files
from training.config.schema import TrainingConfig
from training.engine import checkpoint, setup
from training.errors import UsageError
from training.evaluation.evaluator import Evaluator
from training.export.installing import install, promote, rank_models
from training.tracking import report, run_dir, stats
from training.tracking.verdict import verdict

if TYPE_CHECKING:
    from training.cli.train import Options

_log = logging.getLogger(__name__)


def install_model(folder: Path, options: "Options", config: TrainingConfig, evaluator: Evaluator | None = None) -> None:
    """Copy the finished model to --models, or promote it. Without an evaluator one is made if there is something to measure."""

    def rank(models: list[Path]) -> list[Metric]:
        try:
            return rank_models(evaluator or _evaluator_again(folder, config), models, config.measure_final)
        except ValueError as error:
            raise UsageError(
                f"--promote: the models cannot be measured ({error}); leave --promote out, or replace it by hand"
            ) from error

    if options.promote:
        promote(folder / "model", options.models, rank)
    else:
        install(folder / "model", options.models)


def finish_again(folder: Path, options: "Options", config: TrainingConfig) -> None:
    """Say that a run is done already, and which settings therefore change nothing, and install its model once more."""
    _log.info(f"{folder} is done; its " + (f"report is in {folder}" if config.is_points else f"model is in {folder}/model"))
    stored = files.read_config(folder)
    if changed := [name for name, value in config if getattr(stored, name) != value]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        had, seconds = checkpoint.length(folder)
        _log.warning(
            f"{flags} changed nothing, since the run is done: to go on, give more --images than the {had:,} that it has seen"
            + ("" if config.minutes is None else f", and more --minutes than the {seconds / 60:.1f} that it has had")
        )
    if not options.dry_run and not config.is_points:
        with run_dir.locked(folder):
            install_model(folder, options, config)


def _evaluator_again(folder: Path, config: TrainingConfig) -> Evaluator:
    """The evaluator of a finished run. Raises UsageError if its images have changed."""
    labelled_dataset, features = setup.load(config, run_dir.fingerprint_of(folder))
    dataset = labelled_dataset if config.conditional else labelled_dataset.without_labels()
    run_dir.check_data(folder, config.data, dataset.fingerprint, len(dataset.images), may_change=False)
    return setup.make_evaluator(config, labelled_dataset, features, setup.choose_hardware(config))


def say_how_good(folder: Path, models: Path, config: TrainingConfig, seen: int) -> None:
    """Log how good the model of a finished run is, which has seen so many images, and the commands that come next."""
    manifest = read_manifest(folder / "model")
    where = "" if models == Path("models") else f"GAN_MODELS={shlex.quote(str(models))} "
    for sentence in verdict(folder, manifest.metrics):
        _log.info(sentence)
    longer = f"--images {2 * config.images}" if config.minutes is None else f"--minutes {2 * config.minutes:g}"
    if config.minutes is not None and 2 * seen > config.images:
        longer += f" --images {4 * config.images}"
    if config.anneal_images is not None:  # else the learning rate would stay where it has fallen to
        longer += f" --anneal-images {2 * config.anneal_images} --change anneal-images"
    _log.info(
        f"look: {folder / report.REPORT}\n"
        f"serve it: {where}GAN_DEFAULT_MODEL={manifest.name} make serve, and open http://127.0.0.1:3000\n"
        f"train on, as long again: python -m training.run --resume {shlex.quote(str(folder))} {longer} --promote"
    )


def say_what_points_show(folder: Path, report_file: Path) -> None:
    """Log what a finished run on points in the plane has come to; it exports no model."""
    last = next((row for row in reversed(stats.read_rows(folder / stats.STATS)) if "modes" in row), None)
    if last is not None:
        _log.info(
            f"{last['modes']} of {last['modes_real']} modes are covered, and {last['good']:.0%} of the points are good "
            f"({last['good_real']:.0%} of real ones)"
        )
    _log.info(f"look: {report_file}\na run on points in the plane exports no model: there is nothing to serve")
