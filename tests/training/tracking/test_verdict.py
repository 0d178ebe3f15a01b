"""What is said at the end of a run."""

import json

import pytest

from gan.manifest_parts import Metric
from training.tracking.history import Point
from training.tracking.verdict import is_getting_better, verdict


def a_run(folder, distances, spread=0.1, real=2.4, mosaic=46.0):
    (folder / "config.yaml").write_text("{}")
    rows = [
        {"pictures": 1000 * (place + 1), "seconds": place, "frechet": distance, "frechet_spread": spread, "recall": 0.5}
        | {"frechet_real": real, "frechet_mosaic": mosaic, "protocol": "p"}
        for place, distance in enumerate(distances)
    ]
    (folder / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("distances", "said"),
    [
        (
            [91.0, 46.0, 40.0, 29.0, 26.0],
            ["real images have 2.4 and mosaics of their parts 46: 19% of the way", "still getting better"],
        ),
        ([91.0, 60.0, 58.0], ["no better than those yet"]),
        ([9.0, 3.0, 3.05, 3.02], ["where other real images have 2.4: close to them", "differ by no more than their spread"]),
        ([9.0], ["Fréchet distance 9 ± 0.1"]),
    ],
)
def test_how_good_it_is_beside_real_images_and_whether_more_training_helps(tmp_path, distances, said):
    text = "; ".join(verdict(a_run(tmp_path, distances), []))
    assert all(part in text for part in said)
    assert ("getting better" in text or "no more than" in text) is (len(distances) > 2)


def test_labels_and_copies_are_said_where_they_matter(tmp_path):
    labels = Metric(name="label_accuracy", value=0.197, protocol="p", real=0.677)
    copies = [Metric(name="memorised", value=share, protocol="p", real=0.01) for share in (0.02, 0.5)]
    few, many = ("; ".join(verdict(a_run(tmp_path, [5.0]), [labels, one])) for one in copies)
    assert "labels are right for 20% of the images, by a classifier that is right for 68%" in few
    assert "copies" not in few
    assert "50% of the images are nearly copies" in many


def test_a_run_that_was_not_measured_has_none(tmp_path):
    assert verdict(tmp_path, []) == []


@pytest.mark.parametrize(
    ("distances", "better"),
    [([9, 8, 7], True), ([9, 8, 7.9], False), ([9, 8], None), ([9, 8, 7, 6, 6, 5.95], False), ([1, 2, 3], False)],
)
def test_getting_better_is_by_more_than_the_spread(distances, better):
    points = [Point(place, place, distance, 0.5, 0.5, spread=0.1, recall_spread=0.02) for place, distance in enumerate(distances)]
    assert is_getting_better(points) is better


@pytest.mark.parametrize(
    ("recalls", "better"), [([0.3, 0.6, 0.66, 0.7, 0.7, 0.79], True), ([0.5, 0.5, 0.5, 0.5, 0.51, 0.52], False)]
)
def test_more_variety_is_better_too(recalls, better):
    """As emoji had it: the distance stood at 0.88, 0.98, 0.95, 0.78 with spreads of 0.1, while recall rose from 0.62 to 0.79."""
    distances = [1.7, 1.2, 0.88, 0.98, 0.95, 0.83]
    points = [
        Point(place, place, distance, 0.5, recall, spread=0.1, recall_spread=0.02)
        for place, (distance, recall) in enumerate(zip(distances, recalls, strict=True))
    ]
    assert is_getting_better(points) is better
