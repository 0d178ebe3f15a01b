"""A run of the training command: from the data to the model among those of the service."""

import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from gan.manifest_parts import Metric
from gan.model_folder import read_manifest
from training.cli import resuming
from training.cli.encoding import train_encoder
from training.cli.finishing import finish_again, install_model, say_how_good, say_what_points_show
from training.config import files
from training.config.schema import TrainingConfig
from training.data.attributes import with_attributes
from training.disk import writing_to
from training.engine import checkpoint, setup
from training.engine.distributed import Group
from training.engine.estimate import print_estimate
from training.engine.logger import write_real_samples
from training.engine.loop import train
from training.engine.state import TrainingState
from training.engine.stopping import StopSignal
from training.errors import UsageError
from training.evaluation.evaluator import Evaluator
from training.evaluation.point_evaluator import PointEvaluator
from training.export.export import export_model
from training.export.installing import check_replaceable, measure_model
from training.tracking import report, run_dir
from training.tracking.environment import record
from training.tracking.trackers import Trackers

if TYPE_CHECKING:
    from training.cli.train import Options

_log = logging.getLogger(__name__)


class TrainingRun:
    """A run in one process of a group: its data and networks, trained from the start or from where the run was stopped."""

    def __init__(self, options: "Options", config: TrainingConfig, folder: Path | None, group: Group) -> None:
        """Load the data and build the networks; `folder` is that of a resumed run. Raises UsageError and DataError."""
        self._options, self._config, self._folder, self._group = options, config, folder, group
        self._hardware = setup.choose_hardware(config)
        begun_with = group.from_first(lambda: None if folder is None else run_dir.fingerprint_of(folder))
        with group.one_after_another():
            self._labelled_dataset, self._features = setup.load(config, begun_with)  # with labels if there are any, to measure by
        self._dataset = self._labelled_dataset if config.conditional else self._labelled_dataset.without_labels()
        if config.attributes is not None:
            self._dataset = with_attributes(self._dataset, config.attributes, config.wanted_attributes)
        setup.check_enough(config, self._dataset, group)
        self._name = config.name or f"{self._dataset.name}-{config.recipe}"
        if options.promote:
            check_replaceable(options.models / self._name)
        self._log_settings()
        self._state = self._build_networks()

    def estimate(self) -> None:
        """Log the time and memory that training would take, in the first process."""
        if self._group.is_first:
            print_estimate(self._options.out, self._state, self._dataset, self._config, self._hardware)

    def train(self, images_may_change: bool) -> int:
        """Train, export and install; returns the exit status. Raises UsageError if a resumed run finds other images."""
        folder = self._create_folder()
        with (
            writing_to(folder, f"go on with: python -m training.run --resume {folder}"),
            run_dir.locked(folder) if self._group.is_first else nullcontext(),
        ):
            evaluator = self._start(folder, images_may_change) if self._group.is_first else None
            self._state.copy_from_first(self._group)
            resuming.note_processes(self._state, self._config, self._group)
            return self._train(folder, evaluator)

    def export(self, wanted: str) -> int:
        """Export a checkpoint of the run, whatever its measures are, and install it; returns the exit status. Raises UsageError."""
        assert self._folder is not None, "--export comes with --resume"
        folder = self._folder
        with writing_to(folder, "try again"), run_dir.locked(folder):
            path = resuming.find_checkpoint(folder, wanted)
            resuming.restore(self._state, [path])
            evaluator = setup.make_evaluator(self._config, self._labelled_dataset, self._features, self._hardware)
            self._export(folder, evaluator, path.stem)
            if status := train_encoder(folder, self._config):
                return status
            install_model(folder, self._options, self._config, evaluator)
        return 0

    def _log_settings(self) -> None:
        processes = f", {self._group.size} processes" if self._group.size > 1 else ""
        _log.info(files.to_yaml(self._config).rstrip())
        _log.info(f"data: {self._dataset.name}, {'; '.join(self._dataset.notes)}")
        for file in self._dataset.skipped:
            _log.info(f"skipped {file}")
        if not self._config.is_points:
            _log.info(f"features to measure by: {self._features}")
        _log.info(f"hardware: {self._hardware}{processes}")

    def _build_networks(self) -> TrainingState:
        channels, classes = self._dataset.images.shape[1], len(self._dataset.classes) or None
        try:
            attributes = None if self._dataset.attributes is None else self._dataset.attributes.table
            state = TrainingState.start(self._config, channels, classes, self._hardware, attributes)
        except ValueError as error:  # what the networks cannot be
            raise UsageError(f"--arch {self._config.arch}: {error}") from error
        except (RuntimeError, TypeError) as error:  # what PyTorch raises for more memory, or larger numbers, than there are
            raise _too_large(error) from error
        for name, network in (("generator", state.generator), ("discriminator", state.discriminator)):
            _log.info(f"{name}: {sum(parameter.numel() for parameter in network.parameters()):,} parameters")
        return state

    def _create_folder(self) -> Path:
        """The run's folder, which the first process creates where there is none."""

        def find_or_create() -> Path:
            if self._folder is not None:
                return self._folder
            with writing_to(self._options.out, "start again"):
                title = self._options.run_name or f"{self._dataset.name}-{self._config.recipe}"
                return run_dir.create(self._options.out, title)

        return self._group.from_first(find_or_create)

    def _start(self, folder: Path, images_may_change: bool) -> Evaluator | PointEvaluator:
        """Go on from the last checkpoint, record what the run is started with, and prepare what its checkpoints are measured by."""
        resuming.check_something_to_resume(folder)
        run_dir.check_attributes(folder, self._dataset.attributes)
        resumed_from = resuming.restore(self._state, checkpoint.checkpoints(folder)[::-1])
        images, fingerprint = len(self._dataset.images), self._dataset.fingerprint
        run_dir.check_data(folder, self._config.data, fingerprint, images, images_may_change)
        files.write_config(folder, self._config)
        write_real_samples(self._dataset, self._config, self._state.input_spec, folder)
        record(folder, str(self._hardware))
        evaluator: Evaluator | PointEvaluator
        if self._config.is_points:
            evaluator = PointEvaluator(self._dataset, self._config.measure)
            protocol = evaluator.protocol
        else:
            evaluator = setup.make_evaluator(self._config, self._labelled_dataset, self._features, self._hardware)
            protocol = evaluator.extractor.protocol
        _log.info(f"checkpoints are measured by {protocol}")
        _log.info((f"resumed from {resumed_from}\n" if resumed_from else "") + f"run: {folder}")
        return evaluator

    def _train(self, folder: Path, evaluator: Evaluator | PointEvaluator | None) -> int:
        stop = StopSignal()
        quick = evaluator.checkpoint_evaluator(self._config.measure) if isinstance(evaluator, Evaluator) else evaluator
        for remark in [] if quick is None else quick.remarks:
            _log.info(remark)
        with Trackers.open(self._config, folder, self._state.seen) if evaluator is not None else Trackers() as trackers:
            finished = train(
                self._state, self._dataset, self._config, self._hardware, folder, quick, stop.received, self._group, trackers
            )
            stopped_by = self._group.largest(stop.number)  # which not all processes need have received
            stop.let_go()  # the weights are saved: what is left can be done again
            if finished:
                # The others wait: had they ended, nothing could start them again together with the first.
                return self._group.from_first(lambda: self._finish(folder, evaluator, trackers))
        if self._group.is_first:
            print(f"stopped and saved; go on with: python -m training.run --resume {folder}", file=sys.stderr)
        return 128 + stopped_by

    def _finish(self, folder: Path, evaluator: Evaluator | PointEvaluator | None, trackers: Trackers) -> int:
        """Export the best checkpoint and install it; returns the exit status. Of points there is nothing to export."""
        assert evaluator is not None, "called in the first process"
        if isinstance(evaluator, PointEvaluator):
            trackers.finish([], self._state.seen)
            say_what_points_show(folder, report.write(folder))
            return 0
        seen = self._state.seen
        resuming.restore(self._state, checkpoint.ranked(folder))
        if self._config.encoder_images is None or resuming.exported_model(folder) is None:
            self._export(folder, evaluator)
        trackers.finish(read_manifest(folder / "model").metrics, seen)
        if status := train_encoder(folder, self._config):
            return status
        install_model(folder, self._options, self._config, evaluator)
        say_how_good(folder, self._options.models, self._config, self._state.seen)
        return 0

    def _export(self, folder: Path, evaluator: Evaluator, which: str = "the best checkpoint") -> None:
        """Write the model folder of the checkpoint that is restored, with its measures."""
        config = self._config

        def measure(model: Path) -> list[Metric]:
            try:
                return measure_model(evaluator, model, config.measure_final, config.measure_sets, folder / report.NEAREST)
            except ValueError as error:
                _log.warning(f"the model was not measured: {error}")
                return []

        environment = record(folder, str(self._hardware))  # as it was when the run was started
        manifest = export_model(folder / "model", self._name, self._state, self._dataset, config, environment, measure)
        _log.info(
            f"exported {manifest.name}@{manifest.version}, of {which}, after {self._state.seen:,} images, "
            f"to {folder / 'model'}; the report: {report.write(folder)}"
        )


def run(options: "Options", config: TrainingConfig, folder: Path | None, images_may_change: bool, group: Group) -> int:
    """Carry out the command in one process of a group; returns the exit status. `folder` is that of a resumed run."""
    if not group.is_first:
        logging.getLogger("training").setLevel(logging.WARNING)
    if config.is_points and (options.promote or options.export is not None):
        flag = "--promote" if options.promote else "--export"
        raise UsageError(f"{flag}: --data {config.data} has points in the plane, and a run on them exports no model: leave it out")
    if options.resume and folder is None:
        _log.info(f"nothing to resume in {options.out}: starting anew")
    if options.export is None and group.from_first(lambda: folder is not None and resuming.is_done(folder, config)):
        if folder is None or not group.is_first:
            return 0
        finish_again(folder, options, config)
        return 0
    training_run = TrainingRun(options, config, folder, group)
    if options.dry_run:
        training_run.estimate()
        return 0
    if options.export is not None:
        wanted = options.export
        return group.from_first(lambda: training_run.export(wanted))
    return training_run.train(images_may_change)


def _too_large(error: Exception) -> UsageError:
    reason = str(error).partition("\n")[0]
    return UsageError(f"the networks do not fit into memory ({reason}): take a smaller --width, --z-dim or --blocks")
