"""Generated images beside real ones -> every measurement there is of them, each with its protocol and a yardstick."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.manifest import Metric
from training.evaluation import deviations, metrics
from training.evaluation.classifier import SIDE, Classifier, prepare
from training.evaluation.feature_extractors import Extractor, classifier_network
from training.evaluation.nearest_neighbours import PERCENTILE, Pair, distances_of_real, memorisation
from training.evaluation.real_images import Against, RealImages, SampleSet, some

_MOST_QUERIES = 5_000  # held-out images whose nearest training image is looked for
_PAIRS = 16  # of generated images and the training images nearest to them, that are shown


@dataclass(frozen=True)
class Evaluation:
    """What was found."""

    measurements: list[Metric]  # of several samples the means
    deviations: list[Metric]  # the standard deviation of each of them, by deviations.name_of; empty for a single sample
    pairs: tuple[Pair, ...]  # of generated images and the training images nearest to them, nearest first
    suspects: NDArray[np.uint8]  # [pairs, c, h, w], the generated images of these
    class_shares: NDArray[np.float64] | None  # [classes], of the generated images as a classifier sees them

    @property
    def rows(self) -> list[Metric]:
        """For a manifest."""
        return [*self.measurements, *self.deviations]


def evaluate(
    samples: Iterable[SampleSet],  # one or more, each of as many images, of as many channels and the same size as the real ones
    real: RealImages,
    extractor: Extractor,
    *,
    against: Against | None = None,  # None: held-out images where there are any
    classifier: Classifier | None = None,  # of the data's classes; needed for what is said of classes
    class_names: tuple[str, ...] = (),
    seeds: str = "",  # what all samples together were drawn from, for the protocol
    progress: bool = False,
) -> Evaluation:
    """Compare by features, by pixels, by nearest neighbours and, with a classifier, by class; only a sample at a time is held.

    The yardstick of each number is what as many real images get that are not part of the reference. Several samples give each
    number a standard deviation; the yardstick too has so many, as far as there are other real images. Deterministic. Raises
    ValueError as `metrics.measure` does, and for `against` held-out images that are not there.
    """
    comparison, size = None, 0
    found: list[_Found] = []
    nearest: list[tuple[Pair, NDArray[np.uint8]]] = []
    for sample in samples:
        if comparison is None:
            size = len(sample.images)
            comparison = _Comparison(real, extractor, size, against or real.side, classifier, progress)
        one = comparison.measure(sample, turn=len(found))
        before = len(found) * size
        nearest += [(Pair(before + pair.generated, pair.training, pair.ratio), sample.images[pair.generated]) for pair in one.pairs]
        nearest = sorted(nearest, key=lambda item: item[0].ratio)[:_PAIRS]
        found.append(one)
    if comparison is None:
        raise ValueError("there is no sample to compare")
    how = _Protocols(comparison, size, class_names, seeds, np.sum([one.asked for one in found], axis=0))
    names = dict.fromkeys(name for one in found for name in one.values)
    # A class that one sample did not ask for has no value there.
    values = {name: [one.values[name] for one in found if name in one.values] for name in names}
    shares = [one.shares for one in found if one.shares is not None]
    return Evaluation(
        [deviations.mean(how.name(name), values[name], how.protocol(name), comparison.real[name]) for name in names],
        [
            deviations.deviation(how.name(name), values[name], how.protocol(name), comparison.real[name])
            for name in names
            if len(values[name]) > 1
        ],
        tuple(pair for pair, _ in nearest),
        np.stack([image for _, image in nearest]),
        np.mean(shares, axis=0) if shares else None,
    )


@dataclass(frozen=True)
class _Found:
    """What one sample comes to."""

    values: dict[str, float]
    pairs: tuple[Pair, ...]
    shares: NDArray[np.float64] | None
    asked: NDArray[np.int64]  # [classes], how often each was asked for


class _Comparison:
    """The real side, computed once, and what a sample comes to beside it."""

    def __init__(
        self, real: RealImages, extractor: Extractor, size: int, against: Against, classifier: Classifier | None, progress: bool
    ) -> None:
        self.data, self.extractor, self.side, self.classifier, self._progress = real, extractor, against, classifier, progress
        self._images, _ = real.sides(against, size)
        self.references = len(self._images)
        self._reference = extractor(self._images, progress=progress)
        held_out = None if real.held_out is None else some(real.held_out, _MOST_QUERIES)
        self._distances = distances_of_real(real.train, held_out, shrink=_small, progress=progress)
        self.real = defaultdict[str, list[float]](list, memorised=[PERCENTILE / 100])  # what samples of real images get
        if classifier is not None and real.held_out is not None and real.held_out_labels is not None:
            self._learn(_by_class(_seen(classifier, real.held_out), real.held_out_labels, classifier.record.classes))

    def measure(self, sample: SampleSet, turn: int) -> _Found:
        _, others = self.data.sides(self.side, len(sample.images), turn)
        if len(others):
            self._learn(self._by_features(others)[0])
            self._learn({"sliced_wasserstein": metrics.sliced_wasserstein(self._images, others)})
        values, logits = self._by_features(sample.images)
        values["sliced_wasserstein"] = metrics.sliced_wasserstein(self._images, sample.images)
        copies = memorisation(sample.images, self.data.train, self._distances, pairs=_PAIRS, shrink=_small, progress=self._progress)
        values["memorised"] = copies.share
        shares, asked = None, np.zeros(0, np.int64)
        if self.classifier is not None:
            classes = self.classifier.record.classes
            seen = _seen(self.classifier, sample.images) if self.extractor.name != "classifier" else _best(logits)
            shares = class_shares(seen, classes)
            values |= _by_class(seen, sample.labels, classes)
            asked = np.zeros(classes, np.int64) if sample.labels is None else np.bincount(sample.labels, minlength=classes)
        return _Found(values, copies.pairs, shares, asked)

    def _learn(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.real[name].append(value)

    def _by_features(self, images: NDArray[np.uint8]) -> tuple[dict[str, float], NDArray[np.float32] | None]:
        features = self.extractor.extract(images, progress=self._progress)
        inception = self.extractor.name == "inception"
        return metrics.measure(self._reference, features.values, logits=features.logits, inception=inception), features.logits


@dataclass(frozen=True)
class _Protocols:
    """How each number was found, in words."""

    comparison: _Comparison
    size: int  # images of a sample
    class_names: tuple[str, ...]
    seeds: str
    asked: NDArray[np.int64]  # [classes], how often each was asked for in all samples together

    def name(self, key: str) -> str:
        """Of a measure as the manifest has it; classes go by their number until then."""
        measure, slash, label = key.partition("/")
        return f"{measure}/{self._class(label)}" if slash else key

    def protocol(self, key: str) -> str:
        against = self.comparison
        counts = against.data.against(self.size, against.references, against.side, self.seeds)
        measure, slash, label = key.partition("/")
        if measure == "sliced_wasserstein":
            return f"pixels at 16x16 in [-1, 1], 512 directions; {counts}; equal numbers of each"
        if measure == "memorised":
            return self._of_copies()
        if measure in ("share_error", "label_accuracy"):
            purpose = against.data.purpose(against.data.side, self.seeds)
            seen = f"classifier ({against.classifier}); {self.size} generated pictures, {purpose}"
            if slash:
                return f"of {self.asked[int(label)]} asked for as {self._class(label)}; {seen}"
            if measure == "label_accuracy":
                return f"drawn as the class asked for; {seen}"
            return f"largest difference of a class's share from 1/{len(self.asked)}; {seen}"
        more = metrics.parameters(measure, against.references, self.size)
        return f"{against.extractor.protocol}; {counts}" + (f"; {more}" if more else "")

    def _class(self, label: str) -> str:
        return self.class_names[int(label)] if self.class_names else label

    def _of_copies(self) -> str:
        data = self.comparison.data
        beside = "training pictures and all others" if data.held_out is None else "held-out pictures"
        size = f"{SIDE}x{SIDE}" if max(data.train.shape[2:]) > SIDE else "their own size"
        return (
            f"share of {self.size} generated pictures nearer to one of {len(data.train)} training pictures than {PERCENTILE:g} % "
            f"of {beside} are; pixels at {size}, Euclidean; {data.purpose(data.side, self.seeds)}"
        )


def _small(images: NDArray[np.generic]) -> NDArray[np.generic]:
    """At 32x32 if they are larger: distances of pixels say no more at a larger size, and take long."""
    if max(images.shape[2:]) <= SIDE:
        return images
    scaled = prepare(images.astype(np.uint8), images.shape[1])
    small: NDArray[np.uint8] = ((scaled + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return small


def _seen(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The class that a classifier takes each image for."""
    return _best(classifier_network(classifier).extract(images).logits)


def _best(logits: NDArray[np.float32] | None) -> NDArray[np.int64]:
    assert logits is not None, "a classifier has logits"
    best: NDArray[np.int64] = logits.argmax(1)
    return best


def _by_class(seen: NDArray[np.int64], labels: NDArray[np.int64] | None, classes: int) -> dict[str, float]:
    """share_error and, where labels were asked for, label_accuracy, of all and by the number of the class."""
    found = {"share_error": float(np.abs(class_shares(seen, classes) - 1 / classes).max())}
    if labels is not None:
        overall, each = label_accuracy(seen, labels, classes)
        found |= {"label_accuracy": overall, **{f"label_accuracy/{label}": value for label, value in each.items()}}
    return found


def class_shares(seen: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The share of each class among images that a classifier takes for `seen` [n] -> [classes], their sum 1."""
    return np.bincount(seen, minlength=classes) / len(seen)


def label_accuracy(seen: NDArray[np.int64], asked: NDArray[np.int64], classes: int) -> tuple[float, dict[int, float]]:
    """The share of images seen as the class asked for, of all [n] and by class, for classes that were asked for."""
    right = seen == asked
    return float(right.mean()), {label: float(right[asked == label].mean()) for label in range(classes) if (asked == label).any()}
