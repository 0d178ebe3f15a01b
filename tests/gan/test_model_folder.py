import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from gan import atomic, model_folder
from gan.errors import ModelFolderError
from gan.manifest import MANIFEST
from gan.model_folder import ONNX, WEIGHTS


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained.model, tmp_path / "model")


def change_manifest(folder, **fields):
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_an_undamaged_folder_is_read(folder):
    model = model_folder.read(folder)
    assert model.title == f"fashion-mnist-dcgan@{model.manifest.version}"
    assert model.manifest.files[WEIGHTS].startswith(model.manifest.version)
    assert model.content(ONNX) == (folder / ONNX).read_bytes()


@pytest.mark.parametrize("name", [WEIGHTS, ONNX, "generator.torchscript.pt"])
def test_one_flipped_bit_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=rf"{name} is damaged .* copy the model folder again"):
        model_folder.read(folder)


@pytest.mark.parametrize("name", [ONNX, MANIFEST])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=rf"cannot read .*{name} \(No such file or directory\)"):
        model_folder.read(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ModelFolderError, match=r"there is no model folder .*nothing: train one"):
        model_folder.read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"task": "paint"}, "task: Input should be 'generate'.*, or update this program if a newer one wrote it"),
        ({"format_version": 3}, "format_version: Input should be 2.*, or update this program if a newer one wrote it"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"version": "0123456789ab"}, "a version .* that is not that of"),
        ({"files": {"../secret": "00"}}, "names a file that is none of its folder's"),
        ({"files": {"..": "00"}}, "names a file that is none of its folder's"),
        ({"files": {"": "00"}}, "names a file that is none of its folder's"),
        ({"files": {"\0": "00"}}, "names a file that is none of its folder's"),
        ({"files": {"model.json": "00"}}, "names a file that is none of its folder's"),
        ({"files": {}}, "a version .* that is not that of"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, fields, said):
    change_manifest(folder, **fields)
    with pytest.raises(ModelFolderError, match=said) as error:
        model_folder.read(folder)
    assert MANIFEST in str(error.value)
    assert "\n" not in str(error.value)


def test_a_manifest_that_is_not_json_is_refused(folder):
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ModelFolderError, match="not a manifest this version understands"):
        model_folder.read(folder)


@pytest.mark.parametrize("name", ["my shoes", "Shöes", "", "x" * 200])
def test_a_name_that_cannot_be_is_refused_with_what_names_are_made_of(folder, name):
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "name": name}))
    with pytest.raises(ModelFolderError, match=r"name: '.*'\): give it 1 to 100 of the letters a-z") as error:
        model_folder.read(folder)
    assert "copy the model folder" not in str(error.value)


def test_a_manifest_that_an_editor_saved_is_read_or_the_encoding_named(folder):
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text, encoding="utf-8-sig")
    assert model_folder.read(folder).manifest.name
    (folder / MANIFEST).write_text(text, encoding="utf-16")
    with pytest.raises(ModelFolderError, match="or save the file as UTF-8"):
        model_folder.read(folder)


def test_a_file_the_manifest_does_not_list_is_not_used(folder):
    with pytest.raises(ModelFolderError, match="not listed"):
        model_folder.read(folder).content("encoder.safetensors")


def test_a_file_that_was_exchanged_after_it_was_checked_is_not_used(folder):
    model = model_folder.read(folder)
    (folder / ONNX).write_bytes(b"that of another version")
    with pytest.raises(ModelFolderError, match=rf"{ONNX} is damaged .* copy the model folder again"):
        model.content(ONNX)


@pytest.mark.parametrize("name", [ONNX, MANIFEST])
def test_what_is_no_file_is_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelFolderError, match=f"{name} is not a file"):
        model_folder.read(folder)


@pytest.mark.parametrize("name", ["netG.pth", "stylegan.pkl", "model.safetensors"])
def test_weights_of_other_programs_are_no_damaged_model(tmp_path, name):
    (tmp_path / "tutorial").mkdir()
    (tmp_path / "tutorial" / name).touch()
    assert model_folder.discover(tmp_path) == [tmp_path / "tutorial"]
    with pytest.raises(
        ModelFolderError, match=rf"tutorial is no model folder of this program, .* \({name}\) cannot be served: train"
    ):
        model_folder.read(tmp_path / "tutorial")


def test_links_are_followed_and_those_to_nowhere_passed_over(folder, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "shoes").symlink_to(folder)
    (models / "nowhere").symlink_to("missing")
    (models / "itself").symlink_to("itself")
    (models / "file").symlink_to(folder / ONNX)
    assert model_folder.discover(models) == [models / "shoes"]
    assert model_folder.read(models / "shoes").title == model_folder.read(folder).title


def test_a_folder_that_may_not_be_looked_into_is_reported(folder, monkeypatch):
    plain = Path.iterdir

    def iterdir(self):
        if self == folder:
            raise OSError(errno.EIO, "Input/output error")
        return plain(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert model_folder.discover(folder.parent) == [folder]
    with pytest.raises(ModelFolderError, match=r"cannot read .*Input/output error"):
        model_folder.discover(folder)


def test_writing_never_replaces_and_leaves_no_part_behind(tmp_path):
    target = tmp_path / "model"

    def fail(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        atomic.write_atomically(target, fail)
    assert list(tmp_path.iterdir()) == []

    atomic.write_atomically(target, lambda folder: (folder / "whole").write_text("first"))
    with pytest.raises(FileExistsError, match="stands already"):
        atomic.write_atomically(target, lambda folder: (folder / "whole").write_text("second"))
    assert (target / "whole").read_text() == "first"

    with pytest.raises(RuntimeError, match="power cut"):
        atomic.write_atomically(target, fail, replace=True)
    assert (target / "whole").read_text() == "first"
    atomic.write_atomically(target, lambda folder: (folder / "whole").write_text("second"), replace=True)
    assert (target / "whole").read_text() == "second"
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="stands already"):
        model_folder.copy(target, tmp_path / "dangling")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "model"]


def test_half_written_folders_are_not_discovered(tmp_path):
    for name in ("b", "a", ".a.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ONNX).touch()  # damaged, but a model's
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "README.md").touch()
    assert model_folder.discover(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert model_folder.discover(tmp_path / "nothing") == []


def test_a_folder_that_appears_while_another_is_written_is_left_alone(tmp_path):
    def fill(folder):
        (folder / "model.json").write_text("ours")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "model.json").write_text("theirs")

    with pytest.raises(FileExistsError, match="stands already"):
        atomic.write_atomically(tmp_path / "model", fill)
    assert (tmp_path / "model" / "model.json").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
