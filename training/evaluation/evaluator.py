"""The evaluator: measures generated images with real ones, a feature network, and a classifier where there are labels."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.data import Dataset
from training.data.split import halves
from training.evaluation import classifier
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator
from training.evaluation.classifier import Classifier
from training.evaluation.comparison import Evaluation, evaluate
from training.evaluation.feature_extractors import Extractor, FeatureName, classifier_network, inception_network, random_network
from training.evaluation.real_images import HeldOutHalf, RealImages, RealSide, SampleSet
from training.hardware import Hardware

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluator:
    """Measures quickly (`checkpoint_evaluator`) and fully (`evaluate`), by the same features."""

    selection: RealImages  # to choose checkpoints and models by
    test: RealImages  # to report the chosen ones by; the same as `selection` where too few images are held out
    extractor: Extractor
    classifier: Classifier | None  # None without labels
    classes: tuple[str, ...] = ()  # names of the labels
    caveat: str = ""  # a sentence for people if these are not the features asked for

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset,  # with labels, a classifier is trained, which takes minutes where none is in the cache
        features: FeatureName,  # "classifier" needs labels
        *,
        inception_weights: Path | None = None,
        hardware: Hardware | None = None,  # that features are computed on and a classifier is trained on; None: plain
        progress: bool = False,
    ) -> "Evaluator":
        """Prepare all that a dataset is measured by.

        A classifier that is hardly better than guessing measures nothing: random features take its place, with a warning. Raises
        FeaturesUnavailableError where Inception's weights are not available, before a classifier is trained.
        """
        hardware = hardware or Hardware.plain()
        inception = None
        if features == "inception":
            inception = inception_network(inception_weights, hardware.device)
        selection, test = _parts(dataset)
        found = _classifier(dataset, selection, hardware, progress) if has_labels(dataset) else None
        if features == "classifier" and found is None:
            raise ValueError("classifier features need labels of two classes or more")
        caveat = ""
        if found is not None and found.is_unsure:
            caveat = _caveat(found, features)
            _log.warning(caveat)
            found = None
        learned = classifier_network(found) if features == "classifier" and found is not None else None
        return cls(selection, test, inception or learned or random_network(hardware.device), found, dataset.classes, caveat)

    def checkpoint_evaluator(self, size: int) -> CheckpointEvaluator:
        """Quick measures of `size` images, for checkpoints and to choose between models."""
        return CheckpointEvaluator(self.selection, self.extractor, size=size)

    def evaluate(
        self,
        samples: Iterable[SampleSet],  # each of the same number of images, with the channels and size of the real ones
        *,
        part: HeldOutHalf = "test",
        against: RealSide | None = None,  # None: held-out images where there are any
        seeds: str = "",  # of all samples together, for the protocol
        progress: bool = False,
    ) -> Evaluation:
        """All measures of the images. Raises ValueError as `comparison.evaluate` does."""
        return evaluate(
            samples,
            self.test if part == "test" else self.selection,
            self.extractor,
            against=against,
            classifier=self.classifier,
            class_names=self.classes,
            seeds=seeds,
            progress=progress,
        )


def has_labels(dataset: Dataset) -> bool:
    """Whether there are at least two classes to distinguish."""
    return dataset.labels is not None and len(dataset.classes) > 1


def _parts(dataset: Dataset) -> tuple[RealImages, RealImages]:
    """Real images to choose by, and to report by."""
    about = f"{dataset.name} ({dataset.fingerprint[:8]})"
    held_out = dataset.held_out
    if held_out is None:
        training_only = RealImages(dataset.images, about=about)
        return training_only, training_only
    indices = halves(held_out.images)
    if indices is None:
        both = RealImages(dataset.images, held_out.images, held_out.labels, about)
        return both, both
    (selection, selection_labels), (test, test_labels) = (
        (held_out.images[half], None if held_out.labels is None else held_out.labels[half]) for half in indices
    )
    return (
        RealImages(dataset.images, selection, selection_labels, about),
        RealImages(dataset.images, test, test_labels, about, "test"),
    )


def _classifier(dataset: Dataset, selection: RealImages, hardware: Hardware, progress: bool) -> Classifier:
    assert dataset.labels is not None, "called for labelled data"
    held_out = None
    if selection.held_out is not None and selection.held_out_labels is not None:
        held_out = selection.held_out, selection.held_out_labels
    return classifier.load_or_train(
        dataset.images,
        dataset.labels,
        classes=len(dataset.classes),
        fingerprint=dataset.fingerprint,
        held_out=held_out,
        hardware=hardware,
        progress=progress,
    )


def _caveat(classifier: Classifier, features: FeatureName) -> str:
    record, by = classifier.record, "by features of a random network, and not" if features == "classifier" else "not"
    return (
        f"a classifier of the {record.classes} classes is right about {record.accuracy:.1%} of {record.tested} images it was not "
        f"trained on, too few to notice what is wrong with others: models are measured {by} by class; more images of each class "
        "would help"
    )
