"""A run with --encoder-images: generator, encoder and score in one go, each half resumable."""

from gan import model_folder
from tests.conftest import QUICKLY_MEASURED, SMALL_DATA
from training.encoder import loop
from training.run import main

FLAGS = (
    "--recipe",
    "f-anogan",
    "--images",
    "256",
    "--width",
    "8",  # as in test_recipes.py, whose traced networks serve here too
    "--encoder-images",
    "640",
    "--threads",
    "1",
    "--batch-size",
    "32",
)


def run(folder, *flags):
    where = ("--out", str(folder / "runs"), "--models", str(folder / "models"))
    return main(["--data", str(SMALL_DATA), *QUICKLY_MEASURED, *where, *flags])


def test_a_run_that_is_killed_while_its_encoder_is_trained_goes_on_there(tmp_path, monkeypatch, capsys):
    assert run(tmp_path / "whole", *FLAGS) == 0
    whole = model_folder.read(tmp_path / "whole" / "models" / "fashion-mnist-f-anogan").manifest

    take_step, steps = loop.take_step, iter(range(10**6))

    def killed(*arguments):
        if next(steps) == 9:
            raise KeyboardInterrupt
        return take_step(*arguments)

    monkeypatch.setattr(loop, "take_step", killed)
    assert run(tmp_path / "killed", *FLAGS) == 130
    assert not (tmp_path / "killed" / "models").exists()  # nothing is published by halves
    monkeypatch.undo()
    capsys.readouterr()
    assert run(tmp_path / "killed", "--resume", "latest") == 0
    assert "exported" not in capsys.readouterr().out  # the generator was finished
    found = model_folder.read(tmp_path / "killed" / "models" / "fashion-mnist-f-anogan").manifest
    for name in ("generator.safetensors", "encoder.safetensors"):
        assert found.files[name] == whole.files[name]
    assert run(tmp_path / "killed", "--resume", "latest") == 0
    assert "is done" in capsys.readouterr().out


def test_another_recipe_has_an_encoder_if_asked_to(tmp_path):
    assert run(tmp_path, "--recipe", "dcgan", *FLAGS[2:]) == 0
    (model,) = (tmp_path / "models").iterdir()
    assert {"encoder", "scorer"} <= model_folder.read(model).manifest.networks.keys()


def test_codes_have_no_encoder_which_is_said_before_anything_is_trained(tmp_path, capsys):
    assert run(tmp_path, "--recipe", "infogan", "--encoder-images", "640") == 2
    assert "--encoder-images: an encoder finds no codes" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
