"""Attributes that latent vectors choose: each value as often as its share."""

import numpy as np
import pytest
from pydantic import ValidationError

from gan.attribute_table import AttributeTable, chosen

TABLE = AttributeTable(
    columns=["hair", "glasses"],
    shares=[
        [{"short": 0.2, "long": 0.5, "none": 0.3}, {"": 0.9, "round": 0.1}],
        [{"curly": 1.0}, {"": 0.25, "square": 0.75}],
    ],
)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("label", [0, 1])
def test_values_are_chosen_as_often_as_they_occur(distribution, label):
    random = np.random.default_rng(0)
    n = 100_000
    z = random.standard_normal((n, 5)) if distribution == "normal" else random.uniform(-1, 1, (n, 5))
    places = chosen(z.astype(np.float32), np.full(n, label), TABLE.thresholds(distribution))
    for column, shares in enumerate(TABLE.shares[label]):
        found = np.bincount(places[:, column], minlength=len(shares)) / n
        np.testing.assert_allclose(found, list(shares.values()), atol=0.005)


def test_one_component_chooses_one_attribute():
    z = np.zeros((3, 4), np.float32)
    z[:, 1] = [-9, 0, 9]
    places = chosen(z, np.zeros(3, np.int64), TABLE.thresholds("normal"))
    np.testing.assert_array_equal(places, [[1, 0], [1, 0], [1, 1]])


def test_values_of_all_classes_stand_one_after_another():
    np.testing.assert_array_equal(TABLE.counts, [[3, 2], [1, 2]])
    np.testing.assert_array_equal(TABLE.firsts, [[0, 3], [5, 6]])
    assert TABLE.size == 8


def test_a_model_without_labels_has_one_class():
    table = AttributeTable(columns=["hair"], shares=[[{"short": 0.5, "long": 0.5}]])
    np.testing.assert_array_equal(chosen(np.array([[-1], [1]], np.float32), None, table.thresholds("normal")), [[0], [1]])


@pytest.mark.parametrize("shares", [[], [[{"a": 1.0}]], [[{"a": 1.0}, {}]]])
def test_every_class_has_shares_of_every_column(shares):
    with pytest.raises(ValidationError):
        AttributeTable(columns=["hair", "glasses"], shares=shares)
