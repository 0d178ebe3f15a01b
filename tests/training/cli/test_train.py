import itertools
import json
import math
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from tests import processes
from tests.conftest import QUICKLY_MEASURED, SMALL_DATA, found, train, train_once
from training import data
from training.config import files
from training.config.resolve import resolve
from training.engine.checkpoint import checkpoints, ranked
from training.run import main
from training.tracking import run_dir

ROOT = Path(__file__).parents[3]


def said(capsys, *flags):
    """What the command prints to stderr when it refuses to do as told."""
    assert main(list(flags)) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--batch-size", "0"], "--batch-size: Input should be greater than 1, not '0'"),
        (["--images", "many"], "--images: Input should be a valid integer"),
        (["--name", "../up"], "--name: take small letters, digits"),
        (["--data", "nowhere"], "--data nowhere: there is no such folder"),
        (["--data", ""], "--data: String should have at least 1 character"),
        (["--resolution", "30"], "--resolution: 30x30 images do not halve evenly"),
        (["--resolution", "48x"], "--resolution: take one number, or width x height"),
        (["--codes", "kind=1"], "--codes: a code like kind=10 needs at least two kinds"),
        (["--codes", "a,a"], "--codes: every code needs a name of its own"),
        (["--codes", "label"], "--codes: every code needs a name of its own, and z and label are taken"),
        (["--codes", "Kind"], "--codes: take names of small letters"),
        (
            ["--arch", "r3gan", "--discriminator-norm", "batch"],
            "batch: r3gan's discriminator does not take it; take none",
        ),
        (["--learning-rate-end", "0"], "--learning-rate-end needs --anneal-images"),
        (["--objective", "wgan"], "--objective wgan needs a critic that is held in bounds"),
        (["--arch", "r3gan", "--width", "40"], "--arch r3gan: r3gan has groups of 16 channels"),
        (["--width", "99999999"], "the networks do not fit into memory"),
        (["--z-dim", "9" * 30], "take a smaller --width, --z-dim or --blocks"),
        (["--threads", "99999999"], "--threads: Input should be less than or equal to 4096"),
        (["--max-bad", "101%"], "--max-bad: Input should be less than or equal to 1"),
        (["--recipe", "auto", "--data", "nowhere"], "--data nowhere"),
        (["--images", "9" * 400], "--images: Input should be less than or equal to"),
        (["--images", "0.0001k"], "--images: Input should be greater than 0"),
        (["--name", "x" * 101], "--name: take small letters, digits"),
        (["--models", __file__], "is not a folder; give another"),
        (["--models", "/proc/models"], "--models /proc/models"),
        (["--resume", ""], "--resume: String should have at least 1 character"),
        (["--batch-size", "513"], "--batch-size 513 is more than the 512 images there are"),
        (["--config", "nowhere.yaml"], "--config: cannot read nowhere.yaml"),
        (["--resume", "nowhere"], "--resume nowhere: there is no run"),
    ],
)
def test_what_cannot_be_done_is_said_by_the_name_of_the_flag(capsys, tmp_path, flags, expected):
    defaults = [] if "--data" in flags else ["--data", str(SMALL_DATA)]
    assert expected in said(capsys, *defaults, *flags, "--out", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_flag_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--bach-size", "3"])
    assert exit_.value.code == 2
    assert "unrecognized arguments: --bach-size" in capsys.readouterr().err


def test_a_name_that_is_no_text_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--data", "caf\udce9"])
    assert r"caf\udce9: this is no UTF-8 text; rename it" in capsys.readouterr().err


def test_help_names_every_flag_with_an_example(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--data", "--batch-size", "--images", "--minutes", "--resume", "--dry-run"):
        assert flag in text
    assert "python -m training.run --resume latest" in text


def test_the_environment_changes_nothing(capsys, monkeypatch, tmp_path):
    for name in ("SEED", "NAME", "OUT", "IMAGES"):
        monkeypatch.setenv(name, "987")
    assert main(["--data", str(SMALL_DATA), "--width", "4", "--dry-run", "--out", str(tmp_path)]) == 0
    assert "987" not in capsys.readouterr().out


def test_a_dry_run_shows_the_plan_and_trains_nothing(capsys, tmp_path):
    flags = ["--images", "1.5M", "--width", "32", *QUICKLY_MEASURED, "--dry-run"]
    assert main(["--data", str(SMALL_DATA), *flags, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "images: 1500000" in out
    assert "512 images of 28x28 padded with black to 32x32" in out
    assert "generator: 369,600 parameters" in out
    assert "discriminator: 166,784 parameters" in out
    said = r"took ([\d.]+) s for each 1,000 images: ([\d,]+) minutes for this run, which sees 1,500,000 images, and ([\d.]+) GiB"
    seconds, minutes, memory = (float(text.replace(",", "")) for text in re.search(said, out).groups())
    assert minutes == pytest.approx(1500 * seconds / 60, abs=1)
    assert 0.2 < memory < 20
    (preview,) = tmp_path.iterdir()
    images = data.load(str(SMALL_DATA), (32, 32)).images
    assert np.array_equal(np.asarray(Image.open(preview))[:32, 32:64], images[8, 0])  # from all over the set of 512


def test_flags_override_the_file(capsys, tmp_path):
    (tmp_path / "settings.yaml").write_text("width: 32\nseed: 5\n")
    flags = ["--data", str(SMALL_DATA), "--config", str(tmp_path / "settings.yaml"), "--seed", "6", "--dry-run"]
    assert main(flags) == 0
    shown = capsys.readouterr().out
    assert "width: 32\n" in shown
    assert "seed: 6\n" in shown
    (tmp_path / "settings.yaml").write_text("widht: 32\n")
    assert "--widht: Extra inputs are not permitted" in said(capsys, *flags)


def test_a_run_leaves_its_configuration_statistics_and_grids(trained):
    names = {path.name for path in trained.run.iterdir()}
    grids = ["samples-000000000.png", "samples-000001024.png", "samples-000002048.png"]
    assert {"config.yaml", "environment.json", "stats.jsonl", "model", *grids} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert trained.run.name == "001-fashion-mnist-dcgan"
    assert yaml.safe_load((trained.run / "config.yaml").read_text())["width"] == 16
    rows = [json.loads(line) for line in (trained.run / "stats.jsonl").read_text().splitlines()]
    assert [row["pictures"] for row in rows] == [1024, 2048, 2048]
    for row in rows[:2]:
        assert row["pictures_per_second"] > 0
        assert 0 < row["d_fake"] < row["d_real"] < 1
    assert {"frechet", "recall", "spread", "accuracy_fake", "accuracy_held_out"} <= rows[2].keys()


def test_a_model_that_stands_is_never_replaced(capsys, tmp_path):
    flags = ["--images", "128", "--width", "4", *QUICKLY_MEASURED]
    first = train(tmp_path, *flags)
    before = {path.name: path.read_bytes() for path in first.model.iterdir()}
    assert (
        main(["--data", str(SMALL_DATA), "--out", str(tmp_path / "runs"), "--models", str(first.models), *flags, "--seed", "1"])
        == 0
    )
    assert "exists already and was left as it is; add --promote" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in first.model.iterdir()} == before
    assert (tmp_path / "runs" / "002-fashion-mnist-dcgan" / "model" / "model.json").is_file()

    # A run that is done stays as it is; asked for more it goes on; asked for something else it refuses.
    resume = ["--out", str(tmp_path / "runs"), "--models", str(first.models), "--resume", str(first.run)]
    assert main(resume) == 0
    assert f"{first.run} is done" in capsys.readouterr().out
    refused = said(capsys, *resume, "--width", "8", "--beta1", "0.4")
    assert "  - width: 4\n  + width: 8\n  - beta1: 0.5\n  + beta1: 0.4\n" in refused
    assert "add --change width,beta1" in refused
    assert main([*resume, "--images", "64"]) == 0  # it is past that
    assert f"{first.run} is done" in capsys.readouterr().out
    assert main([*resume, "--images", "192"]) == 0
    assert last_checkpoint(first.run) == 192


def test_the_better_model_is_promoted_at_the_end_or_later(capsys, tmp_path, short):
    where = ["--out", str(tmp_path / "runs"), "--models", str(short.models)]
    longer = ["--data", str(SMALL_DATA), "--images", "2k", "--width", "8", *QUICKLY_MEASURED, *where]
    assert main(longer) == 0
    assert pictures_seen(tmp_path / "runs" / "002-fashion-mnist-dcgan") > pictures_seen(short.run)
    capsys.readouterr()
    assert main(["--resume", "latest", "--promote", *where]) == 0
    assert f"{short.model} was replaced by fashion-mnist-dcgan@" in capsys.readouterr().out
    assert (short.model / "model.json").read_bytes() == (
        tmp_path / "runs" / "002-fashion-mnist-dcgan" / "model" / "model.json"
    ).read_bytes()
    assert main(["--data", str(SMALL_DATA), "--images", "64", "--width", "4", *QUICKLY_MEASURED, *where, "--promote"]) == 0
    assert "was left as it is, since the new model is not better" in capsys.readouterr().out


def test_a_finished_model_is_measured_and_says_so(trained, conditional):
    manifest = json.loads((trained.model / "model.json").read_text())
    metrics = {metric["name"]: metric for metric in manifest["metrics"]}
    assert {"frechet", "recall", "memorised", "share_error"} <= metrics.keys()
    assert metrics["frechet"]["protocol"].startswith("classifier features (LeNet-like, ")
    assert "100 generated against 100 held-out pictures of fashion-mnist (" in metrics["frechet"]["protocol"]
    assert 0 < metrics["frechet"]["real"] < metrics["frechet"]["value"]
    card = (trained.model / "README.md").read_text()
    sides = (("value", "deviation"), ("real", "real_deviation"))
    frechet, real = (f"{metrics['frechet'][side]:.4g} ± {metrics['frechet'][spread]:.2g}" for side, spread in sides)
    assert f"| frechet | {frechet} | {real} | 1 |" in card
    assert f"\n1. {metrics['frechet']['protocol']}\n" in card
    assert re.search(rf"\| recall \| \S+ ± \S+ \| {metrics['recall']['real']:.4g} ± \S+ \| 3 \|", card)
    assert f"\n3. {metrics['recall']['protocol']}\n" in card
    asked = {metric["name"] for metric in json.loads((conditional.model / "model.json").read_text())["metrics"]}
    assert {"label_accuracy", "label_accuracy/Coat"} <= asked
    page = (trained.run / "report.html").read_text()
    assert "Quality of the model" in page
    assert f"<td>{frechet}</td><td>{real}</td>" in page
    assert 'class="nearest"' in page


def test_features_are_chosen_and_said(capsys, tmp_path):
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), *QUICKLY_MEASURED]
    flags = ["--data", str(SMALL_DATA), "--images", "64", "--width", "4", "--features", "random"]
    assert main([*flags, *where]) == 0
    assert "checkpoints are measured by features of a fixed random network" in capsys.readouterr().out
    (stats,) = (tmp_path / "runs").glob("*/stats.jsonl")
    row = json.loads(stats.read_text().splitlines()[-1])
    assert row["protocol"].startswith("features of a fixed random network")
    assert 0 < row["frechet_real"] < row["frechet"]
    (tmp_path / "pictures").mkdir()
    for number in range(24):
        Image.new("L", (16, 16), 10 * number).save(tmp_path / "pictures" / f"{number:02d}.png")
    folder = ["--data", str(tmp_path / "pictures"), "--resolution", "16", "--features", "classifier", *where]
    refused = said(capsys, *folder)
    assert "--conditional: " in refused
    assert len(list((tmp_path / "runs").iterdir())) == 1  # no folder for a run that never began


def last_checkpoint(run):
    return int(checkpoints(run)[-1].stem.removeprefix("checkpoint-"))


def pictures_seen(run):
    return json.loads((run / "model" / "model.json").read_text())["origin"]["pictures_seen"]


def test_a_lengthened_run_that_was_stopped_is_finished_by_the_next_resume(capsys, tmp_path, monkeypatch, short):
    resume = ["--out", str(tmp_path / "runs"), "--models", str(short.models), "--resume", str(short.run)]
    stops = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr("training.engine.stopping.StopSignal.received", lambda self: next(stops))
        patch.setattr("training.engine.stopping.StopSignal.number", signal.SIGTERM, raising=False)
        assert main([*resume, "--images", "320"]) != 0
    assert last_checkpoint(short.run) < 320
    capsys.readouterr()
    assert main(resume) == 0
    assert last_checkpoint(short.run) == 320
    assert "exported fashion-mnist-dcgan@" in capsys.readouterr().out


def test_the_latest_run_is_the_one_with_the_highest_number(capsys, tmp_path):
    for name in ("999-z", "1000-a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("width: 0\n")
    assert run_dir.find(tmp_path, "latest") == tmp_path / "1000-a"
    assert run_dir.create(tmp_path, "x").name == "1001-x"


def test_what_is_named_may_change_on_resume(capsys, tmp_path, short):
    resume = ["--out", str(tmp_path / "runs"), "--models", str(short.models), "--resume", str(short.run), "--images", "192"]
    assert "--change speed: there is no such setting" in said(capsys, *resume, "--change", "speed")
    assert main([*resume, "--learning-rate", "1e-4", "--change", "learning-rate"]) == 0
    assert yaml.safe_load((short.run / "config.yaml").read_text())["learning_rate"] == 1e-4


def test_images_that_changed_since_are_noticed(capsys, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(24):
        Image.new("L", (16, 16), 10 * number).save(tmp_path / "pictures" / f"{number:02d}.png")
    flags = ["--data", str(tmp_path / "pictures"), "--resolution", "16", "--width", "4", "--batch-size", "8", *QUICKLY_MEASURED]
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    assert main([*flags, *where, "--images", "64"]) == 0
    (tmp_path / "pictures" / "11.png").unlink()
    resume = [*where, "--resume", "latest", "--images", "128"]
    assert "--data has changed since the run began: it had 24 images and has 23" in said(capsys, *resume)
    refused = said(capsys, *resume, "--change", "data")  # which is the place, not what is there
    before = json.loads(next((tmp_path / "runs").glob("*/data.json")).read_text())["fingerprint"]
    assert re.search(rf"fingerprints {before[:12]} and [0-9a-f]{{12}}; .* add --change pictures", refused)
    assert main([*resume, "--change", "pictures"]) == 0
    assert main([*resume, "--images", "192"]) == 0  # those are its data now


def test_images_that_were_moved_are_the_same_images(capsys, tmp_path):
    for place, step in (("first", 10), ("other", 9)):
        (tmp_path / place).mkdir()
        for number in range(24):
            Image.new("L", (16, 16), step * number).save(tmp_path / place / f"{number:02d}.png")
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    flags = ["--resolution", "16", "--width", "4", "--batch-size", "8", "--name", "m", *QUICKLY_MEASURED]
    assert main(["--data", str(tmp_path / "first"), *flags, *where, "--images", "16"]) == 0
    (tmp_path / "first").rename(tmp_path / "second")
    resume = [*where, "--resume", "latest", "--images", "32"]
    assert main([*resume, "--data", str(tmp_path / "second")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert yaml.safe_load((run / "config.yaml").read_text())["data"] == str(tmp_path / "second")
    assert last_checkpoint(run) == 32

    # As many others are others, whatever else may change.
    other = [*resume, "--data", str(tmp_path / "other"), "--images", "48"]
    for change in ([], ["--change", "data"], ["--change", "data,seed"]):
        refused = said(capsys, *other, *change)
        assert "it had 24 images and has 24, not all the same, or read in another way since" in refused
        assert f"those of {tmp_path / 'other'} now, and those of {tmp_path / 'second'} before" in refused
    assert last_checkpoint(run) == 32
    (run / "data.json").rename(tmp_path / "data.json")
    assert "cannot be told, since" in said(capsys, *other)
    (tmp_path / "data.json").rename(run / "data.json")
    assert main([*other, "--change", "pictures"]) == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"recipe: [dcgan]", "--recipe: Input should be 'auto', "),
        (b"recipe: {dcgan: 1}", "--recipe: Input should be 'auto', "),
        (b"recipe: null", "--recipe: Input should be 'auto', "),
        (b"arch: [mlp]", "--arch: Input should be a valid string"),
        (b"width: [32]", "--width: Input should be a valid integer, not [32] (in FILE: give width one value"),
        (b"width: null", "--width: Input should be a valid integer, not None (in FILE: leave the line of width out"),
        (b"width: yes", "--width: this setting is no matter of yes or no"),
        (b"images: true", "--images: this setting is no matter of yes or no"),
        (b"learning_rate: on", "--learning-rate: this setting is no matter of yes or no"),
        (b"minutes: .inf", "--minutes: Input should be a finite number, not inf"),
        (b"r1: .nan", "--r1: Input should be a finite number, not nan"),
        (b"max_bad: .nan", "--max-bad: Input should be "),
        (b"learning_rate: 2024-01-01", "--learning-rate: Input should be a valid number, not datetime.date(2024, 1, 1)"),
        (b"name: 2024-01-01", "(in FILE: write the value of name in quotes)"),
        (b"name: 7", "--name: Input should be a valid string, not 7 (in FILE: write the value of name in quotes)"),
        (b"name: no", "--name: this setting is no matter of yes or no"),
        (b"data: [a, b]", "--data: Input should be a valid string, not ['a', 'b']"),
        (b"data: null", "--data: Input should be a valid string, not None (in FILE: leave the line of data out"),
        (b"codes: {kind: 10}", "--codes: Input should be a valid string"),
        (b"conditional: [yes]", "--conditional: Input should be a valid boolean"),
        (b"inception_weights: [a]", "--inception-weights: Input "),
        (b"resolution: [32, 32]", "--resolution: Input should be a valid string"),
        (b"widht: 32", "--widht: Extra inputs are not permitted, not 32 (in FILE: there is no such setting widht"),
        (b"out: runs", "there is no such setting out"),
        (b"7: 8", "there is no such setting 7"),
        (b"null: 8", "there is no such setting None"),
        (b"[a, b]: 8", "--config: cannot read FILE"),
        (b"width: 32\nwidth: 64", "--config: cannot read FILE (width is given twice: keep one of them"),
        (b"batch-size: 32\nbatch_size: 64", "--config: cannot read FILE (batch_size is given twice: keep one of them"),
        (b"objective: wgan", "--objective wgan needs a critic that is held in bounds"),
        (b"", "--config: FILE must hold settings, one 'name: value' a line, and holds nothing"),
        (b"# nothing", "and holds nothing"),
        (b"- width: 32", "--config: FILE must hold settings, one 'name: value' a line, and holds [{'width': 32}]"),
        (b"width 32", "and holds 'width 32'"),
        (b"width: [32", "--config: cannot read FILE (while parsing"),
        (b"a: 1\n---\nb: 2", "--config: cannot read FILE ("),
        (b"width: 2024-13-45", "--config: cannot read FILE (month must be in 1..12)"),
        (b"width: !!bool maybe", "--config: cannot read FILE ("),
        (b"width: !!int ''", "--config: cannot read FILE ("),
        (b"width: !!timestamp soon", "--config: cannot read FILE ("),
        (b"width: !!python/object:os.system {}", "--config: cannot read FILE ("),
        (b"width: \xff", "--config: cannot read FILE ("),
        (b"\0\0\0", "--config: cannot read FILE ("),
        (b"[" * 5000, "--config: cannot read FILE ("),
        (None, "--config: cannot read FILE (Is a directory); it must be a YAML file of settings"),
    ],
)
def test_what_a_file_of_settings_may_hold_instead_is_said_by_file_and_field(capsys, tmp_path, content, expected):
    file = tmp_path / "settings.yaml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    data_flag = [] if b"data" in (content or b"") else ["--data", str(SMALL_DATA)]
    found = said(capsys, "--config", str(file), *data_flag, "--out", str(tmp_path / "runs"))
    assert expected.replace("FILE", str(file)) in found
    assert str(file) in found
    assert len(found) < 1000
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])  # the last two are what PowerShell writes
def test_files_of_settings_are_read_as_people_write_them(tmp_path, encoding):
    (tmp_path / "settings.yaml").write_bytes("batch-size: 32\nname: 'a-1'\nlearning_rate: 1e-4\n".encode(encoding))
    assert files.read_yaml(tmp_path / "settings.yaml", "--config") == {"batch_size": 32, "name": "a-1", "learning_rate": "1e-4"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0100", "0100"),  # 64 in YAML, and 100 where flags are read
        ("1:30", "1:30"),  # 90 in YAML
        ("1:30.5", "1:30.5"),
        ("0x40", "0x40"),
        ("0b11", "0b11"),
        ("6_000", 6000),
        ("-1", -1),
        ("0", 0),
        ("0.5", 0.5),
        ("1.0e-4", 1e-4),
        (".5", 0.5),
        (".inf", math.inf),
        ("48x64", "48x64"),
    ],
)
def test_numbers_in_a_file_of_settings_are_those_that_flags_would_be(tmp_path, written, read):
    (tmp_path / "settings.yaml").write_text(f"images: {written}\n")
    assert files.read_yaml(tmp_path / "settings.yaml", "--config") == {"images": read}


def test_a_number_with_zeros_before_it_is_that_number(tmp_path):
    (tmp_path / "settings.yaml").write_text("images: 0100\nwidth: 016\n")
    config = resolve({}, tmp_path / "settings.yaml", None, ()).config
    assert (config.images, config.width) == (100, 16)


def test_a_value_without_end_is_shortened_and_a_name_is_guessed(tmp_path, capsys):
    lists = "".join(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise("abcdefg"))
    (tmp_path / "settings.yaml").write_text(f"a: &a [x]\n{lists}widht: *g\n")
    found = said(capsys, "--config", str(tmp_path / "settings.yaml"))
    assert "there is no such setting widht" in found
    assert "did you mean width?" in found
    assert len(found) < 5000


@pytest.mark.parametrize("name", ["images", "data"])
def test_a_change_that_needs_no_leave_is_told_which_one_does(tmp_path, caplog, name):
    config = resolve({"data": str(SMALL_DATA)}, None, None, ()).config
    files.check_changes(tmp_path, config, config.model_copy(update={"images": 100}), {name})
    assert f"--change {name}: this setting may always change and need not be named" in caplog.text
    assert "to go on with other images than before, add --change pictures" in caplog.text


def test_a_merged_setting_is_not_given_twice(tmp_path):
    (tmp_path / "settings.yaml").write_text("base: &base {width: 8, seed: 1}\nwhole:\n  <<: *base\n  width: 16\n")
    assert files.read_yaml(tmp_path / "settings.yaml", "--config")["whole"] == {"width": 16, "seed": 1}


def test_a_damaged_configuration_of_a_run_is_said_by_its_file(capsys, tmp_path):
    (tmp_path / "001-x").mkdir()
    (tmp_path / "001-x" / "config.yaml").write_text("width: [1]\nrecipe: [dcgan]\n")
    refused = said(capsys, "--out", str(tmp_path), "--resume", "latest")
    for name in ("width", "recipe"):
        assert re.search(rf"--{name}: .* \(in {tmp_path}/001-x/config.yaml: give {name} one value", refused)


def test_tildes_are_expanded_in_every_path(capsys, tmp_path, monkeypatch):
    """--out=~/runs reaches the command as it is: the shell expands a ~ at the start of a word only."""
    home = tmp_path / "home"
    (home / "pictures").mkdir(parents=True)
    for number in range(24):
        Image.new("L", (16, 16), 10 * number).save(home / "pictures" / f"{number:02d}.png")
    (home / "settings.yaml").write_text("data: ~/pictures\nresolution: 16\nwidth: 4\nbatch_size: 8\nimages: 8\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    where = ["--out=~/runs", "--models=$HOME/models"]
    assert main(["--config=~/settings.yaml", "--recipe", "dcgan", *where, *QUICKLY_MEASURED, "--name", "m"]) == 0
    assert {path.name for path in home.iterdir()} >= {"runs", "models"}
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert main(["--resume=~/runs/001-pictures-dcgan", *where]) == 0
    assert "is done" in capsys.readouterr().out
    assert "nobody-at-all" in said(capsys, "--data=~nobody-at-all/x", *where)
    assert "--out: there is no user of the name 'nobody-at-all' here" in said(capsys, "--out=~nobody-at-all/x")
    assert "--inception-weights" not in capsys.readouterr().err


def test_a_run_that_goes_on_elsewhere_is_left_alone(capsys, tmp_path, short):
    resume = ["--out", str(tmp_path / "runs"), "--models", str(short.models), "--resume", str(short.run), "--images", "192"]
    with run_dir.locked(short.run):
        assert "this run is being trained by another process; stop that first" in said(capsys, *resume)
    assert main(resume) == 0


@pytest.fixture(scope="module")
def four_checkpoints(tmp_path_factory):
    """The folder that a run with four checkpoints is in. Tests must not change it."""
    flags = ("--images", "256", "--width", "4", "--checkpoint-every", "64")
    return train_once(tmp_path_factory, "four-checkpoints", *flags).run.parents[1]


def test_a_damaged_checkpoint_costs_no_more_than_what_came_after_the_one_before(capsys, tmp_path, four_checkpoints):
    whole, harmed = (found(shutil.copytree(four_checkpoints, tmp_path / name)) for name in ("whole", "harmed"))
    first, *others = checkpoints(harmed.run)
    for path in others:
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    for run in (whole, harmed):
        where = ["--out", str(run.run.parent), "--models", str(run.models)]
        assert main([*where, "--resume", "latest", "--images", "320"]) == 0
    said = capsys.readouterr()
    assert said.err.count("going on from the one before") == len(others)
    assert f"resumed from {first}" in said.out
    assert same_tensors(checkpoints(whole.run)[-1], checkpoints(harmed.run)[-1])


def test_a_damaged_best_checkpoint_does_not_keep_a_run_from_its_export(capsys, tmp_path, four_checkpoints):
    first = found(shutil.copytree(four_checkpoints, tmp_path, dirs_exist_ok=True))
    best = ranked(first.run)[0]
    content = best.read_bytes()
    best.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    shutil.rmtree(first.run / "model")
    where = ["--out", str(first.run.parent), "--models", str(first.models)]
    assert main([*where, "--resume", "latest"]) == 0
    assert f"{best.name} cannot be used" in capsys.readouterr().err
    assert (first.run / "model" / "model.json").is_file()


def test_a_run_killed_before_its_model_was_copied_copies_it_the_next_time(capsys, tmp_path, short):
    shutil.rmtree(short.model)
    assert main(["--out", str(short.run.parent), "--models", str(short.models), "--resume", "latest"]) == 0
    assert f"copied to {short.model}" in capsys.readouterr().out
    assert (short.model / "model.json").is_file()


def test_a_file_of_the_data_that_is_damaged_is_no_leave_to_change_it(capsys, tmp_path, short):
    (short.run / "data.json").write_text("{")
    resume = ["--out", str(short.run.parent), "--models", str(short.models), "--resume", "latest", "--images", "192"]
    assert "data.json is damaged; remove it" in said(capsys, *resume)


@pytest.mark.parametrize(("count", "status"), [(19, 2), (20, 0)])
def test_the_fewest_images_that_can_be_learned_from(capsys, tmp_path, count, status):
    (tmp_path / "few").mkdir()
    for number in range(count):
        Image.new("L", (16, 16), 10 * number).save(tmp_path / "few" / f"{number:02d}.png")
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), *QUICKLY_MEASURED]
    assert main(["--data", str(tmp_path / "few"), "--width", "4", "--images", "20", *where]) == status
    assert (f"20 images are the least to learn from, not {count}" in capsys.readouterr().err) == (status == 2)


def same_tensors(one, other):
    ours, theirs = load_file(one), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(tmp_path):
    flags = ["--data", str(SMALL_DATA), "--width", "8", "--images", "1280", "--checkpoint-every", "256", *QUICKLY_MEASURED]
    flags += ["--models", str(tmp_path / "models")]
    assert main([*flags, "--out", str(tmp_path / "whole")]) == 0
    killed, output = [*flags, "--out", str(tmp_path / "killed"), "--resume", "latest"], tmp_path / "output"
    for wanted, moment in ((1, 0.0), (3, 0.05)):  # checkpoints that must be there, and how long after the last one it is killed
        process = processes.start(killed, output)
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("killed/*/checkpoint-*"))) < wanted:
            assert process.is_alive(), output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(moment)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    (tmp_path / "killed" / "001-fashion-mnist-dcgan" / ".gan-tmp-checkpoint-half").write_bytes(b"what a kill leaves")
    process = processes.start(killed, output)
    process.join()
    assert process.exitcode == 0, output.read_text()
    assert "resumed from " in output.read_text()
    whole, parts = (next((tmp_path / name).iterdir()) for name in ("whole", "killed"))
    assert same_tensors(checkpoints(whole)[-1], checkpoints(parts)[-1])
    for name in ("generator.safetensors", "generator.onnx"):
        assert (whole / "model" / name).read_bytes() == (parts / "model" / name).read_bytes()
    assert not list(parts.glob(".gan-tmp-*"))
    seen = [[json.loads(row)["pictures"] for row in (run / "stats.jsonl").read_text().splitlines()] for run in (whole, parts)]
    assert seen[0][-1] == seen[1][-1]
    assert seen[1] == sorted(seen[1])


def test_recipe_auto_is_the_default_for_images_of_ones_own(capsys, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / "pictures" / f"{number:02d}.png")
    where = ["--data", str(tmp_path / "pictures"), "--out", str(tmp_path / "runs"), *QUICKLY_MEASURED, "--width", "8"]
    assert main([*where, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "--recipe auto, for 40 images of about 40x40:" in out
    assert "--augment diffaugment: of 40 images, fewer than 10,000, the discriminator would learn each by heart" in out
    assert "--width 8, as asked" in out
    assert "recipe: auto" in out
    assert "resolution: '40'" in out
    assert main([*where, "--recipe", "dcgan", "--dry-run", "--batch-size", "8"]) == 0
    assert "augment: none" in capsys.readouterr().out


def test_minutes_end_a_run_before_its_images_do(tmp_path):
    trained = train(tmp_path, "--minutes", "0.02", "--images", "100M", "--width", "4")
    assert 0 < pictures_seen(trained.run) < 100_000
    assert json.loads((trained.run / "stats.jsonl").read_text().splitlines()[-1])["seconds"] >= 1.2


def test_resume_latest_starts_anew_where_nothing_stands(capsys, tmp_path):
    train(tmp_path, "--images", "128", "--width", "4", "--resume", "latest")
    assert f"nothing to resume in {tmp_path / 'runs'}: starting anew" in capsys.readouterr().out


def test_sigterm_saves_and_the_run_goes_on_from_there(tmp_path, capsys):
    where, output = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models")], tmp_path / "output"
    start = ["--data", str(SMALL_DATA), "--width", "4", "--images", "100M", "--threads", "1", *QUICKLY_MEASURED]
    process = processes.start([*where, *start], output)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob("runs/*/stats.jsonl")):
        assert process.is_alive(), output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    assert "stopped and saved; go on with: python -m training.run --resume" in output.read_text()
    (run,) = (tmp_path / "runs").iterdir()
    (checkpoint,) = run.glob("checkpoint-*.safetensors")
    seen = int(checkpoint.stem.removeprefix("checkpoint-"))
    assert main([*where, "--resume", "latest", "--images", str(seen + 64)]) == 0
    assert f"resumed from {checkpoint}" in capsys.readouterr().out
    assert (tmp_path / "models" / "fashion-mnist-dcgan" / "model.json").is_file()


def test_a_run_without_its_checkpoints_does_not_begin_anew_over_its_model(capsys, short):
    for path in checkpoints(short.run):
        path.unlink()
    before = (short.run / "model" / "model.json").read_bytes()
    assert "its checkpoints are gone" in said(capsys, "--resume", str(short.run), "--images", "256", "--models", str(short.models))
    assert (short.run / "model" / "model.json").read_bytes() == before


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(capsys, short):
    for path in checkpoints(short.run):
        path.unlink()
    shutil.rmtree(short.run / "model")
    rows = [row for row in (short.run / "stats.jsonl").read_text().splitlines() if "protocol" not in row]
    (short.run / "stats.jsonl").write_text("".join(f"{row}\n" for row in rows))
    assert main(["--resume", str(short.run), "--models", str(short.models)]) == 0
    assert (short.run / "model" / "model.json").is_file()


@pytest.mark.parametrize(
    ("name", "value"), [("width", "8"), ("z-dim", "7"), ("discriminator-norm", "spectral"), ("conditional", None)]
)
def test_the_networks_of_a_run_do_not_change(capsys, short, name, value):
    flags = [f"--{name}", *([value] if value else []), "--change", name, "--images", "256", "--models", str(short.models)]
    message = said(capsys, "--resume", str(short.run), *flags)
    assert f"--change {name.replace('-', '_')}: the networks of {short.run} have" in message
    assert "cannot be used" not in message


def test_settings_that_change_nothing_in_a_finished_run_are_named(capsys, short):
    assert main(["--resume", str(short.run), "--beta1", "0.3", "--change", "beta1", "--models", str(short.models)]) == 0
    assert "--beta1 changed nothing, since the run is done" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("could not create a primitive"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")],
)
def test_too_little_memory_is_a_sentence(capsys, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("training.cli.training_run.train", fail)
    where = ["--out", str(tmp_path), "--models", str(tmp_path / "models"), "--data", str(SMALL_DATA)]
    assert main([*where, "--width", "4", "--features", "random"]) == 1
    message = capsys.readouterr().err
    assert "training.run: there is not enough memory (" in message
    assert "take a smaller --batch-size, --width or --measure, or a --micro-batch-size" in message
    assert "Traceback" not in message


def test_what_promote_cannot_replace_is_said_before_training(capsys, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "shoes").touch()
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), "--data", str(SMALL_DATA)]
    message = said(capsys, *where, "--name", "shoes", "--promote")
    assert f"--promote: {tmp_path / 'models' / 'shoes'} is a file: move it away" in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("flag", ["--out", "--models", "--config"])
def test_an_empty_path_is_not_the_current_folder(capsys, flag):
    assert f"{flag}: is empty, as a variable that is not set" in said(capsys, flag, "")


def test_another_checkpoint_is_exported_by_name_or_images(capsys, tmp_path):
    found = train(tmp_path, "--images", "256", "--checkpoint-every", "128", "--width", "4", "--batch-size", "32")
    capsys.readouterr()
    for wanted, seen in (("128", 128), ("checkpoint-000000256.safetensors", 256), ("0.128k", 128)):
        assert main(["--resume", str(found.run), "--export", wanted, "--models", str(found.models)]) == 0
        assert pictures_seen(found.run) == seen
        assert f"of checkpoint-{seen:09d}, after {seen} images" in capsys.readouterr().out
    refused = said(capsys, "--resume", str(found.run), "--export", "5", "--models", str(found.models))
    assert "has no such checkpoint; it keeps the last three and the best, after so many images: 128, 256" in refused
    assert "--export: name the run whose checkpoint it is by --resume" in said(capsys, "--export", "5")
    # A run that is done, and resumed, has its best checkpoint again.
    assert main(["--resume", str(found.run), "--models", str(found.models)]) == 0


def test_the_end_of_a_run_says_how_good_it_is_and_what_comes_next(capsys, tmp_path):
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "my models")]
    assert main(["--data", str(SMALL_DATA), "--images", "64", "--width", "4", *QUICKLY_MEASURED, *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    run = tmp_path / "runs" / "001-fashion-mnist-dcgan"
    assert any(line.startswith("Fréchet distance ") and "no better than those yet" in line for line in lines)
    assert f"look: {run / 'report.html'}" in lines
    assert (
        f"serve it: GAN_MODELS='{tmp_path / 'my models'}' GAN_DEFAULT_MODEL=fashion-mnist-dcgan make serve, and open "
        in "\n".join(lines)
    )
    assert f"train on, as long again: python -m training.run --resume {run} --images 128 --promote" in lines


def test_real_images_stand_beside_the_samples(conditional):
    names = json.loads((conditional.run / "grid-labels.json").read_text())
    dataset = data.load(str(SMALL_DATA), (32, 32), labelled=True)
    labels = [dataset.classes.index(name) for name in names]
    sheet = np.asarray(Image.open(conditional.run / "real.png"))
    for place, label in enumerate(labels):
        row, column = divmod(place, 8)
        shown = sheet[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert any(np.array_equal(shown, image[0]) for image in dataset.images[dataset.labels == label])
    report = (conditional.run / "report.html").read_text()
    assert f'<li title="{names[0]}"' in report.replace("&#39;", "'")


def test_threads_may_change_when_a_run_goes_on(tmp_path):
    found = train(tmp_path, "--images", "64", "--width", "4", "--threads", "1")
    assert main(["--resume", str(found.run), "--images", "128", "--threads", "2", "--models", str(found.models)]) == 0
    assert last_checkpoint(found.run) == 128


def test_a_run_that_is_done_says_how_much_it_has_had(capsys, tmp_path):
    found = train(tmp_path, "--minutes", "0.02", "--images", "100M", "--width", "4")
    capsys.readouterr()
    assert main(["--resume", str(found.run), "--minutes", "0.01", "--models", str(found.models)]) == 0
    said = capsys.readouterr().err
    assert "--minutes changed nothing, since the run is done: to go on, give more --images than the " in said
    assert re.search(r"and more --minutes than the 0\.\d that it has had", said)
