import json
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMALL_DATA, train
from training import evaluate
from training.data import split
from training.evaluation import classifier
from training.hardware import Hardware

QUICKLY = ["--samples", "40", "--sets", "2"]
ARGUMENTS = ["--data", str(SMALL_DATA), *QUICKLY]


@pytest.fixture(autouse=True)
def quick_classifier(tmp_path, monkeypatch):
    """A classifier of seconds instead of minutes, better than guessing, and not in the user's cache."""
    load_or_train = classifier.load_or_train

    def quick(*arguments, **others):
        return load_or_train(
            *arguments, **others, schedule=classifier.Schedule(epochs=8, width=8, batch_size=32), cache=tmp_path / "cache"
        )

    monkeypatch.setattr(classifier, "load_or_train", quick)


def measured(capsys, *arguments):
    assert evaluate.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_model_folder(trained, tmp_path, capsys):
    found = measured(capsys, trained.model, *ARGUMENTS, "--seed-start", "4294967290", "--pairs", tmp_path / "pairs.png")
    assert "seeds 4294967290 to 73, drawn by onnx-cpu" in found["pictures"]
    assert found["features"].startswith("classifier features, since the data has labels")
    names = [one["name"] for one in found["measurements"]]
    assert names == [
        *("frechet", "kernel_distance", "recall", "coverage", "score"),
        *("sliced_wasserstein", "memorised", "share_error"),
    ]
    assert ["precision and density are left out" in remark for remark in found["remarks"]] == [True]  # of 40 images
    assert all("40 generated" in one["protocol"] for one in found["measurements"])
    assert all("selection, seeds 4294967290 to 73" in one["protocol"] for one in found["measurements"])
    assert all(one["protocol"].endswith("; mean of 2 sets of pictures") and one["deviation"] >= 0 for one in found["measurements"])
    assert sum(found["class_shares"].values()) == pytest.approx(1)
    assert Image.open(tmp_path / "pairs.png").size == (512, 256)
    assert measured(capsys, trained.model, *ARGUMENTS, "--seed-start", "4294967290")["measurements"] == found["measurements"]


def test_by_default_the_seeds_are_none_that_checkpoints_are_chosen_by(trained, capsys):
    found = measured(capsys, trained.model, *ARGUMENTS, "--features", "random", "--sets", "1")
    assert "seeds 2147483648 to 2147483687, drawn by" in found["pictures"]
    assert all(one["deviation"] is None for one in found["measurements"])
    # Few images are held out, so they serve both, and the protocol says so.
    assert all("selection, seeds 2147483648 to 2147483687" in one["protocol"] for one in found["measurements"][:3])
    chosen = measured(capsys, trained.model, *ARGUMENTS, "--features", "random", "--on", "selection")
    assert "seeds 0 to 79, drawn by" in chosen["pictures"]


def test_another_runtime_is_measured_as_it_draws(trained, capsys):
    few = (*ARGUMENTS, "--features", "random", "--sets", "1")
    by_onnx = measured(capsys, trained.model, *few)
    found = measured(capsys, trained.model, *few, "--runtime", "openvino")
    assert "drawn by openvino-cpu" in found["pictures"]
    assert found["measurements"][0]["value"] == pytest.approx(by_onnx["measurements"][0]["value"], rel=1e-3)


def test_figures_are_of_the_test_half_unless_the_other_is_asked_for(trained, tmp_path, capsys, monkeypatch):
    """Of 200 held-out images about half are for either, where so few are halved."""
    monkeypatch.setattr(split, "_FEWEST_TO_HALVE", 200)
    digits = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)
    for file in SMALL_DATA.glob("train-*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 200, 28, 28) + digits.tobytes())
    asked = ["--data", str(tmp_path), "--features", "random", "--samples", "200", "--sets", "1"]
    counts = []
    for flags in ([], ["--on", "selection"]):
        protocol = measured(capsys, trained.model, *asked, *flags)["measurements"][0]["protocol"]
        counts.append(re.search(r"against (\d+) held-out pictures of .*, (test|selection), seeds (\d+)", protocol).groups())
    assert counts[0][1:] == ("test", "2147483648")
    assert counts[1][1:] == ("selection", "0")
    assert int(counts[0][0]) + int(counts[1][0]) == 200


def test_a_model_knows_what_it_was_trained_on(trained, tmp_path, capsys):
    assert measured(capsys, trained.model, *QUICKLY)["data"] == "fashion-mnist, 512 training images, 128 held out"
    assert evaluate.main([str(SMALL_DATA), "--samples", "40"]) == 2
    assert "is a folder of images: give the --data that they are to be like" in capsys.readouterr().err


def test_a_model_of_no_square_is_measured_at_its_own_size_and_margin(tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    for number, level in enumerate(np.random.default_rng(0).integers(0, 256, (40, 20, 30), np.uint8)):
        Image.fromarray(level).save(tmp_path / "pictures" / f"{number:02d}.png")
    shape = ["--resolution", "32x16", "--fit", "pad", "--background", "black"]
    found = train(tmp_path, *shape, "--width", "4", "--images", "64", "--batch-size", "8", data=tmp_path / "pictures")
    capsys.readouterr()
    assert measured(capsys, found.model, *QUICKLY)["data"] == "pictures, 40 training images, 0 held out"
    flags = ["--data", str(tmp_path / "pictures"), "--samples", "40", "--resolution", "32x16"]
    assert measured(capsys, tmp_path / "pictures", *flags)["pictures"].endswith("at 32x16")


def test_a_conditional_model_is_asked_for_the_labels_of_its_seeds(conditional, capsys):
    found = measured(capsys, conditional.run, *ARGUMENTS, "--features", "random")
    named = {one["name"]: one for one in found["measurements"]}
    assert "score" not in named
    assert 0 <= named["label_accuracy"]["value"] <= 1
    asked = [name for name in named if name.startswith("label_accuracy/")]
    assert 8 <= len(asked) <= 10
    assert sum(int(named[name]["protocol"].split()[1]) for name in asked) == 80


def test_a_classifier_that_guesses_is_not_used_and_it_is_said(trained, monkeypatch, capsys):
    monkeypatch.setattr(classifier.Classifier, "is_unsure", True)
    found = measured(capsys, trained.model, *ARGUMENTS, "--sets", "1")
    assert "models are measured by features of a random network, and not by class" in found["features"]
    assert found["measurements"][0]["protocol"].startswith("features of a fixed random network")
    assert not {"score", "share_error"} & {one["name"] for one in found["measurements"]}
    assert found["class_shares"] == {}


def test_a_folder_of_images_in_a_table(tmp_path, capsys):
    (tmp_path / "drawn").mkdir()
    for place, level in enumerate(np.random.default_rng(0).integers(0, 256, (90, 32, 32), np.uint8)):
        Image.fromarray(level).save(tmp_path / "drawn" / f"{place}.png")
    assert evaluate.main([str(tmp_path / "drawn"), *ARGUMENTS, "--features", "random"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"images: 80 of the 90 images in {tmp_path / 'drawn'}, at 32x32"
    (recall,) = (line for line in lines if line.startswith("recall"))
    assert recall.split()[1:4] == ["0", "±", "0"]  # no garment is noise
    counts = (
        r"40 generated against 40 held-out pictures of fashion-mnist \([0-9a-f]{8}\), selection; k = 5; mean of 2 sets of pictures$"
    )
    assert re.search(counts, recall)
    assert any(line.startswith("precision and density are left out: mosaics of real images") for line in lines)
    few = measured(capsys, tmp_path / "drawn", "--data", str(SMALL_DATA), "--samples", "60", "--features", "random")
    assert few["pictures"].startswith("60 of the 90 images")  # not enough for a second set
    assert few["measurements"][0]["deviation"] is None


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
        ([__file__], f"{__file__} is a file; give a model folder"),
        (["models"], "models holds models or runs; give one of them, such as models/avatars"),
        (["models/fashion-mnist", "--pairs", "p.jpg"], "--pairs: must end in .png"),
        ([str(SMALL_DATA), "--seed-start", "-1"], "--seed-start: Input should be greater than or equal to 0"),
        ([str(SMALL_DATA), "--samples", "some"], "--samples: "),
        ([str(SMALL_DATA), "--features", "vgg"], "--features: "),
        ([str(SMALL_DATA), "--on", "held-out"], "--on: "),
        ([str(SMALL_DATA), "--sets", "0"], "--sets: "),
        ([str(SMALL_DATA), "--resolution", "32x"], "--resolution: take one number, or width x height"),
        (["models/fashion-mnist", "--runtime", "tensorrt"], "--runtime: "),
        (["models/fashion-mnist", "--precision", "bfloat16"], "--precision bfloat16: --runtime onnx computes in float32"),
        ([str(SMALL_DATA), "--data", "nowhere"], "--data nowhere: there is no such folder"),
        ([str(SMALL_DATA), "--data", str(SMALL_DATA), "--samples", "5", "--features", "random"], "at least 10 images"),
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


def test_held_out_images_that_are_not_there_are_asked_for_in_vain(tmp_path, capsys):
    for file in SMALL_DATA.glob("train-*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    asked = ["--data", str(tmp_path), "--against", "held-out", "--features", "random", "--samples", "40"]
    assert evaluate.main([str(SMALL_DATA), *asked]) == 2
    assert "no held-out images" in capsys.readouterr().err


def test_threads_are_those_asked_for(trained, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(Hardware, "prepare", lambda hardware: asked.append(hardware.threads))
    assert evaluate.main([str(trained.model), *ARGUMENTS, "--sets", "1", "--features", "random", "--threads", "1"]) == 0
    assert asked == [1]
    assert evaluate.main([str(trained.model), *ARGUMENTS, "--threads", "0"]) == 2
    assert "--threads: Input should be greater than 0" in capsys.readouterr().err
