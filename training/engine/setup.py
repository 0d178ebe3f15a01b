"""Data, hardware and evaluator of a run."""

import logging

from training.config.schema import TrainingConfig
from training.data import Dataset, points
from training.data.decode_cache import cache_root
from training.disk import writing_to
from training.engine.distributed import Group
from training.errors import DataError, FeaturesUnavailableError, UsageError
from training.evaluation.evaluator import Evaluator, has_labels
from training.evaluation.feature_extractors import FeatureName
from training.evaluation.samples import DataSource, has_builtin_labels
from training.hardware import Hardware, Settings

_FEWEST_IMAGES = 20  # evaluation compares one half of them with the other

_log = logging.getLogger(__name__)


def load(config: TrainingConfig, fingerprint: str | None) -> tuple[Dataset, FeatureName]:
    """Load the data, with labels if they are needed to measure by, even for an unconditional run; and choose the features.

    A resumed run, given the fingerprint of its images, keeps the order of classes and the channels that it began with.
    Raises UsageError for features that the data has no labels for.
    """

    def as_begun(dataset: Dataset) -> Dataset:
        return dataset if fingerprint is None else dataset.as_fingerprinted(fingerprint, labelled=config.conditional)

    if config.is_points:  # which are measured in the plane itself
        return points.load(config.data), "random"
    source = DataSource(config.data, config.size, config.fit, config.background, config.max_bad, config.max_pixels)
    if config.features == "auto" and not config.conditional and has_builtin_labels(config.data):
        try:
            return as_begun(source.load(labelled=True)), "classifier"
        except DataError as error:
            _log.warning(f"measured without labels, since {error}")
    labelled_dataset = as_begun(source.load(labelled=config.conditional or config.features == "classifier"))
    if config.features == "classifier" and not has_labels(labelled_dataset):
        raise UsageError(f"--features classifier: {config.data} has only one class; take --features random")
    if config.features == "auto":
        return labelled_dataset, "classifier" if has_labels(labelled_dataset) else "random"
    return labelled_dataset, config.features


def choose_hardware(config: Settings) -> Hardware:
    """The hardware that a run's or an encoder's settings ask for. Raises UsageError for what this machine does not have."""
    try:
        return Hardware.choose(config)
    except ValueError as error:
        raise UsageError(str(error)) from error


def make_evaluator(config: TrainingConfig, labelled_dataset: Dataset, features: FeatureName, hardware: Hardware) -> Evaluator:
    """Evaluator of images: of checkpoints and of the finished model, on the run's hardware.

    Raises UsageError for features that are not available, and DiskError.
    """
    try:
        with writing_to(cache_root(), "start again"):  # classifiers are cached there
            weights = config.inception_weights
            return Evaluator.from_dataset(labelled_dataset, features, inception_weights=weights, hardware=hardware, progress=True)
    except (FeaturesUnavailableError, ValueError) as error:
        raise UsageError(f"--features {features}: {error}") from error


def check_enough(config: TrainingConfig, dataset: Dataset, group: Group) -> None:
    """Raises UsageError for too few images, or a batch larger than the data or that the processes cannot share."""
    if len(dataset.images) < _FEWEST_IMAGES:
        raise UsageError(f"--data {config.data}: {_FEWEST_IMAGES} images are the least to learn from, not {len(dataset.images)}")
    if dataset.is_one_image:
        raise UsageError(f"--data {config.data}: all {len(dataset.images)} images are the same; bring some that differ")
    if len(dataset.images) < config.batch_size:
        raise UsageError(f"--batch-size {config.batch_size} is more than the {len(dataset.images)} images there are: take fewer")
    if config.batch_size % group.size:
        fitting = ", ".join(str(size) for size in range(group.size - 1, 0, -1) if config.batch_size % size == 0)
        raise UsageError(
            f"--batch-size {config.batch_size} cannot be shared by {group.size} processes: take a multiple of {group.size}, or, "
            f"as a run that is resumed keeps its batches, start {fitting} of them"
        )
    share = config.batch_size // group.size
    part = min(share, config.micro_batch_size or share)
    if share % part:
        raise UsageError(
            f"--micro-batch-size {part} does not divide the {share} images of a batch that each of {group.size} processes has: "
            "take a divisor of that"
        )
    if config.batch_norm_group is not None and part % config.batch_norm_group:
        raise UsageError(
            f"--batch-norm-group {config.batch_norm_group} does not divide the {part} images of a batch that each of {group.size} "
            "processes computes at once: take a divisor of that, or fewer processes"
        )
