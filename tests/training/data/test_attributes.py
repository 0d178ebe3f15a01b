"""What the images of a set show, by a table of attributes."""

import csv

import numpy as np
import pytest
from PIL import Image

from training import data
from training.data.attributes import with_attributes
from training.errors import UsageError

HAIR = ["short", "long", "short", "short", "long", "none"]


@pytest.fixture
def folder(tmp_path):
    """Twelve images of two classes; the level of each is its number."""
    for number in range(12):
        name = tmp_path / "set" / ("cats" if number < 6 else "dogs") / f"{number:02}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 20 * number).save(name)
    return tmp_path / "set"


def rows(**columns):
    names = [f"{'cats' if number < 6 else 'dogs'}/{number:02}.png" for number in range(12)]
    return [{"file": name, **{key: values[place] for key, values in columns.items()}} for place, name in enumerate(names)]


def table(tmp_path, rows):
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(folder, path, wanted=(), labelled=True):
    return with_attributes(data.load(str(folder), (16, 16), labelled=labelled), path, wanted)


def test_each_class_has_its_own_values_and_shares(tmp_path, folder):
    found = read(folder, table(tmp_path, rows(hair=HAIR + ["curly"] * 5 + [""], sex=["f", "m"] * 6)))
    about = found.attributes.table
    assert about.columns == ["hair", "sex"]
    assert about.shares[0][0] == {"long": 2 / 6, "short": 3 / 6, "none": 1 / 6}
    assert about.shares[1][0] == {"": 1 / 6, "curly": 5 / 6}
    for label in (0, 1):
        for column, name in enumerate(about.columns):
            values = list(about.shares[label][column])
            shown = [values[place] for place in found.attributes.places[found.labels == label, column]]
            assert shown == {"hair": HAIR + ["curly"] * 5 + [""], "sex": ["f", "m"] * 6}[name][6 * label : 6 * label + 6]


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["a"] * 5 + ["b"] * 3 + ["c"] * 2 + ["d"] + ["e"], ["d", "b", "a", "c", "e"]),  # the most frequent in the middle
        (["", *"aaabbc"] + [""] * 5, ["", "b", "a", "c"]),
        (["10", "9", "-1", "2.5"] * 3, ["-1", "2.5", "9", "10"]),
        (["#ffffff", "#0000ff", "#ff0000", "#000000"] * 3, ["#000000", "#0000ff", "#ff0000", "#ffffff"]),
        (["#ffffff", "", "#000000"] * 4, ["", "#000000", "#ffffff"]),
    ],
)
def test_values_are_in_an_order_in_which_moves_and_truncation_mean_something(tmp_path, folder, values, order):
    (of_class,) = read(folder, table(tmp_path, rows(kind=values)), labelled=False).attributes.table.shares
    assert list(of_class[0]) == order


def test_columns_that_say_nothing_are_left_out_unless_they_are_asked_for(tmp_path, folder):
    path = table(tmp_path, rows(hair=HAIR * 2, same=["x"] * 12))
    assert read(folder, path).attributes.table.columns == ["hair"]
    with pytest.raises(UsageError, match=r"--attribute-columns: same of .* has one value in each class: leave it out"):
        read(folder, path, ["same"])
    with pytest.raises(UsageError, match=r"--attribute-columns: .* has no column hat, it has hair, same"):
        read(folder, path, ["hat"])


def test_a_table_without_a_usable_column_is_refused(tmp_path, folder):
    with pytest.raises(UsageError, match="has no column with 2 to 100 values in a class"):
        read(folder, table(tmp_path, rows(same=["x"] * 12)))


def test_columns_wanted_are_in_the_order_in_which_they_are_asked_for(tmp_path, folder):
    path = table(tmp_path, rows(hair=HAIR * 2, sex=["f", "m"] * 6))
    assert read(folder, path, ["sex", "hair", "sex"]).attributes.table.columns == ["sex", "hair"]


def test_every_image_needs_a_row(tmp_path, folder):
    given = rows(hair=HAIR * 2)
    path = table(tmp_path, [row for row in given if row["file"] not in ("cats/02.png", "dogs/07.png")])
    with pytest.raises(UsageError, match=r"no row for 2 of 12 images .*: cats/02\.png, dogs/07\.png$"):
        read(folder, path)


def test_rows_of_other_images_are_passed_over_and_order_does_not_matter(tmp_path, folder):
    given = rows(hair=HAIR * 2)
    path = table(tmp_path, [{"file": "birds/1.png", "hair": "feathers"}, *given[::-1]])
    found, straight = read(folder, path), read(folder, table(tmp_path, given))
    assert found.attributes.table == straight.attributes.table
    np.testing.assert_array_equal(found.attributes.places, straight.attributes.places)


def test_names_are_found_in_any_form_of_unicode_and_with_backslashes(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(4):
        Image.new("L", (16, 16), 60 * number).save(folder / f"e\u0301{number}.png")  # as a Mac writes an accent
    path = table(tmp_path, [{"file": f"\u00e9{number}.png", "kind": number % 2} for number in range(4)])
    np.testing.assert_array_equal(read(folder, path, labelled=False).attributes.places[:, 0], [0, 1, 0, 1])


def test_images_that_could_not_be_decoded_need_no_row(tmp_path, folder):
    (folder / "cats" / "02.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    given = [row for row in rows(hair=HAIR * 2) if row["file"] != "cats/02.png"]
    dataset = data.load(str(folder), (16, 16), labelled=True, max_bad=0.5)
    found = with_attributes(dataset, table(tmp_path, given), ())
    assert found.attributes.places.shape == (11, 1)


def test_a_set_without_files_and_a_table_about_seeds_are_refused(tmp_path, folder):
    with pytest.raises(UsageError, match="names files, and digits has none"):
        with_attributes(data.load("digits", (16, 16)), table(tmp_path, rows(hair=HAIR * 2)), ())
    path = tmp_path / "seeds.csv"
    path.write_text("seed,smile\n1,2\n2,3\n")
    with pytest.raises(UsageError, match="is about images of seeds: give a table with a column called file"):
        read(folder, path)
