import numpy as np
import pytest

from gan.manifest_parts import Metric
from tests.conftest import SMALL_DATA
from training import data
from training.evaluation import deviations, feature_extractors, metrics
from training.evaluation.checkpoint_evaluator import CheckpointEvaluator
from training.evaluation.classifier import Schedule, train
from training.evaluation.comparison import evaluate
from training.evaluation.real_images import RealImages, SampleSet, match_channels

QUICK = Schedule(epochs=8, width=8, batch_size=32)


@pytest.fixture(scope="module")
def small():
    return data.load(str(SMALL_DATA), (32, 32), labelled=True)


@pytest.fixture(scope="module")
def split(small):
    """256 images to train on, 156 held out, 100 that play the generated ones."""
    return RealImages(small.images[:256], small.images[256:412], small.labels[256:412])


@pytest.fixture(scope="module")
def classifier(small, split):
    held_out = (split.held_out, split.held_out_labels)
    return train(split.train, small.labels[:256], classes=10, held_out=held_out, schedule=QUICK)


def by_name(found):
    return {one.name: one for one in found.measurements}


def test_fresh_real_images_measure_like_real_ones(small, split, classifier):
    found = evaluate(
        [SampleSet(small.images[412:], small.labels[412:])],
        split,
        feature_extractors.classifier_network(classifier),
        classifier=classifier,
        class_names=small.classes,
    )
    named = by_name(found)
    for name in ("recall", "coverage", "score", "label_accuracy"):
        assert named[name].value == pytest.approx(named[name].real, rel=0.25)
    assert named["frechet"].value < 3 * named["frechet"].real
    assert named["memorised"].value <= 0.04
    assert all(one.deviation is None for one in found.measurements)  # one sample says nothing of others
    assert named["memorised"].real == 0.01
    assert named["label_accuracy"].real == pytest.approx(classifier.record.accuracy)
    assert {name for name in named if name.startswith("label_accuracy/")} == {f"label_accuracy/{name}" for name in small.classes}
    assert found.class_shares.sum() == pytest.approx(1)
    assert named["share_error"].value == pytest.approx(np.abs(found.class_shares - 0.1).max())


def test_copies_of_training_images_are_found_out(split):
    found = evaluate([SampleSet(split.train[:50])], split, feature_extractors.random_network())
    assert by_name(found)["memorised"].value == 1
    assert [pair.ratio for pair in found.pairs] == [0] * 16
    assert np.array_equal(found.suspects, split.train[[pair.training for pair in found.pairs]])
    assert found.class_shares is None


def test_every_number_says_how_it_was_found(small, split):
    generated = [SampleSet(small.images[412:])]
    named = by_name(evaluate(generated, split, feature_extractors.random_network()))
    features_of = "features of a fixed random network, pictures at 32x32 as RGB"
    counts = "100 generated against 100 held-out pictures, selection"
    assert named["recall"].protocol == f"{features_of}; {counts}; k = 5"
    assert "mean over 100 subsets of 100" in named["kernel_distance"].protocol
    assert "one of 256 training pictures than 1 % of held-out pictures" in named["memorised"].protocol
    named = by_name(evaluate(generated, split, feature_extractors.random_network(), against="training"))
    assert "100 generated against 100 training pictures" in named["frechet"].protocol
    # Nothing is held out: one part of the set is the reference and another the yardstick.
    alone = by_name(evaluate(generated, RealImages(split.train), feature_extractors.random_network()))
    assert "100 generated against 100 training pictures" in alone["frechet"].protocol
    assert alone["frechet"].real > 0
    assert "training pictures and all others are" in alone["memorised"].protocol
    with pytest.raises(ValueError, match="no held-out images"):
        evaluate(generated, RealImages(split.train), feature_extractors.random_network(), against="held-out")


def test_several_samples_give_each_number_a_deviation(small, split, classifier):
    extractor = feature_extractors.classifier_network(classifier)
    arguments = {"classifier": classifier, "class_names": small.classes, "seeds": "seeds 7 to 106"}
    samples = [SampleSet(small.images[rows], small.labels[rows]) for rows in (slice(412, 462), slice(462, 512))]
    alone = [by_name(evaluate([sample], split, extractor, **arguments)) for sample in samples]
    found = evaluate(iter(samples), split, extractor, **arguments)
    together = by_name(found)
    assert {name for name, one in together.items() if one.deviation is not None} == alone[0].keys() & alone[1].keys()
    for name in ("frechet", "recall", "memorised", "label_accuracy", "label_accuracy/Bag"):
        values = [one[name].value for one in alone]
        assert together[name].value == pytest.approx(np.mean(values))
        assert together[name].deviation == pytest.approx(np.std(values, ddof=1))
        assert together[name].protocol.endswith("; mean of 2 sets of pictures")
        assert "seeds 7 to 106" in together[name].protocol
    asked = [int(one["label_accuracy/Bag"].protocol.split()[1]) for one in alone]
    assert together["label_accuracy/Bag"].protocol.startswith(f"of {sum(asked)} asked for as Bag")
    fields = together["frechet"].measured
    assert (fields.generated, fields.references, fields.against, fields.purpose) == (50, 50, "held-out", "selection")
    assert (fields.seeds, fields.sets, fields.features) == ("seeds 7 to 106", 2, extractor.protocol)
    assert (together["memorised"].measured.against, together["memorised"].measured.features) == ("training", None)
    assert together["label_accuracy"].measured.references is None
    # The pairs are the nearest of all samples, counted through.
    copied = [SampleSet(split.train[:20] // 2 + 60), SampleSet(split.train[20:40])]
    pairs = evaluate(copied, split, feature_extractors.random_network())
    assert {pair.generated for pair in pairs.pairs} <= set(range(20, 40))
    assert np.array_equal(pairs.suspects, split.train[[pair.training for pair in pairs.pairs]])
    assert deviations.format_value(2.19234, 0.02413) == "2.192 ± 0.024"
    with pytest.raises(ValueError, match="no sample"):
        evaluate([], split, extractor)


def test_the_yardstick_is_of_as_many_sets(small):
    test = RealImages(small.images[:256], small.images[256:356], part="test")
    fresh = [SampleSet(small.images[rows]) for rows in (slice(356, 406), slice(406, 456), slice(456, 506))]
    found = evaluate(fresh, test, feature_extractors.random_network())
    # Other training images each time: 250 of the 256 are used after five turns, and then there are none.
    turns = [test.reference_and_baseline("held-out", 50, turn)[1] for turn in range(6)]
    assert [len(turn) for turn in turns] == [50] * 5 + [0]
    assert len({image.tobytes() for turn in turns for image in turn}) == len(np.unique(np.concatenate(turns), axis=0)) >= 240
    reals = [by_name(evaluate([SampleSet(turn)], test, feature_extractors.random_network()))["frechet"].value for turn in turns[:3]]
    assert by_name(found)["frechet"].real == pytest.approx(np.mean(reals))
    assert by_name(found)["frechet"].real_deviation == pytest.approx(np.std(reals, ddof=1))
    assert deviations.format_measure(by_name(found)["frechet"])[1].count(" ± ") == 1
    # Of few training images there is one set: its numbers have no deviation.
    few = RealImages(small.images[:60], small.images[256:356], part="test")
    row = by_name(evaluate(fresh, few, feature_extractors.random_network()))["frechet"]
    assert (row.deviation > 0, row.real_deviation) == (True, None)


def test_the_protocol_says_what_it_is_for(small):
    test = RealImages(small.images[:256], small.images[256:356], part="test")
    found = by_name(evaluate([SampleSet(small.images[356:456])], test, feature_extractors.random_network()))
    assert "100 generated against 100 held-out pictures, test" in found["frechet"].protocol
    assert found["memorised"].protocol.endswith("Euclidean; test")
    training = by_name(evaluate([SampleSet(small.images[356:456])], test, feature_extractors.random_network(), against="training"))
    assert "100 training pictures, selection" in training["frechet"].protocol


def test_asking_for_the_wrong_labels_is_noticed(small, split, classifier):
    extractor = feature_extractors.classifier_network(classifier)
    arguments = {"classifier": classifier, "class_names": small.classes}
    right = by_name(evaluate([SampleSet(split.held_out, split.held_out_labels)], split, extractor, **arguments))
    swapped = split.held_out_labels.copy()
    swapped[split.held_out_labels == 1], swapped[split.held_out_labels == 8] = 8, 1
    wrong = by_name(evaluate([SampleSet(split.held_out, swapped)], split, extractor, **arguments))
    assert right["label_accuracy/Trouser"].value > 0.6
    assert wrong["label_accuracy/Bag"].value < 0.2  # what was asked for as a bag are trousers
    assert wrong["label_accuracy/Sneaker"] == right["label_accuracy/Sneaker"]
    assert wrong["label_accuracy"].value < right["label_accuracy"].value


def test_label_accuracy_and_shares():
    seen, asked = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    overall, each = metrics.label_accuracy(seen, asked, classes=4)
    assert (overall, each) == (0.5, {0: 1.0, 1: pytest.approx(1 / 3)})
    assert metrics.class_shares(seen, classes=4).tolist() == [0.5, 0.25, 0.25, 0]


def test_grey_is_repeated_and_nothing_else():
    grey = np.zeros((2, 1, 4, 4), np.uint8)
    assert match_channels(grey, 3).shape == (2, 3, 4, 4)
    assert match_channels(grey, 1) is grey
    with pytest.raises(ValueError, match="have 3 channels, the data has 1"):
        match_channels(grey.repeat(3, 1), 1)


def test_large_images_are_compared_small():
    random = np.random.default_rng(0)
    large = random.integers(0, 256, (60, 3, 4, 4), np.uint8).repeat(12, 2).repeat(16, 3)
    found = evaluate([SampleSet(large[:20])], RealImages(large[20:]), feature_extractors.random_network())
    assert "pixels at 32x32" in by_name(found)["memorised"].protocol
    assert (
        by_name(evaluate([SampleSet(large[20:40])], RealImages(large[20:]), feature_extractors.random_network()))["memorised"].value
        == 1
    )


@pytest.mark.parametrize("with_held_out", [True, False])
def test_the_gauge(small, split, with_held_out):
    real = split if with_held_out else RealImages(split.train)
    checkpoint_evaluator = CheckpointEvaluator(real, feature_extractors.random_network(), size=100)
    fresh, dark, one = small.images[412:], small.images[412:] // 2, small.images[412:413].repeat(100, 0)
    found = checkpoint_evaluator.measure(fresh)
    assert set(found) == {"frechet", "recall", "frechet_spread", "recall_spread"}  # precision: see test_mosaics.py
    assert found == checkpoint_evaluator.measure(fresh.copy())
    assert checkpoint_evaluator.measure(dark)["frechet"] > 3 * max(found["frechet"], checkpoint_evaluator.real["frechet"])
    assert checkpoint_evaluator.measure(one)["recall"] == 0 < found["recall"]
    assert f"100 {'held-out' if with_held_out else 'training'} pictures" in checkpoint_evaluator.protocol
    whole = by_name(evaluate([SampleSet(fresh)], real, feature_extractors.random_network()))
    for name in ("frechet", "recall"):
        assert whole[name].value == pytest.approx(found[name])
        assert whole[name].real == pytest.approx(checkpoint_evaluator.real[name])
    # The real side was computed once, from real images that measure as perfect when they come back.
    if with_held_out:
        assert CheckpointEvaluator(
            RealImages(split.train, split.held_out[:100]), feature_extractors.random_network(), size=100
        ).measure(split.held_out[:100])["frechet"] == pytest.approx(0, abs=1e-6)


def test_the_manifest_says_what_real_images_get():
    found = [
        Metric(name="frechet", value=3.0, protocol="how", real=1.23456),
        Metric(name="score", value=2.0, protocol="otherwise"),
    ]
    again = [Metric.model_validate_json(one.model_dump_json()) for one in found]
    assert [(one.name, one.value, one.protocol, one.real) for one in again] == [
        ("frechet", 3.0, "how", 1.23456),
        ("score", 2.0, "otherwise", None),
    ]
