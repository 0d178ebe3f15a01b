"""Generated pictures beside real ones -> every measurement there is of them, each with its protocol and a yardstick."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gan.artifact import Metric
from training import metrics
from training.classifier import SIDE, Classifier, prepare
from training.features import Extractor, Features, classifier_network
from training.memorisation import PERCENTILE, Memorisation, memorisation

Against = Literal["held-out", "training"]

_MOST_QUERIES = 5_000  # held-out pictures whose nearest training picture is looked for
_SEED = 2020


def _some(pictures: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    if len(pictures) <= most:
        return pictures
    return pictures[np.sort(np.random.RandomState(_SEED).permutation(len(pictures))[:most])]


@dataclass(frozen=True)
class Real:
    """The real pictures of a data set."""

    train: NDArray[np.uint8]  # [n, c, h, w], what the model learnt from
    held_out: NDArray[np.uint8] | None = None  # [h, c, h, w], what it did not; None if there are none
    held_out_labels: NDArray[np.int64] | None = None  # [h], if there are labels
    about: str = ""  # which pictures these are, for the protocol

    @property
    def side(self) -> Against:
        """What to compare with, unless something else is asked for."""
        return "training" if self.held_out is None else "held-out"

    def sides(self, against: Against, n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What to compare `n` generated pictures with, and others of the same data for the yardstick: n of each, or all there are.

        Raises ValueError for held-out pictures that are not there.
        """
        if against == "held-out":
            if self.held_out is None:
                raise ValueError("there are no held-out pictures to compare with: compare with training pictures")
            return _some(self.held_out, n), _some(self.train, n)
        if self.held_out is not None:
            return _some(self.train, n), _some(self.held_out, n)
        places = np.random.RandomState(_SEED).permutation(len(self.train))
        half = min(n, max(len(places) // 2, metrics.FEWEST))
        others = places[half : half + n] if len(places) - half >= metrics.FEWEST else places[:0]
        return self.train[np.sort(places[:half])], self.train[np.sort(others)]

    def against(self, generated: int, references: int, side: Against) -> str:
        """What a protocol says of the pictures."""
        return f"{generated} generated against {references} {side} pictures" + (f" of {self.about}" if self.about else "")


@dataclass(frozen=True)
class Assessment:
    """What was found."""

    measurements: list[Metric]
    memorisation: Memorisation
    class_shares: NDArray[np.float64] | None  # [classes], of the generated pictures as a classifier sees them


def match_channels(pictures: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey [n, 1, h, w] repeated to RGB where 3 are wanted. Raises ValueError for any other difference."""
    if pictures.shape[1] == channels:
        return pictures
    if (pictures.shape[1], channels) == (1, 3):
        return pictures.repeat(3, 1)
    raise ValueError(f"the pictures have {pictures.shape[1]} channels, the data has {channels}")


def assess(
    generated: NDArray[np.uint8],  # [m, c, h, w]
    real: Real,  # of as many channels and the same size
    extractor: Extractor,
    *,
    against: Against | None = None,  # None: held-out pictures where there are any
    labels: NDArray[np.int64] | None = None,  # [m], what a conditional model was asked for
    classifier: Classifier | None = None,  # of the data's classes; needed for what is said of classes
    class_names: tuple[str, ...] = (),
    progress: bool = False,
) -> Assessment:
    """Compare by features, by pixels, by nearest neighbours and, with a classifier, by class.

    The yardstick of each number is what as many real pictures get that are not part of the reference. Deterministic. Raises
    ValueError as `metrics.measure` does, and for `against` held-out pictures that are not there.
    """
    against = against or real.side
    reference, others = real.sides(against, len(generated))
    counts = real.against(len(generated), len(reference), against)
    features = extractor.extract(generated, progress=progress)
    found = _by_features(
        features,
        extractor(reference, progress=progress),
        extractor.extract(others, progress=progress) if len(others) else None,
        extractor,
        counts,
    )
    found.append(
        Metric(
            name="sliced_wasserstein",
            value=metrics.sliced_wasserstein(reference, generated),
            protocol=f"pixels at 16x16 in [-1, 1], 512 directions; {counts}, equal numbers of each",
            real=metrics.sliced_wasserstein(reference, others) if len(others) else None,
        )
    )
    copies = memorisation(
        generated,
        real.train,
        None if real.held_out is None else _some(real.held_out, _MOST_QUERIES),
        shrink=_small,
        progress=progress,
    )
    found.append(Metric(name="memorised", value=copies.share, protocol=_of_copies(real, len(generated)), real=PERCENTILE / 100))
    shares = None
    if classifier is not None:
        seen = features if extractor.name == "classifier" else classifier_network(classifier).extract(generated, progress=progress)
        by_class, shares = _by_class(_logits(seen), labels, classifier, class_names, real)
        found += by_class
    return Assessment(found, copies, shares)


def _by_features(
    generated: Features, reference: NDArray[np.float32], others: Features | None, extractor: Extractor, counts: str
) -> list[Metric]:
    inception = extractor.name == "inception"
    values = metrics.measure(reference, generated.values, logits=generated.logits, inception=inception)
    real = {} if others is None else metrics.measure(reference, others.values, logits=others.logits, inception=inception)
    found = []
    for name, value in values.items():
        more = metrics.parameters(name, len(reference), len(generated.values))
        protocol = f"{extractor.protocol}; {counts}" + (f"; {more}" if more else "")
        found.append(Metric(name=name, value=value, protocol=protocol, real=real.get(name)))
    return found


def _of_copies(real: Real, generated: int) -> str:
    beside = "training pictures and all others" if real.held_out is None else "held-out pictures"
    size = f"{SIDE}x{SIDE}" if max(real.train.shape[2:]) > SIDE else "their own size"
    return (
        f"share of {generated} generated pictures nearer to one of {len(real.train)} training pictures than {PERCENTILE:g} % of "
        f"{beside} are; pixels at {size}, Euclidean"
    )


def _small(pictures: NDArray[np.generic]) -> NDArray[np.generic]:
    """At 32x32 if they are larger: distances of pixels say no more at a larger size, and take long."""
    if max(pictures.shape[2:]) <= SIDE:
        return pictures
    scaled = prepare(pictures.astype(np.uint8), pictures.shape[1])
    small: NDArray[np.uint8] = ((scaled + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return small


def _logits(features: Features) -> NDArray[np.float32]:
    assert features.logits is not None, "a classifier has logits"
    return features.logits


def _by_class(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    classifier: Classifier,
    class_names: tuple[str, ...],
    real: Real,
) -> tuple[list[Metric], NDArray[np.float64]]:
    seen = logits.argmax(1)
    classes = classifier.record.classes
    shares = class_shares(seen, classes)
    protocol = f"classifier ({classifier}); {len(seen)} generated pictures"
    held_out = real.held_out is not None and real.held_out_labels is not None
    real_seen = (
        _logits(classifier_network(classifier).extract(real.held_out)).argmax(1) if held_out and real.held_out is not None else None
    )
    found = [
        Metric(
            name="share_error",
            value=float(np.abs(shares - 1 / classes).max()),
            protocol=f"largest difference of a class's share from 1/{classes}; {protocol}",
            real=None if real_seen is None else float(np.abs(class_shares(real_seen, classes) - 1 / classes).max()),
        )
    ]
    if labels is not None:
        overall, each = label_accuracy(seen, labels, classes)
        real_overall: float | None = None
        real_each: dict[int, float] = {}
        if real_seen is not None and real.held_out_labels is not None:
            real_overall, real_each = label_accuracy(real_seen, real.held_out_labels, classes)
        asked = f"drawn as the class asked for; {protocol}"
        found.append(Metric(name="label_accuracy", value=overall, protocol=asked, real=real_overall))
        for label, value in each.items():
            name = class_names[label] if class_names else str(label)
            asked = f"of {int((labels == label).sum())} asked for as {name}; {protocol}"
            found.append(Metric(name=f"label_accuracy/{name}", value=value, protocol=asked, real=real_each.get(label)))
    return found, shares


def class_shares(seen: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The share of each class among pictures that a classifier takes for `seen` [n] -> [classes], their sum 1."""
    return np.bincount(seen, minlength=classes) / len(seen)


def label_accuracy(seen: NDArray[np.int64], asked: NDArray[np.int64], classes: int) -> tuple[float, dict[int, float]]:
    """The share of pictures seen as the class asked for, of all [n] and by class, for classes that were asked for."""
    right = seen == asked
    return float(right.mean()), {label: float(right[asked == label].mean()) for label in range(classes) if (asked == label).any()}
