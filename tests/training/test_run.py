import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import SMALL_DATA, train
from training.run import _find_run, _new_run, main

ROOT = Path(__file__).parents[2]


def said(capsys, *flags):
    """What the command prints to stderr when it refuses to do as told."""
    assert main(list(flags)) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--batch-size", "0"], "--batch-size: Input should be greater than 1, not '0'"),
        (["--images", "many"], "--images: Input should be a valid integer"),
        (["--name", "../up"], "--name: String should match pattern"),
        (["--data", "nowhere"], "--data nowhere: there is no such folder"),
        (["--resolution", "48"], "--resolution: Value error, take a power of two from 16 up"),
        (["--images", "9" * 400], "--images: Input should be less than or equal to"),
        (["--images", "0.0001k"], "--images: Input should be greater than 0"),
        (["--name", "x" * 101], "--name: String should match pattern"),
        (["--models", __file__], "is not a folder; give another"),
        (["--models", "/proc/models"], "--models /proc/models"),
        (["--resume", ""], "--resume: String should have at least 1 character"),
        (["--batch-size", "513"], "--batch-size 513 is more than the 512 pictures there are"),
        (["--config", "nowhere.yaml"], "--config: cannot read nowhere.yaml"),
        (["--resume", "nowhere"], "--resume nowhere: no run there"),
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


def test_help_names_every_flag_with_an_example(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--data", "--batch-size", "--images", "--minutes", "--resume", "--dry-run"):
        assert flag in text
    assert "python -m training.run --resume latest" in text


def test_the_environment_changes_nothing(capsys, monkeypatch, tmp_path):
    for name in ("SEED", "NAME", "OUT", "WIDTH"):
        monkeypatch.setenv(name, "987")
    assert main(["--data", str(SMALL_DATA), "--dry-run", "--out", str(tmp_path)]) == 0
    assert "987" not in capsys.readouterr().out


def test_a_dry_run_shows_the_plan_and_makes_nothing(capsys, tmp_path):
    assert main(["--data", str(SMALL_DATA), "--images", "1.5M", "--dry-run", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "images: 1500000" in out
    assert "512 pictures of 28x28 padded with black to 32x32" in out
    assert "generator: 3,444,480 parameters" in out
    assert "discriminator: 2,633,216 parameters" in out
    assert list(tmp_path.iterdir()) == []


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
    assert [row["pictures"] for row in rows] == [1024, 2048]
    for row in rows:
        assert row["pictures_per_second"] > 0
        assert 0 < row["d_fake"] < row["d_real"] < 1


def test_a_model_that_stands_is_never_replaced(capsys, tmp_path):
    flags = ["--images", "128", "--width", "4"]
    first = train(tmp_path, *flags)
    before = {path.name: path.read_bytes() for path in first.model.iterdir()}
    assert (
        main(["--data", str(SMALL_DATA), "--out", str(tmp_path / "runs"), "--models", str(first.models), *flags, "--seed", "1"])
        == 0
    )
    assert "stands already and was left alone; to serve the new model, copy" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in first.model.iterdir()} == before
    assert (tmp_path / "runs" / "002-fashion-mnist-dcgan" / "model" / "model.json").is_file()

    # A run that is done stays as it is; asked for more it goes on; asked for something else it refuses.
    resume = ["--out", str(tmp_path / "runs"), "--models", str(first.models), "--resume", str(first.run)]
    assert main(resume) == 0
    assert f"{first.run} is done" in capsys.readouterr().out
    assert "would change width from 4 to 8" in said(capsys, *resume, "--width", "8")
    assert main([*resume, "--images", "64"]) == 0  # it is past that
    assert f"{first.run} is done" in capsys.readouterr().out
    assert main([*resume, "--images", "192"]) == 0
    assert pictures_seen(first.run) == 192


def pictures_seen(run):
    return json.loads((run / "model" / "model.json").read_text())["origin"]["pictures_seen"]


def test_a_lengthened_run_that_was_stopped_is_finished_by_the_next_resume(capsys, tmp_path, monkeypatch):
    first = train(tmp_path, "--images", "128", "--width", "4")
    resume = ["--out", str(tmp_path / "runs"), "--models", str(first.models), "--resume", str(first.run)]
    stops = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr("training.run._StopSignal.received", lambda self: next(stops))
        patch.setattr("training.run._StopSignal.number", signal.SIGTERM, raising=False)
        assert main([*resume, "--images", "320"]) != 0
    assert pictures_seen(first.run) == 128
    assert main(resume) == 0
    assert pictures_seen(first.run) == 320


def test_the_latest_run_is_the_one_with_the_highest_number(capsys, tmp_path):
    for name in ("999-z", "1000-a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("width: 0\n")
    assert _find_run(tmp_path, "latest") == tmp_path / "1000-a"
    assert _new_run(tmp_path, "x").name == "1001-x"


def test_minutes_end_a_run_before_its_pictures_do(tmp_path):
    trained = train(tmp_path, "--minutes", "0.02", "--images", "100M", "--width", "4")
    assert 0 < pictures_seen(trained.run) < 100_000
    assert json.loads((trained.run / "stats.jsonl").read_text().splitlines()[-1])["seconds"] >= 1.2


def test_resume_latest_starts_anew_where_nothing_stands(capsys, tmp_path):
    train(tmp_path, "--images", "128", "--width", "4", "--resume", "latest")
    assert f"nothing to resume in {tmp_path / 'runs'}: starting anew" in capsys.readouterr().out


def test_sigterm_saves_and_the_run_goes_on_from_there(tmp_path):
    command = [sys.executable, "-m", "training.run", "--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    start = ["--data", str(SMALL_DATA), "--width", "4", "--images", "100M", "--threads", "1"]
    process = subprocess.Popen([*command, *start], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob("runs/*/stats.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped and saved; go on with: python -m training.run --resume" in stderr
    (run,) = (tmp_path / "runs").iterdir()
    (checkpoint,) = run.glob("checkpoint-*.safetensors")
    seen = int(checkpoint.stem.removeprefix("checkpoint-"))

    result = subprocess.run(
        [*command, "--resume", "latest", "--images", str(seen + 64)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"resumed from {checkpoint}" in result.stdout
    assert (tmp_path / "models" / "fashion-mnist-dcgan" / "model.json").is_file()
