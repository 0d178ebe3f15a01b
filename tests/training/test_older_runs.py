"""Runs that were begun, and measured in another way, by the version before."""

import json
import re

import yaml

from tests.conftest import QUICKLY_MEASURED, SMALL_DATA, train
from training.config import files
from training.engine import checkpoint
from training.run import main


def as_before(run):
    """What a run of the version before looks like: no --measure-sets, and checkpoints whose protocols say nothing of a half."""
    settings = yaml.safe_load((run / files.CONFIG).read_text())
    del settings["measure_sets"]
    (run / files.CONFIG).write_text(yaml.safe_dump(settings))
    config = files.read_config(run)
    for path in checkpoint.checkpoints(run):
        tensors, progress = checkpoint.read(path)
        protocol = re.sub(", selection, seeds 0 to 99", "", progress.protocol)
        assert protocol != progress.protocol
        progress = progress.model_copy(update={"protocol": protocol, "measures": {**progress.measures, "frechet": 1e-9}})
        checkpoint.write(run, tensors, progress, config)


def test_it_goes_on_and_its_new_checkpoints_are_ranked_among_themselves(tmp_path, capsys, short):
    as_before(short.run)
    (old,) = checkpoint.checkpoints(short.run)
    resume = ["--out", str(tmp_path / "runs"), "--models", str(short.models), "--resume", str(short.run)]
    assert main(resume) == 0
    assert f"{short.run} is done" in capsys.readouterr().out
    assert main([*resume, "--images", "256", "--measure-sets", "1"]) == 0
    assert "exported fashion-mnist-dcgan@" in capsys.readouterr().out
    best, *others = checkpoint.ranked(short.run)
    assert best.name == "checkpoint-000000256.safetensors"
    assert others == [old]  # which was better by numbers that do not compare
    assert json.loads((short.run / "model" / "model.json").read_text())["origin"]["pictures_seen"] == 256


def test_a_model_of_before_is_replaced_by_a_better_one_measured_alike(tmp_path, capsys):
    first = train(tmp_path, "--images", "64", "--width", "4")
    path = first.model / "model.json"
    manifest = json.loads(path.read_text())
    how = "classifier features; 100 generated against 100 held-out pictures of fashion-mnist (12345678)"
    manifest["metrics"] = [{"name": "frechet", "value": 1e-9, "protocol": how, "real": 1e-9}]
    path.write_text(json.dumps(manifest))
    where = ["--out", str(tmp_path / "runs"), "--models", str(first.models), "--promote"]
    assert main(["--data", str(SMALL_DATA), "--images", "2k", "--width", "8", *QUICKLY_MEASURED, *where]) == 0
    said = capsys.readouterr().out
    assert f"{first.model} was replaced by fashion-mnist-dcgan@" in said
    assert "selection, seeds 0 to 99; k = 5" in said
