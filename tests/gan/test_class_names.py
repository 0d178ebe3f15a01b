"""Classes are found by the names that people write."""

import unicodedata

import pytest

from gan.class_names import ClassIndex

MAC = unicodedata.normalize("NFD", "Ärmel")


@pytest.mark.parametrize(
    ("names", "name", "index"),
    [
        (["Bag", MAC], "Ärmel", 1),
        (["Bag", MAC], MAC, 1),
        (["Bag", "Ärmel"], MAC, 1),
        (["Bag", MAC], "ärmel", 1),
        (["Bag", MAC], "BAG", 0),
        (["Straße", "x"], "STRASSE", 0),
        (["bag", "Bag"], "Bag", 1),
        (["bag", "Bag"], "BAG", None),
        ([MAC, "Ärmel"], "Ärmel", 1),
        ([MAC, "Ärmel"], MAC, 0),
        (["10", "2"], "2", 1),
        (["Bag"], "Bags", None),
        (["Bag"], "", None),
    ],
)
def test_a_class_is_found_by_what_looks_like_its_name(names, name, index):
    assert ClassIndex(names).find(name) == index
