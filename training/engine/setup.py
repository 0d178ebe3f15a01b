"""What a run learns from and is measured with."""

import logging
from pathlib import Path

from training.config.schema import TrainingConfig
from training.data import Dataset
from training.data.decode_cache import cache_root
from training.disk import writing_to
from training.engine.distributed import Group
from training.errors import DataError, FeaturesUnavailableError, UsageError
from training.evaluation.evaluator import Evaluator, has_labels
from training.evaluation.feature_extractors import FeatureName
from training.evaluation.samples import DataSource, has_builtin_labels
from training.tracking import run_dir

_FEWEST_PICTURES = 20  # half of them to be measured by the other half

_log = logging.getLogger(__name__)


def load(config: TrainingConfig, folder: Path | None) -> tuple[Dataset, FeatureName]:
    """The data, with its labels if it is to be measured by them, even where the game does not know them; and by which features.

    For a run that goes on, given its folder, classes keep the order, and images the channels, that it began with.
    Raises UsageError for features that the data has no labels for.
    """

    def as_begun(dataset: Dataset) -> Dataset:
        if folder is None:
            return dataset
        return dataset.as_fingerprinted(run_dir.fingerprint_of(folder), labelled=config.conditional)

    source = DataSource(config.data, config.size, config.fit, config.background, config.max_bad, config.max_pixels)
    if config.features == "auto" and not config.conditional and has_builtin_labels(config.data):
        try:
            return as_begun(source.load(labelled=True)), "classifier"
        except DataError as error:
            _log.warning(f"measured without labels, since {error}")
    known = as_begun(source.load(labelled=config.conditional or config.features == "classifier"))
    if config.features == "classifier" and not has_labels(known):
        raise UsageError(f"--features classifier: {config.data} has only one class; take --features random")
    if config.features == "auto":
        return known, "classifier" if has_labels(known) else "random"
    return known, config.features


def evaluator_of(config: TrainingConfig, known: Dataset, features: FeatureName) -> Evaluator:
    """What checkpoints and the finished model are measured with. Raises UsageError for features that cannot be had, DiskError."""
    try:
        with writing_to(cache_root(), "start again"):  # where a classifier is kept
            return Evaluator.from_dataset(known, features, inception_weights=config.inception_weights, progress=True)
    except (FeaturesUnavailableError, ValueError) as error:
        raise UsageError(f"--features {features}: {error}") from error


def check_enough(config: TrainingConfig, dataset: Dataset, group: Group) -> None:
    """Raises UsageError for too few images, or a batch that they or the processes cannot make up."""
    if len(dataset.images) < _FEWEST_PICTURES:
        raise UsageError(f"--data {config.data}: {len(dataset.images)} images are too few to learn from; bring {_FEWEST_PICTURES}")
    if dataset.is_one_image:
        raise UsageError(f"--data {config.data}: all {len(dataset.images)} images are the same; bring some that differ")
    if len(dataset.images) < config.batch_size:
        raise UsageError(f"--batch-size {config.batch_size} is more than the {len(dataset.images)} images there are: take fewer")
    if config.batch_size % group.size:
        raise UsageError(
            f"--batch-size {config.batch_size} cannot be shared by {group.size} processes: take a multiple of {group.size}"
        )
