"""Tables of people's attributes: what columns mean, and what cannot be used."""

import numpy as np
import pytest

from training.data.tables import read_table
from training.directions.scores import targets
from training.errors import UsageError


def table(tmp_path, header, rows, separator=","):
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(separator.join(map(str, row)) for row in [header, *rows]))
    return read_table(path)


def of(tmp_path, cells, name="smile", wanted=None, separator=","):
    rows = [(place, cell) for place, cell in enumerate(cells)]
    found, passed = targets(table(tmp_path, ("seed", name), rows, separator), wanted, None)
    return {one.attribute.name: one for one in found}, passed


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_numbers_are_numbers(tmp_path, separator):
    found, _ = of(tmp_path, [*range(20), ""], separator=separator)
    assert not found["smile"].attribute.yes_or_no
    np.testing.assert_array_equal(found["smile"].values, [*range(20), np.nan])


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("True", "FALSE"), ("1", "0"), ("1", "-1")])
def test_yes_and_no(tmp_path, yes, no):
    found, _ = of(tmp_path, [yes, no] * 10 + [""])
    assert found["smile"].attribute.yes_or_no
    np.testing.assert_array_equal(found["smile"].values, [1, 0] * 10 + [np.nan])


def test_each_word_is_an_attribute(tmp_path):
    found, _ = of(tmp_path, ["Red", "dark brown"] * 10 + [""], "hairColor")
    assert list(found) == ["hair-color-red", "hair-color-dark-brown"]
    np.testing.assert_array_equal(found["hair-color-red"].values, [1, 0] * 10 + [np.nan])


def test_colours_have_a_luminance_too(tmp_path):
    found, _ = of(tmp_path, ["#000000", "#ffffff"] * 10, "skin")
    assert list(found) == ["skin-light", "skin-000000", "skin-ffffff"]
    assert found["skin-light"].values[:2].tolist() == pytest.approx([0, 255])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("黒", "白"), ["fur-data", "fur-data-2"]),
        (("A+", "A-"), ["fur-a", "fur-a-2"]),
        (("x" * 120, "x" * 121), ["fur-" + "x" * 92, "fur-" + "x" * 92 + "-2"]),
    ],
)
def test_words_that_names_cannot_spell_have_names_of_their_own(tmp_path, words, names):
    found, _ = of(tmp_path, list(words) * 10, "fur")
    assert sorted(found) == names
    assert {one.attribute.about for one in found.values()} == {f"fur: towards {word}" for word in words}


def test_columns_have_names_that_nothing_else_has(tmp_path):
    rows = [(place, place, -place, place % 7) for place in range(20)]
    read = table(tmp_path, ("seed", "毛色", "明るさ", "brightness"), rows)
    found, _ = targets(read, None, None, taken=["brightness"])
    assert [one.attribute.name for one in found] == ["data", "data-2", "brightness-2"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_in_the_encodings_of_spreadsheets(tmp_path, encoding):
    path = tmp_path / "scores.csv"
    path.write_bytes('seed;größe\r\n1;"2\n3"\r\n2;\u2028\r\n'.encode(encoding))
    assert read_table(path).rows == [{"seed": "1", "größe": "2\n3"}, {"seed": "2", "größe": ""}]


def test_a_table_in_another_encoding_is_told_which_would_do(tmp_path):
    (tmp_path / "scores.csv").write_bytes("seed,größe\n1,2\n".encode("cp1252"))
    with pytest.raises(UsageError, match=r"scores\.csv cannot be read .*it is not UTF-8; save it as UTF-8"):
        read_table(tmp_path / "scores.csv")


def test_any_word_may_be_a_yes(tmp_path):
    found, _ = of(tmp_path, [f"variant{n}" if n % 2 else "" for n in range(100)], "glasses", ["glasses:any"])
    np.testing.assert_array_equal(found["glasses"].values, [n % 2 for n in range(100)])


def test_columns_that_cannot_be_used_are_passed_over_or_refused_if_asked_for(tmp_path):
    assert of(tmp_path, ["5"] * 30)[1] == ["smile: it is the same in all rows, or nearly so"]
    with pytest.raises(UsageError, match=r"the column smile of .* cannot be used, since it is the same in all rows"):
        of(tmp_path, ["5"] * 30, wanted=["smile"])
    with pytest.raises(UsageError, match="it has 40 different words, more than 30; smile:any takes any of them for a yes"):
        of(tmp_path, [f"word{n}" for n in range(40)], wanted=["smile"])
    with pytest.raises(UsageError, match="has no column nose, it has smile"):
        of(tmp_path, range(30), wanted=["nose"])


def test_classes_have_what_differs_in_them(tmp_path):
    rows = [(f"{n}.png", "cat" if n < 40 else "dog", "yes" if n % 2 and n < 40 else "no", n) for n in range(80)]
    found, passed = targets(table(tmp_path, ("file", "kind", "hat", "size"), rows), ["hat", "size"], ["cat", "dog"])
    hat, size = found
    assert passed == []
    assert hat.attribute.classes == {0}
    assert np.isnan(hat.values[40:]).all()
    assert size.attribute.classes == {0, 1}
    assert targets(table(tmp_path, ("file", "kind", "hat", "size"), rows), ["hat"], None)[0][0].attribute.classes is None


@pytest.mark.parametrize("header", [("smile", "frown"), ("seed", "file", "smile")])
def test_a_table_must_say_which_images_it_is_about(tmp_path, header):
    with pytest.raises(UsageError, match=r"scores\.csv needs rows, and one column called seed .* or file"):
        table(tmp_path, header, [("1",) * len(header)])


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\xd8")
    for name in ("a.csv", "missing.csv"):
        with pytest.raises(UsageError, match=f"{name} cannot be read as a table"):
            read_table(tmp_path / name)
