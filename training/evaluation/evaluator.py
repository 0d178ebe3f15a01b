"""What generated images are measured with: real images, a feature network, and a classifier where there are labels."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from training.data import Dataset
from training.data.split import halves
from training.evaluation import classifier
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator
from training.evaluation.classifier import Classifier
from training.evaluation.comparison import Evaluation, evaluate
from training.evaluation.feature_extractors import Extractor, FeatureName, classifier_network, inception_network, random_network
from training.evaluation.real_images import Against, Part, RealImages, SampleSet

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluator:
    """Measures quickly (`gauge`) and fully (`assess`), on the same features."""

    selection: RealImages  # what checkpoints and models are chosen by
    test: RealImages  # what is reported of the chosen ones; the same as `selection` where too few images are held out
    extractor: Extractor
    classifier: Classifier | None  # None without labels
    classes: tuple[str, ...] = ()  # names of the labels
    doubt: str = ""  # why these are not the features asked for, in a sentence

    @classmethod
    def of(
        cls,
        dataset: Dataset,  # its labels, if it has them, get a classifier, which takes minutes where none is in the cache
        features: FeatureName,  # "classifier" needs labels
        *,
        inception_weights: Path | None = None,
        progress: bool = False,
    ) -> "Evaluator":
        """A classifier that is no better than guessing measures nothing: random features take its place, with a warning.

        Raises FeaturesUnavailableError for Inception's weights that cannot be had, before a classifier is trained.
        """
        inception = None
        if features == "inception":
            inception = inception_network(inception_weights, device="cuda" if torch.cuda.is_available() else "cpu")
        selection, test = _parts(dataset)
        found = _classifier(dataset, selection, progress) if has_labels(dataset) else None
        if features == "classifier" and found is None:
            raise ValueError("classifier features need labels of two classes or more")
        doubt = ""
        if found is not None and found.guesses:
            doubt = _doubt(found, features)
            _log.warning(doubt)
            found = None
        learned = classifier_network(found) if features == "classifier" and found is not None else None
        return cls(selection, test, inception or learned or random_network(), found, dataset.classes, doubt)

    def checkpoint_evaluator(self, size: int) -> CheckpointEvaluator:
        """For checkpoints, and to choose between models: so many images on the real side."""
        return CheckpointEvaluator(self.selection, self.extractor, size=size)

    def evaluate(
        self,
        samples: Iterable[SampleSet],  # each of as many images, with as many channels as the real ones and of the same size
        *,
        part: Part = "test",
        against: Against | None = None,  # None: held-out images where there are any
        seeds: str = "",  # what the images were drawn from, for the protocol
        progress: bool = False,
    ) -> Evaluation:
        """All that can be said of the images. Raises ValueError as `quality.assess` does."""
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
    """Whether there is something to tell apart."""
    return dataset.labels is not None and len(dataset.classes) > 1


def _parts(dataset: Dataset) -> tuple[RealImages, RealImages]:
    """The real images to choose by, and those to report by."""
    about = f"{dataset.name} ({dataset.fingerprint[:8]})"
    held_out = dataset.held_out
    if held_out is None:
        alone = RealImages(dataset.images, about=about)
        return alone, alone
    places = halves(held_out.images)
    if places is None:
        both = RealImages(dataset.images, held_out.images, held_out.labels, about)
        return both, both
    (chooses, its_labels), (reports, labels) = (
        (held_out.images[half], None if held_out.labels is None else held_out.labels[half]) for half in places
    )
    return RealImages(dataset.images, chooses, its_labels, about), RealImages(dataset.images, reports, labels, about, "test")


def _classifier(dataset: Dataset, selection: RealImages, progress: bool) -> Classifier:
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
        progress=progress,
    )


def _doubt(classifier: Classifier, features: FeatureName) -> str:
    instead = " by features of a random network, and" if features == "classifier" else ""
    return (
        f"a classifier of the {classifier.record.classes} classes is right about {classifier.record.accuracy:.1%} of "
        f"{classifier.record.tested} images it was not trained on, no better than guessing: models are measured{instead} not by "
        "class; more images of each class would help"
    )
