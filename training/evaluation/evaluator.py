"""What generated pictures are measured with: real pictures, a feature network, and a classifier where there are labels."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from training.data import Dataset
from training.data.split import halves
from training.evaluation import classifier
from training.evaluation.checkpoint_evaluator import Gauge
from training.evaluation.classifier import Classifier
from training.evaluation.comparison import Assessment, assess
from training.evaluation.feature_extractors import Extractor, FeatureName, classifier_network, inception_network, random_network
from training.evaluation.real_images import Against, Part, Real, Sample


@dataclass(frozen=True)
class Ruler:
    """Measures quickly (`gauge`) and fully (`assess`), on the same features."""

    selection: Real  # what checkpoints and models are chosen by
    test: Real  # what is reported of the chosen ones; the same as `selection` where too few pictures are held out
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
    ) -> "Ruler":
        """A classifier that is no better than guessing measures nothing: random features take its place, with a warning.

        Raises FeaturesUnavailableError for Inception's weights that cannot be had, before a classifier is trained.
        """
        inception = None
        if features == "inception":
            inception = inception_network(inception_weights, device="cuda" if torch.cuda.is_available() else "cpu")
        selection, test = _parts(dataset)
        judge = _classifier(dataset, selection, progress) if has_labels(dataset) else None
        if features == "classifier" and judge is None:
            raise ValueError("classifier features need labels of two classes or more")
        doubt = ""
        if judge is not None and judge.guesses:
            doubt = _doubt(judge, features)
            print(f"warning: {doubt}", file=sys.stderr)
            judge = None
        known = classifier_network(judge) if features == "classifier" and judge is not None else None
        return cls(selection, test, inception or known or random_network(), judge, dataset.classes, doubt)

    def gauge(self, size: int) -> Gauge:
        """For checkpoints, and to choose between models: so many pictures on the real side."""
        return Gauge(self.selection, self.extractor, size=size)

    def assess(
        self,
        samples: Iterable[Sample],  # each of as many pictures, with as many channels as the real ones and of the same size
        *,
        part: Part = "test",
        against: Against | None = None,  # None: held-out pictures where there are any
        seeds: str = "",  # what the pictures were drawn from, for the protocol
        progress: bool = False,
    ) -> Assessment:
        """All that can be said of the pictures. Raises ValueError as `quality.assess` does."""
        return assess(
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


def _parts(dataset: Dataset) -> tuple[Real, Real]:
    """The real pictures to choose by, and those to report by."""
    about = f"{dataset.name} ({dataset.fingerprint[:8]})"
    held_out = dataset.held_out
    if held_out is None:
        alone = Real(dataset.pictures, about=about)
        return alone, alone
    places = halves(held_out.pictures)
    if places is None:
        both = Real(dataset.pictures, held_out.pictures, held_out.labels, about)
        return both, both
    (chooses, its_labels), (reports, labels) = (
        (held_out.pictures[half], None if held_out.labels is None else held_out.labels[half]) for half in places
    )
    return Real(dataset.pictures, chooses, its_labels, about), Real(dataset.pictures, reports, labels, about, "test")


def _classifier(dataset: Dataset, selection: Real, progress: bool) -> Classifier:
    assert dataset.labels is not None, "called for labelled data"
    held_out = None
    if selection.held_out is not None and selection.held_out_labels is not None:
        held_out = selection.held_out, selection.held_out_labels
    return classifier.load_or_train(
        dataset.pictures,
        dataset.labels,
        classes=len(dataset.classes),
        fingerprint=dataset.fingerprint,
        held_out=held_out,
        progress=progress,
    )


def _doubt(judge: Classifier, features: FeatureName) -> str:
    instead = " by features of a random network, and" if features == "classifier" else ""
    return (
        f"a classifier of the {judge.record.classes} classes is right about {judge.record.accuracy:.1%} of "
        f"{judge.record.tested} pictures it was not trained on, no better than guessing: models are measured{instead} not by "
        "class; more pictures of each class would help"
    )
