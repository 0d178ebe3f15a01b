"""Generated and real images -> all measures, each with its protocol and the value of real images as a yardstick."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.manifest_parts import Metric, Protocol
from training.evaluation import deviations, metrics, mosaics
from training.evaluation.classifier import SIDE, Classifier, to_input
from training.evaluation.feature_extractors import Extractor, classifier_network
from training.evaluation.nearest_neighbours import PERCENTILE, Pair, distances_of_real, memorisation
from training.evaluation.real_images import RealImages, RealSide, SampleSet, at_most

_MOST_QUERIES = 5_000  # held-out images whose nearest training image is searched for
_PAIRS = 16  # of generated images and the training images nearest to them, that are shown


@dataclass(frozen=True)
class Evaluation:
    """The measures of generated images."""

    measurements: list[Metric]  # means over the samples
    pairs: tuple[Pair, ...]  # of generated images and the training images nearest to them, nearest first
    suspects: NDArray[np.uint8]  # [pairs, c, h, w], the generated images of these
    class_shares: NDArray[np.float64] | None  # [classes], by the predictions of a classifier for the generated images
    remarks: tuple[str, ...] = ()  # on what these measures can tell, for people


def evaluate(
    samples: Iterable[SampleSet],  # one or more, each of the same number of images, with the channels and size of the real ones
    real: RealImages,
    extractor: Extractor,
    *,
    against: RealSide | None = None,  # None: held-out images where there are any
    classifier: Classifier | None = None,  # of the data's classes; needed for the measures of classes
    class_names: tuple[str, ...] = (),
    seeds: str = "",  # of all samples together, for the protocol
    progress: bool = False,
) -> Evaluation:
    """Compare by features, by pixels, by nearest neighbours and, with a classifier, by class; one sample at a time is in memory.

    The yardstick of each measure is its value for as many real images that are not in the reference. Several samples give each
    measure a standard deviation, and its yardstick too, as far as there are other real images. Deterministic. Raises
    ValueError as `metrics.measure` does, and for `against` held-out images where there are none.
    """
    comparison, size = None, 0
    results: list[_Result] = []
    nearest: list[tuple[Pair, NDArray[np.uint8]]] = []
    for sample in samples:
        if comparison is None:
            size = len(sample.images)
            comparison = _Comparison(real, extractor, size, against or real.default_side, classifier, progress)
        result = comparison.measure(sample, turn=len(results))
        before = len(results) * size
        nearest += [
            (Pair(before + pair.generated, pair.training, pair.ratio), sample.images[pair.generated]) for pair in result.pairs
        ]
        nearest = sorted(nearest, key=lambda item: item[0].ratio)[:_PAIRS]
        results.append(result)
    if comparison is None:
        raise ValueError("there is no sample to compare")
    protocols = _Protocols(comparison, size, class_names, seeds, np.sum([result.label_counts for result in results], axis=0))
    left_out, remarks = comparison.without_meaning()
    names = dict.fromkeys(name for result in results for name in result.values if name not in left_out)
    # A class that does not occur in the labels of a sample has no value there.
    values = {name: [result.values[name] for result in results if name in result.values] for name in names}
    shares = [result.shares for result in results if result.shares is not None]
    return Evaluation(
        [
            deviations.mean_metric(
                protocols.name(name), values[name], comparison.real[name], protocols.protocol(name), protocols.fields(name)
            )
            for name in names
        ],
        tuple(pair for pair, _ in nearest),
        np.stack([image for _, image in nearest]),
        np.mean(shares, axis=0) if shares else None,
        tuple(remarks),
    )


@dataclass(frozen=True)
class _Result:
    """The measures of one sample."""

    values: dict[str, float]
    pairs: tuple[Pair, ...]
    shares: NDArray[np.float64] | None
    label_counts: NDArray[np.int64]  # [classes], how often each class was asked for


class _Comparison:
    """Compares samples with real images, whose features and distances are computed once."""

    def __init__(
        self, real: RealImages, extractor: Extractor, size: int, against: RealSide, classifier: Classifier | None, progress: bool
    ) -> None:
        self.data, self.extractor, self.side, self.classifier, self._progress = real, extractor, against, classifier, progress
        self._images, _ = real.reference_and_baseline(against, size)
        self.references = len(self._images)
        self._reference = extractor(self._images, progress=progress)
        held_out = None if real.held_out is None else at_most(real.held_out, _MOST_QUERIES)
        self._distances = distances_of_real(real.train, held_out, shrink=_small, progress=progress)
        self._mosaics: dict[str, float] | None = None  # the measures of mosaics of real images
        self.real = defaultdict[str, list[float]](list, memorised=[PERCENTILE / 100])  # the values of samples of real images
        if classifier is not None and real.held_out is not None and real.held_out_labels is not None:
            predicted = _predict(classifier, real.held_out)
            self._add_yardstick(metrics.class_measures(predicted, real.held_out_labels, classifier.record.classes))

    def measure(self, sample: SampleSet, turn: int) -> _Result:
        _, others = self.data.reference_and_baseline(self.side, len(sample.images), turn)
        if len(others):
            self._add_yardstick(self._by_features(others)[0])
            if turn == 0:
                self._mosaics = self._by_features(mosaics.mosaics(others))[0]
            self._add_yardstick({"sliced_wasserstein": metrics.sliced_wasserstein(self._images, others)})
        values, logits = self._by_features(sample.images)
        values["sliced_wasserstein"] = metrics.sliced_wasserstein(self._images, sample.images)
        copies = memorisation(sample.images, self.data.train, self._distances, pairs=_PAIRS, shrink=_small, progress=self._progress)
        values["memorised"] = copies.share
        shares, label_counts = None, np.zeros(0, np.int64)
        if self.classifier is not None:
            classes = self.classifier.record.classes
            predicted = _predict(self.classifier, sample.images) if self.extractor.name != "classifier" else _argmax(logits)
            shares = metrics.class_shares(predicted, classes)
            values |= metrics.class_measures(predicted, sample.labels, classes)
            if sample.labels is not None:
                label_counts = np.bincount(sample.labels, minlength=classes)
            else:
                label_counts = np.zeros(classes, np.int64)
        return _Result(values, copies.pairs, shares, label_counts)

    def without_meaning(self) -> tuple[tuple[str, ...], list[str]]:
        """Measures to leave out, and why."""
        if self._mosaics is None:
            return (), []
        return mosaics.without_meaning(float(np.mean(self.real["precision"])), self._mosaics["precision"])

    def _add_yardstick(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.real[name].append(value)

    def _by_features(self, images: NDArray[np.uint8]) -> tuple[dict[str, float], NDArray[np.float32] | None]:
        features = self.extractor.extract(images, progress=self._progress)
        inception = self.extractor.name == "inception"
        return metrics.measure(self._reference, features.values, logits=features.logits, inception=inception), features.logits


@dataclass(frozen=True)
class _Protocols:
    """The protocol of each measure, for people."""

    comparison: _Comparison
    size: int  # images of a sample
    class_names: tuple[str, ...]
    seeds: str
    label_counts: NDArray[np.int64]  # [classes], how often each class was asked for in all samples together

    def name(self, key: str) -> str:
        """The name of a measure in the manifest, which has the name of a class where `key` has its number."""
        measure, slash, label = key.partition("/")
        return f"{measure}/{self._class(label)}" if slash else key

    def protocol(self, key: str) -> str:
        against = self.comparison
        counts = against.data.describe_comparison(self.size, against.references, against.side, self.seeds)
        measure, slash, label = key.partition("/")
        if measure == "sliced_wasserstein":
            return f"pixels at 16x16 in [-1, 1], 512 directions; {counts}; equal numbers of each"
        if measure == "memorised":
            return self._memorisation()
        if measure in ("share_error", "label_accuracy"):
            purpose = against.data.describe_purpose(against.data.default_side, self.seeds)
            classifier = f"classifier ({against.classifier}); {self.size} generated pictures, {purpose}"
            if slash:
                return f"of {self.label_counts[int(label)]} asked for as {self._class(label)}; {classifier}"
            if measure == "label_accuracy":
                return f"drawn as the class asked for; {classifier}"
            return f"largest difference of a class's share from 1/{len(self.label_counts)}; {classifier}"
        more = metrics.parameters(measure, against.references, self.size)
        return f"{against.extractor.protocol}; {counts}" + (f"; {more}" if more else "")

    def fields(self, key: str) -> Protocol:
        """Fields of the protocol of a measure."""
        against, measure = self.comparison, key.partition("/")[0]
        by_class, by_copies = measure in ("share_error", "label_accuracy"), measure == "memorised"
        side = against.data.default_side if by_class or by_copies else against.side
        no_features = by_class or by_copies or measure == "sliced_wasserstein"
        return Protocol(
            features=None if no_features else against.extractor.protocol,
            generated=self.size,
            references=None if by_class else len(against.data.train) if by_copies else against.references,
            against=None if by_class else "training" if by_copies else side,
            purpose=against.data.part if side == "held-out" else "selection",
            seeds=self.seeds,
        )

    def _class(self, label: str) -> str:
        return self.class_names[int(label)] if self.class_names else label

    def _memorisation(self) -> str:
        data = self.comparison.data
        beside = "training pictures and all others" if data.held_out is None else "held-out pictures"
        size = f"{SIDE}x{SIDE}" if max(data.train.shape[2:]) > SIDE else "their own size"
        return (
            f"share of {self.size} generated pictures nearer to one of {len(data.train)} training pictures than {PERCENTILE:g} % "
            f"of {beside} are; pixels at {size}, Euclidean; {data.describe_purpose(data.default_side, self.seeds)}"
        )


def _small(images: NDArray[np.generic]) -> NDArray[np.generic]:
    """Scale images to 32x32 if they are larger: pixel distances say no more at a larger size, and take long."""
    if max(images.shape[2:]) <= SIDE:
        return images
    scaled = to_input(images.astype(np.uint8), images.shape[1])
    small: NDArray[np.uint8] = ((scaled + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return small


def _predict(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The most probable class of each image, [n]."""
    return _argmax(classifier_network(classifier).extract(images).logits)


def _argmax(logits: NDArray[np.float32] | None) -> NDArray[np.int64]:
    assert logits is not None, "a classifier has logits"
    best: NDArray[np.int64] = logits.argmax(1)
    return best
