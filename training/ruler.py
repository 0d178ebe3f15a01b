"""What generated pictures are measured with: real pictures, a feature network, and a classifier where there are labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training import classifier
from training.classifier import Classifier
from training.data import Dataset
from training.features import Extractor, FeatureName, classifier_network, inception_network, random_network
from training.gauge import Gauge
from training.quality import Against, Assessment, Real, assess


@dataclass(frozen=True)
class Ruler:
    """Measures quickly (`gauge`) and fully (`assess`), on the same features."""

    real: Real
    extractor: Extractor
    classifier: Classifier | None  # None without labels
    classes: tuple[str, ...] = ()  # names of the labels

    @classmethod
    def of(
        cls,
        dataset: Dataset,  # its labels, if it has them, get a classifier, which takes minutes where none is in the cache
        features: FeatureName,  # "classifier" needs labels
        *,
        inception_weights: Path | None = None,
        progress: bool = False,
    ) -> "Ruler":
        """Raises FeaturesUnavailableError for Inception's weights that cannot be had, before a classifier is trained."""
        inception = None
        if features == "inception":
            inception = inception_network(inception_weights, device="cuda" if torch.cuda.is_available() else "cpu")
        held_out = dataset.held_out
        about = f"{dataset.name} ({dataset.fingerprint[:8]})"
        real = Real(dataset.pictures, about=about)
        if held_out is not None:
            real = Real(dataset.pictures, held_out.pictures, held_out.labels, about)
        judge = _classifier(dataset, progress) if has_labels(dataset) else None
        if features == "classifier":
            if judge is None:
                raise ValueError("classifier features need labels of two classes or more")
            return cls(real, classifier_network(judge), judge, dataset.classes)
        return cls(real, inception or random_network(), judge, dataset.classes)

    def gauge(self, size: int) -> Gauge:
        """For checkpoints: so many pictures on the real side."""
        return Gauge(self.real, self.extractor, size=size)

    def assess(
        self,
        pictures: NDArray[np.uint8],  # [n, c, h, w], with as many channels as the real ones and of the same size
        labels: NDArray[np.int64] | None,  # [n], what a conditional model was asked for
        *,
        against: Against | None = None,  # None: held-out pictures where there are any
        progress: bool = False,
    ) -> Assessment:
        """All that can be said of the pictures. Raises ValueError as `quality.assess` does."""
        return assess(
            pictures,
            self.real,
            self.extractor,
            against=against,
            labels=labels,
            classifier=self.classifier,
            class_names=self.classes,
            progress=progress,
        )


def has_labels(dataset: Dataset) -> bool:
    """Whether there is something to tell apart."""
    return dataset.labels is not None and len(dataset.classes) > 1


def _classifier(dataset: Dataset, progress: bool) -> Classifier:
    assert dataset.labels is not None, "called for labelled data"
    held_out = dataset.held_out
    return classifier.load_or_train(
        dataset.pictures,
        dataset.labels,
        classes=len(dataset.classes),
        fingerprint=dataset.fingerprint,
        held_out=None if held_out is None or held_out.labels is None else (held_out.pictures, held_out.labels),
        progress=progress,
    )
