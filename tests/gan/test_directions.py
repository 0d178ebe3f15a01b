"""Moves along directions: what they do to rows, and what is refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from gan import model_folder
from gan.directions import Directions
from gan.errors import ModelFolderError
from gan.latents import InputSpec, inputs_of_seeds, join, select
from gan.manifest import DIRECTIONS
from gan.manifest_parts import Direction
from tests.conftest import Trained

SIZE = 100


def unit(place, size=SIZE):
    return np.eye(size, dtype=np.float32)[place]


def directions(**arrays):
    return Directions({name: np.asarray(array, np.float32) for name, array in arrays.items()}, "normal")


def rows(seeds=range(4), classes=None):
    return inputs_of_seeds(seeds, InputSpec(SIZE, classes=classes))


def test_a_normal_latent_vector_keeps_its_length_and_turns_towards_the_direction():
    before = rows()
    after = directions(a=unit(3)).moved(before, {"a": 2.0})
    assert after["z"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(after["z"], axis=1), np.linalg.norm(before["z"], axis=1), rtol=1e-6)
    expected = before["z"] + 2 * unit(3)
    expected *= np.linalg.norm(before["z"], axis=1, keepdims=True) / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(after["z"], expected, rtol=1e-5, atol=1e-6)


def test_a_uniform_latent_vector_is_cut_off():
    before = {"z": np.full((2, SIZE), 0.5, np.float32)}
    after = Directions({"a": unit(0)}, "uniform").moved(before, {"a": [3.0, -1.0]})
    assert after["z"][:, 0].tolist() == [1.0, -0.5]
    np.testing.assert_array_equal(after["z"][:, 1:], before["z"][:, 1:])


def test_styles_move_in_every_layer_and_keep_no_length():
    styles = np.random.default_rng(0).standard_normal((3, 6, 8)).astype(np.float32)
    before = {"z": rows(range(3))["z"], "ws": styles}
    after = directions(a=2 * unit(1, 8)).moved(before, {"a": np.array([1, 0, -2], np.float32)})
    step = np.array([2, 0, -4])[:, None, None] * unit(1, 8)
    np.testing.assert_allclose(after["ws"], styles + step, rtol=1e-6)
    np.testing.assert_array_equal(after["z"], before["z"])


def test_each_class_has_its_own_direction():
    before = rows(classes=3)
    before["label"] = np.array([0, 1, 2, 1])
    array = np.stack([unit(0), unit(1), np.zeros(SIZE)])
    found = directions(a=array)
    after = found.moved(before, {"a": 3.0})
    changes = np.abs(after["z"] - before["z"]).argmax(1)
    assert changes[[0, 1, 3]].tolist() == [0, 1, 1]
    np.testing.assert_array_equal(after["z"][2], before["z"][2])
    assert [found.has_effect("a", label) for label in (0, 1, 2)] == [True, True, False]
    with pytest.raises(ValueError, match="each class has its own direction a: give the label"):
        found.moved({"z": before["z"]}, {"a": 1.0})


def test_moves_add_up_and_there_and_back_is_nearly_where_it_began():
    found = directions(a=unit(0), b=unit(1))
    both = found.moved(rows(), {"a": 1.0, "b": -1.0})["z"]
    diagonal = directions(c=unit(0) - unit(1)).moved(rows(), {"c": 1.0})["z"]
    np.testing.assert_allclose(both, diagonal, rtol=1e-6)
    back = found.moved(found.moved(rows(), {"a": 0.5}), {"a": -0.5})["z"]
    assert np.abs(back - rows()["z"]).max() < 0.1


def test_a_row_that_does_not_move_stays_bit_for_bit_and_nothing_that_came_in_changes():
    before = rows()
    copy = before["z"].copy()
    after = directions(a=unit(0)).moved(before, {"a": np.array([0, 1, 0, 1], np.float32)})
    np.testing.assert_array_equal(after["z"][[0, 2]], copy[[0, 2]])
    np.testing.assert_array_equal(before["z"], copy)
    assert (after["z"][[1, 3]] != copy[[1, 3]]).any()
    np.testing.assert_array_equal(directions().moved(before, {})["z"], copy)


def test_a_row_moves_the_same_alone_and_beside_others():
    found = directions(a=np.random.default_rng(1).standard_normal(SIZE) / 10)
    many = rows(range(33))
    amounts = np.linspace(-3, 3, 33, dtype=np.float32)
    together = found.moved(many, {"a": amounts})
    alone = join([found.moved(select(many, slice(i, i + 1)), {"a": amounts[i : i + 1]}) for i in range(33)])
    np.testing.assert_array_equal(together["z"], alone["z"])


@pytest.mark.parametrize("amount", [3.5, -4.0, float("nan"), np.array([0, 0, 0, 9], np.float32)])
def test_an_amount_out_of_range_is_refused(amount):
    with pytest.raises(ValueError, match="a move along a goes from -3 to 3"):
        directions(a=unit(0)).moved(rows(), {"a": amount})


def test_a_direction_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="there is no direction b: take a"):
        directions(a=unit(0)).moved(rows(), {"b": 1.0})


def folder_with(path, arrays, listed, raw=None):
    """Give a model folder directions: the file, and what its manifest lists."""
    if raw is None:
        save_file(arrays, path / DIRECTIONS)
    else:
        (path / DIRECTIONS).write_bytes(raw)
    manifest = json.loads((path / "model.json").read_text())
    about = [Direction(name=name, kind="regression", about="").model_dump() for name in listed]
    manifest |= {"directions": about, "files": manifest["files"] | model_folder.digests(path, [DIRECTIONS])}
    (path / "model.json").write_text(json.dumps(manifest))
    return model_folder.read(path)


def test_a_folder_without_directions_has_none(trained: Trained):
    assert Directions.read(model_folder.read(trained.model)).names == []


def test_directions_are_read_in_the_order_of_the_manifest(short: Trained):
    found = Directions.read(folder_with(short.model, {"a": unit(0), "b": unit(1)}, ["b", "a"]))
    assert found.names == ["b", "a"]
    assert (found.moved(rows(), {"b": 1.0})["z"][:, 1] > rows()["z"][:, 1]).all()


@pytest.mark.parametrize(
    ("arrays", "listed", "raw", "reason"),
    [
        ({"a": unit(0)}, ["a", "b"], None, "has the directions a, and the manifest a, b"),
        ({"a": unit(0)[:7]}, ["a"], None, r"has float32 \[7\] for a"),
        ({"a": unit(0).astype(np.float64)}, ["a"], None, r"has float64 \[100\] for a"),
        ({"a": np.full(SIZE, np.nan, np.float32)}, ["a"], None, "has values for a that are not finite"),
        ({}, ["a"], b"no safetensors", "is no safetensors file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(short: Trained, arrays, listed, raw, reason):
    folder = folder_with(short.model, arrays, listed, raw)
    with pytest.raises(ModelFolderError, match=rf"directions\.safetensors {reason}.*python -m training\.directions"):
        Directions.read(folder)


def test_moves_of_a_model_with_attributes_change_no_other_component():
    before = {"z": np.array([[0.5, -1.0, 2.0]], np.float32)}
    after = Directions({"a": unit(0)[:3]}, "normal", on_sphere=False).moved(before, {"a": 2.0})["z"]
    np.testing.assert_array_equal(after, [[2.5, -1.0, 2.0]])
