import json
import os
import shutil

import pytest
from pydantic import ValidationError

from gan.artifact import ModelFolderError
from serving.models import Models, check_in_a_child, verify
from serving.settings import Settings


@pytest.fixture
def two_models(trained, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(trained.model, tmp_path / name)
        path = tmp_path / name / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "name": name}))
    return tmp_path


def test_several_models_need_a_default(two_models):
    with pytest.raises(ModelFolderError, match=r"there are several models in .* \(first, second\): set GAN_DEFAULT_MODEL to one"):
        verify(Settings(models=two_models))
    models = Models(Settings(models=two_models, default_model="second"))
    assert models.choose(None).folder.manifest.name == "second"
    assert models.choose("first").folder.manifest.name == "first"
    assert [model.folder.manifest.name for model in models.all()] == ["first", "second"]


def test_of_several_the_one_that_ships_is_the_default(two_models):
    path = two_models / "first" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "fashion-mnist"}))
    assert verify(Settings(models=two_models))[1] == "fashion-mnist"
    assert verify(Settings(models=two_models, default_model="second"))[1] == "second"


def test_a_default_that_is_not_there(two_models):
    with pytest.raises(ModelFolderError, match=r"GAN_DEFAULT_MODEL is third, but .* holds first, second: set it to one of these"):
        verify(Settings(models=two_models, default_model="third"))


def test_two_folders_with_one_name(two_models):
    shutil.copytree(two_models / "first", two_models / "copy")
    with pytest.raises(ModelFolderError, match="hold models of one name, first: remove one of them"):
        verify(Settings(models=two_models))


def test_no_model_at_all(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelFolderError, match=r"there is no model in .*: train one"):
            verify(Settings(models=folder))


def test_pictures_of_another_shape_than_the_manifest_says(two_models):
    path = two_models / "first" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "height": 28}))
    with pytest.raises(ModelFolderError, match=r"first draws pictures of another shape, \(1, 32, 32, 1\), than its manifest says"):
        Models(Settings(models=two_models, default_model="second"))


def test_the_check_in_a_child_says_what_loading_would(two_models, trained):
    check_in_a_child(Settings(models=trained.models))
    with pytest.raises(ModelFolderError, match="set GAN_DEFAULT_MODEL to one"):
        check_in_a_child(Settings(models=two_models))


def test_a_child_that_dies_is_not_silent(monkeypatch, trained):
    monkeypatch.setattr("serving.models.Models", lambda _: os._exit(9))
    with pytest.raises(ModelFolderError, match=r"ended the process \(exit status 9\)"):
        check_in_a_child(Settings(models=trained.models))


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_MODELS", str(tmp_path))
    monkeypatch.setenv("GAN_MAX_N", "8")
    monkeypatch.setenv("GAN_DEFAULT_MODEL", "")  # as an empty line in a compose file gives it
    assert (Settings().models, Settings().max_n, Settings().default_model) == (tmp_path, 8, None)
    monkeypatch.setenv("GAN_RUNTIME", "magic")
    with pytest.raises(ValidationError, match="runtime"):
        Settings()
