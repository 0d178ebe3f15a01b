import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMALL_DATA, train
from training import classifier, evaluate

ARGUMENTS = ["--data", str(SMALL_DATA), "--samples", "40"]


@pytest.fixture(autouse=True)
def quick_classifier(tmp_path, monkeypatch):
    """A classifier of a second instead of two minutes, and not in the user's cache."""
    load_or_train = classifier.load_or_train

    def quick(*arguments, **others):
        return load_or_train(*arguments, **others, schedule=classifier.Schedule(epochs=1, width=4), cache=tmp_path / "cache")

    monkeypatch.setattr(classifier, "load_or_train", quick)


def measured(capsys, *arguments):
    assert evaluate.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_model_folder(trained, tmp_path, capsys):
    found = measured(capsys, trained.model, *ARGUMENTS, "--seed-start", "4294967290", "--pairs", tmp_path / "pairs.png")
    assert "seeds 4294967290 to 33, drawn by onnx-cpu" in found["pictures"]
    assert found["features"].startswith("classifier features, since the data has labels")
    names = [one["name"] for one in found["measurements"]]
    assert names == [
        *("frechet", "kernel_distance", "precision", "recall", "density", "coverage", "score"),
        *("sliced_wasserstein", "memorised", "share_error"),
    ]
    assert all("40 generated" in one["protocol"] for one in found["measurements"])
    assert sum(found["class_shares"].values()) == pytest.approx(1)
    assert Image.open(tmp_path / "pairs.png").size == (512, 256)
    assert measured(capsys, trained.model, *ARGUMENTS, "--seed-start", "4294967290")["measurements"] == found["measurements"]


def test_a_model_knows_what_it_was_trained_on(trained, tmp_path, capsys):
    assert measured(capsys, trained.model, "--samples", "40")["data"] == "fashion-mnist, 512 training pictures, 128 held out"
    assert evaluate.main([str(SMALL_DATA), "--samples", "40"]) == 2
    assert "is a folder of pictures: give the --data that they are to be like" in capsys.readouterr().err


def test_a_model_of_no_square_is_measured_at_its_own_size_and_margin(tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    for number, level in enumerate(np.random.default_rng(0).integers(0, 256, (40, 20, 30), np.uint8)):
        Image.fromarray(level).save(tmp_path / "pictures" / f"{number:02d}.png")
    shape = ["--resolution", "32x16", "--fit", "pad", "--background", "black"]
    found = train(tmp_path, *shape, "--width", "4", "--images", "64", "--batch-size", "8", data=tmp_path / "pictures")
    capsys.readouterr()
    assert measured(capsys, found.model, "--samples", "40")["data"] == "pictures, 40 training pictures, 0 held out"
    flags = ["--data", str(tmp_path / "pictures"), "--samples", "40", "--resolution", "32x16"]
    assert measured(capsys, tmp_path / "pictures", *flags)["pictures"].endswith("at 32x16")


def test_a_conditional_model_is_asked_for_the_labels_of_its_seeds(conditional, capsys):
    found = measured(capsys, conditional.run, *ARGUMENTS, "--features", "random")
    named = {one["name"]: one for one in found["measurements"]}
    assert "score" not in named
    assert 0 <= named["label_accuracy"]["value"] <= 1
    asked = [name for name in named if name.startswith("label_accuracy/")]
    assert 8 <= len(asked) <= 10
    assert sum(int(named[name]["protocol"].split()[1]) for name in asked) == 40


def test_a_folder_of_pictures_in_a_table(tmp_path, capsys):
    (tmp_path / "drawn").mkdir()
    for place, level in enumerate(np.random.default_rng(0).integers(0, 256, (50, 32, 32), np.uint8)):
        Image.fromarray(level).save(tmp_path / "drawn" / f"{place}.png")
    assert evaluate.main([str(tmp_path / "drawn"), *ARGUMENTS, "--features", "random"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"pictures: 40 of the 50 pictures in {tmp_path / 'drawn'}, at 32x32"
    (precision,) = (line for line in lines if line.startswith("precision"))
    assert precision.split()[1] == "0"  # noise is not a garment
    assert re.search(r"40 generated against 40 held-out pictures of fashion-mnist \([0-9a-f]{8}\); k = 5$", precision)


def test_colours_that_cannot_be_compared(tmp_path, capsys):
    (tmp_path / "drawn").mkdir()
    Image.new("RGB", (32, 32), "red").save(tmp_path / "drawn" / "red.png")
    assert evaluate.main([str(tmp_path / "drawn"), *ARGUMENTS, "--features", "random"]) == 2
    assert "have 3 channels, the data has 1: give the --data that they were made from" in capsys.readouterr().err


def test_other_classes_are_refused(conditional, tmp_path, capsys):
    for name in ("cats", "dogs"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for place in range(15):
            Image.new("L", (32, 32), 10 * place).save(tmp_path / "data" / name / f"{place}.png")
    assert evaluate.main([str(conditional.model), "--data", str(tmp_path / "data"), "--samples", "20"]) == 2
    assert "has other classes than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-folder"], "no-such-folder: there is no such folder"),
        ([str(SMALL_DATA), "--seed-start", "-1"], "--seed-start: Input should be greater than or equal to 0"),
        ([str(SMALL_DATA), "--samples", "some"], "--samples: "),
        ([str(SMALL_DATA), "--features", "vgg"], "--features: "),
        ([str(SMALL_DATA), "--resolution", "32x"], "--resolution: Value error, take one number, or width x height"),
        ([str(SMALL_DATA), "--data", "nowhere"], "--data nowhere: there is no such folder"),
        ([str(SMALL_DATA), "--data", str(SMALL_DATA), "--samples", "5", "--features", "random"], "at least 10 pictures"),
    ],
)
def test_bad_commands_name_the_flag(arguments, message, capsys):
    assert evaluate.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_run_without_a_model(tmp_path, capsys):
    (tmp_path / "config.yaml").touch()
    assert evaluate.main([str(tmp_path)]) == 2
    assert f"--resume {tmp_path}" in capsys.readouterr().err


def test_help_is_quick_and_a_target_is_needed(capsys):
    code = """if True:
        import sys, training.config
        before = "torch" in sys.modules
        from training import evaluate
        try:
            evaluate.main(["--help"])
        finally:
            assert ("torch" in sys.modules) == before
    """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "examples:" in found.stdout
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([])
    assert stopped.value.code == 2
    assert "TARGET" in capsys.readouterr().err


def test_inception_that_cannot_be_had_is_said_before_anything_is_trained(trained, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise AssertionError("trained first")

    monkeypatch.setattr(classifier, "load_or_train", refuse)
    (tmp_path / "weights.pth").write_bytes(b"not weights")
    inception = ["--features", "inception", "--inception-weights", str(tmp_path / "weights.pth")]
    assert evaluate.main([str(trained.model), *ARGUMENTS, *inception]) == 2
    assert "--features classifier or random" in capsys.readouterr().err


def test_held_out_pictures_that_are_not_there_are_asked_for_in_vain(tmp_path, capsys):
    for file in SMALL_DATA.glob("train-*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    asked = ["--data", str(tmp_path), "--against", "held-out", "--features", "random", "--samples", "40"]
    assert evaluate.main([str(SMALL_DATA), *asked]) == 2
    assert "no held-out pictures" in capsys.readouterr().err
