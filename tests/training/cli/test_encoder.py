"""The command that gives finished models an encoder and a score."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from gan import model_folder
from gan.atomic import TEMPORARY
from training.cli.encoder import main
from training.encoder import loop, run, writing

QUICKLY = ("--images", "192", "--width", "4", "--batch-size", "16", "--threads", "1")


@pytest.fixture
def model(trained, tmp_path):
    return shutil.copytree(trained.model, tmp_path / "model")


def digests(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_gets_an_encoder_and_a_score(model, tmp_path, capsys):
    assert main([str(model), *QUICKLY, "--out", str(tmp_path / "runs")]) == 0
    manifest = model_folder.read(model).manifest
    assert {"encoder", "scorer"} <= manifest.networks.keys()
    assert manifest.scoring is not None
    said = capsys.readouterr().out
    assert re.search(
        rf"{manifest.name}@{manifest.version} has an encoder, which draws \d+ held-out images again at \d+\.\d\d dB", said
    )
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == f"encoder-{manifest.name}-{manifest.version}"
    # Once more: nothing is left to train, and the result is the same.
    before = manifest.files
    assert main([str(model), *QUICKLY, "--out", str(tmp_path / "runs")]) == 0
    assert "resumed from" in capsys.readouterr().out
    assert model_folder.read(model).manifest.files["encoder.safetensors"] == before["encoder.safetensors"]


def test_other_settings_are_not_resumed_with_and_the_better_encoder_stays(model, tmp_path, capsys, monkeypatch):
    """Unless --anew and --replace say otherwise."""
    command = [str(model), *QUICKLY, "--out", str(tmp_path / "runs")]
    longer, shorter = [*command, "--images", "1600"], [*command, "--images", "32"]

    def encoder(path=model):
        return model_folder.read(path).manifest.files["encoder.safetensors"]

    assert main(command) == 0
    first = encoder()
    assert main(longer) == 2
    assert "--anew" in capsys.readouterr().err
    assert encoder() == first
    assert main([*longer, "--anew"]) == 0
    better = encoder()
    assert better != first
    (kept,) = (tmp_path / "runs").glob("*/replaced-*")
    assert encoder(kept) == first
    assert f"rm -r {model} && cp -r {kept} {model}" in capsys.readouterr().out

    before = digests(model)
    assert main([*shorter, "--anew"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"left as it is, since the new encoder is not better: .* at \d+\.\d\d dB, and the one there at .*--replace", said
    )
    assert "has an encoder" not in said
    assert digests(model) == before
    written = []
    monkeypatch.setattr(run, "write_encoder", lambda encoder, model, *_: written.append(encoder) or model.manifest)
    assert main([*shorter, "--replace"]) == 0
    assert len(written) == 1


def test_a_signal_while_the_score_is_made_ends_the_command_and_loses_nothing(model, tmp_path, capsys, monkeypatch):
    command, before = [str(model), *QUICKLY, "--out", str(tmp_path / "runs")], digests(model)

    def terminated(*_):
        assert any(path.name.startswith(TEMPORARY) for path in tmp_path.iterdir())
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it goes on")

    monkeypatch.setattr(writing, "_export", terminated)
    assert main(command) == 128 + signal.SIGTERM
    assert "stopped and saved; the same command goes on" in capsys.readouterr().err
    assert digests(model) == before
    assert not any(path.name.startswith(TEMPORARY) for path in tmp_path.iterdir())
    monkeypatch.setattr(loop, "take_step", None)  # which is not called again
    monkeypatch.setattr(run, "write_encoder", lambda encoder, model, *_: model.manifest)
    assert main(command) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--data", "nowhere"), "--data nowhere"),
        (("--batch-size", "100k"), "--batch-size"),
        (("--batch-size", "5000"), "--batch-size 5000 is more than the"),
        (("--width", "0"), "--width"),
        (("--wdith", "4"), "did you mean --width?"),
    ],
)
def test_what_cannot_be_is_said(model, tmp_path, capsys, flags, said):
    before = {path.name for path in model.iterdir()}
    try:
        status = main([str(model), *QUICKLY, "--out", str(tmp_path / "runs"), *flags])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert said in capsys.readouterr().err
    assert {path.name for path in model.iterdir()} == before


def test_a_run_is_no_model_and_what_draws_from_codes_has_no_encoder(short, model, tmp_path, capsys):
    assert main([str(short.run), *QUICKLY]) == 2
    assert f"give the folder of its model, {short.run / 'model'}" in capsys.readouterr().err
    manifest = json.loads((model / "model.json").read_text())
    manifest["inputs"].append({"name": "slant", "role": "code", "dtype": "float32", "shape": ["n"], "range": [-1, 1]})
    (model / "model.json").write_text(json.dumps(manifest))
    assert main([str(model), *QUICKLY, "--out", str(tmp_path / "runs")]) == 2
    assert "styles or codes" in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "examples:" in said
    assert "--kappa" in said


def test_a_run_that_is_asked_to_stop_saves_and_says_how_to_go_on(model, tmp_path):
    command = [
        sys.executable,
        "-m",
        "training.encoder",
        str(model),
        "--images",
        "10M",
        *QUICKLY[2:],
        "--out",
        str(tmp_path / "runs"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    line = ""
    for line in process.stderr:
        if line.startswith("the first 16 images"):
            break
    assert line
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped and saved; the same command goes on" in said
    assert len(list((tmp_path / "runs").glob("*/encoder-checkpoint.safetensors"))) == 1
    assert "encoder" not in model_folder.read(model).manifest.networks
