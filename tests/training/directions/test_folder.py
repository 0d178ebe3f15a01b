"""Directions in a model folder: added, replaced and removed, each time in one step, and nothing else changes."""

import hashlib

import numpy as np
import pytest

from gan import model_folder
from gan.directions import Directions
from gan.errors import ModelFolderError
from gan.manifest_parts import Direction
from training.directions import folder
from training.directions.finding import Found
from training.errors import UsageError


def named(name, place=0, about="something"):
    return Found(Direction(name=name, kind="regression", about=about, r2=0.5), np.eye(16, dtype=np.float32)[place])


def names(path):
    return Directions.read(model_folder.read(path)).names


def others(path):
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.iterdir()
        if file.name not in ("model.json", "directions.safetensors")
    }


def test_they_are_written_kept_replaced_and_removed(painter):
    path, _ = painter
    before, files = model_folder.read(path).manifest, others(path)
    folder.write(path, [named("a"), named("b")], keep=False)
    assert names(path) == ["a", "b"]
    folder.write(path, [named("b", 1, "another"), named("c")], keep=True)
    manifest = model_folder.read(path).manifest
    assert [(one.name, one.about) for one in manifest.directions] == [("a", "something"), ("b", "another"), ("c", "something")]
    moved = Directions.read(model_folder.read(path)).moved({"z": np.zeros((1, 16), np.float32) + 0.5}, {"b": 1.0})["z"][0]
    assert moved.argmax() == 1
    folder.remove(path, ["a", "c"])
    assert names(path) == ["b"]
    folder.write(path, [named("d")], keep=False)
    assert names(path) == ["d"]
    folder.remove(path, ["d"])
    assert model_folder.read(path).manifest == before
    assert others(path) == files
    assert not (path / "directions.safetensors").exists()


def test_a_name_that_is_not_there_is_not_removed(painter):
    path, _ = painter
    folder.write(path, [named("a")], keep=False)
    with pytest.raises(UsageError, match=r"--remove: .* has no direction b, it has a"):
        folder.remove(path, ["a", "b"])
    assert names(path) == ["a"]


def test_a_damaged_folder_stays_as_it_is(painter):
    path, _ = painter
    folder.write(path, [named("a")], keep=False)
    file = path / "directions.safetensors"
    file.write_bytes(damaged := file.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelFolderError, match=r"directions\.safetensors is damaged"):
        folder.write(path, [named("b")], keep=True)
    assert file.read_bytes() == damaged


def test_a_link_to_a_model_stays_a_link(painter, tmp_path):
    path, _ = painter
    link = tmp_path / "link"
    link.symlink_to(path)
    folder.write(link, [named("a")], keep=False)
    assert link.is_symlink()
    assert names(path) == ["a"]
