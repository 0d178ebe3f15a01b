import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from gan import model_folder, runtimes
from gan.errors import ModelFolderError
from gan.latents import inputs_of_seeds
from serving.app import Api
from serving.batching import Batcher
from serving.errors import RequestError
from serving.folders import verify
from serving.metrics import metrics
from serving.models import Models
from serving.settings import Settings
from serving.startup_check import check_in_a_child
from tests.privileges import as_ordinary_user

SHIPPED = Path(__file__).parents[2] / "models" / "fashion-mnist-dcgan"


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
    assert models.get(None).folder.manifest.name == "second"
    assert models.get("first").folder.manifest.name == "first"
    assert [model.folder.manifest.name for model in models.all()] == ["first", "second"]


def test_of_several_the_one_that_ships_is_the_default(two_models):
    path = two_models / "first" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "fashion-mnist"}))
    assert verify(Settings(models=two_models))[1] == "fashion-mnist"
    assert verify(Settings(models=two_models, default_model="second"))[1] == "second"
    path = two_models / "second" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "avatars"}))
    assert verify(Settings(models=two_models))[1] == "avatars"  # though fashion-mnist is there too


def test_a_default_that_is_not_there(two_models):
    with pytest.raises(ModelFolderError, match=r"GAN_DEFAULT_MODEL is third, but .* holds first, second: set it to one of these"):
        verify(Settings(models=two_models, default_model="third"))


def said_of(left_out):
    return [str(error) for error in left_out]


def test_of_two_folders_with_one_name_one_is_served(two_models):
    shutil.copytree(two_models / "first", two_models / "copy")
    verified = verify(Settings(models=two_models, default_model="second"))
    assert verified.folders["first"].path == two_models / "first"  # the one that is called so
    (said,) = said_of(verified.left_out)
    assert said.startswith(
        f"{two_models / 'copy'} and {two_models / 'first'} hold models of one name, first, and the second is served"
    )
    (two_models / "first").rename(two_models / "zz")
    assert verify(Settings(models=two_models, default_model="second")).folders["first"].path == two_models / "copy"


def cut(folder):
    with (folder / "generator.onnx").open("r+b") as file:
        file.truncate(1000)


def forbid(folder):
    (folder / "model.json").unlink()
    (folder / "model.json").mkdir()


def leave_only_weights_of_others(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "netG.pth").touch()


def link_to_nowhere(folder):
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def say_another_shape(folder):
    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    manifest["outputs"][0]["shape"][2] = 28
    path.write_text(json.dumps(manifest))


def exchange_the_network(folder):
    """Whole, but nothing that ONNX Runtime can run."""
    (folder / "generator.onnx").write_bytes(b"no network")
    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "files": manifest["files"] | model_folder.digests(folder, ["generator.onnx"])}))


HARMS = [
    (cut, "generator.onnx is damaged"),
    (forbid, "model.json is not a file"),
    (leave_only_weights_of_others, r"second is no model folder of this program"),
    (link_to_nowhere, "second is a link to nowhere"),
    (
        say_another_shape,
        r"second generates images of another shape, \(1, 32, 32, 1\), than its manifest says: export the model again",
    ),
    (exchange_the_network, r"ONNX Runtime cannot run .*: export the model again \(python -m training.export \S+/second\)"),
]


@pytest.mark.parametrize(("harm", "said"), HARMS, ids=[harm.__name__ for harm, _ in HARMS])
def test_a_bad_folder_is_left_out_unless_it_is_the_default(two_models, harm, said):
    harm(two_models / "second")
    models = Models(Settings(models=two_models, default_model="first"))
    assert [model.folder.manifest.name for model in models.all()] == ["first"]
    (left_out,) = said_of(models.left_out)
    assert re.search(said, left_out)
    with pytest.raises(RequestError, match="there is no model 'second'; there is first@"):
        models.get("second")
    with pytest.raises(ModelFolderError, match=said):
        Models(Settings(models=two_models, default_model="second"))


def test_a_link_to_where_nobody_may_look_is_left_out(two_models, tmp_path_factory):
    away = tmp_path_factory.mktemp("away")
    (two_models / "second").rename(away / "second")
    (two_models / "second").symlink_to(away / "second")
    away.chmod(0)
    with as_ordinary_user():
        models = Models(Settings(models=two_models, default_model="first"))
    away.chmod(0o755)
    (left_out,) = said_of(models.left_out)
    assert re.search(r"cannot read \S+/second/model.json \(Permission denied\): let the user that reads it do so", left_out)


def test_a_bad_folder_is_not_the_only_model_but_the_default_if_it_is_called_so(two_models):
    cut(two_models / "second")
    assert verify(Settings(models=two_models)).default == "first"
    (two_models / "second" / "model.json").unlink()
    (two_models / "second").rename(two_models / "fashion-mnist")
    with pytest.raises(ModelFolderError, match=r"cannot read .*fashion-mnist/model.json"):
        verify(Settings(models=two_models))


def test_if_every_folder_is_bad_the_first_reason_is_given(two_models):
    for name in ("first", "second"):
        cut(two_models / name)
    with pytest.raises(ModelFolderError, match=r"first/generator.onnx is damaged"):
        verify(Settings(models=two_models))


def test_a_model_folder_in_the_place_of_the_folder_of_models(two_models):
    with pytest.raises(ModelFolderError, match=r"first is a model folder itself: set GAN_MODELS to the folder that it is in"):
        verify(Settings(models=two_models / "first"))


def test_what_was_left_out_is_logged_and_counted(two_models, caplog):
    cut(two_models / "second")
    before = metrics().reloads.labels("refused")._value.get()
    settings, batcher = Settings(models=two_models), Batcher()
    Api().open(Models(settings), batcher, settings)
    batcher.close()
    assert metrics().reloads.labels("refused")._value.get() == before + 1
    assert sum("generator.onnx is damaged" in record.message for record in caplog.records) == 1


def test_a_folder_exchanged_while_it_is_read_is_read_once_more(two_models, monkeypatch):
    """With `mv`, as docs/deploy.md has it: what is served is one whole version, under its own name."""
    new = two_models.parent / "new"
    shutil.copytree(SHIPPED, new)
    (two_models / "second").rename(two_models.parent / "second")
    plain, exchanged = model_folder.read, []

    def read(path):
        folder = plain(path)
        if not exchanged:
            exchanged.append((two_models / "first").rename(two_models.parent / "old"))
            new.rename(two_models / "first")
        return folder

    monkeypatch.setattr(model_folder, "read", read)
    (model,) = Models(Settings(models=two_models)).all()
    assert model.folder.title == plain(SHIPPED).title
    expected = runtimes.generate_images(
        runtimes.load(plain(SHIPPED), "onnx"), inputs_of_seeds(range(3), model.folder.manifest.input_spec)
    )
    assert np.array_equal(
        runtimes.generate_images(model.runtime, inputs_of_seeds(range(3), model.folder.manifest.input_spec)), expected
    )


def test_no_model_at_all(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelFolderError, match=r"there is no model in .*: train one"):
            verify(Settings(models=folder))


def test_the_check_in_a_child_says_what_loading_would(two_models, trained):
    check_in_a_child(Settings(models=trained.models))
    with pytest.raises(ModelFolderError, match="set GAN_DEFAULT_MODEL to one"):
        check_in_a_child(Settings(models=two_models))


def test_a_child_that_dies_is_not_silent(monkeypatch, trained):
    monkeypatch.setattr("serving.startup_check.Models", lambda _: os._exit(9))
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
