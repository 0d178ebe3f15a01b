"""python -m gan.bulk: what it refuses. What it makes is tried in tests/clusters."""

import argparse

import pytest

from gan import bulk
from gan.sampling import command, sets
from gan.sampling.store import Store


def test_flags_that_cannot_be(conditional, tmp_path, capsys):
    arguments = [str(conditional.model), "--seeds", "0-9", "--out", str(tmp_path / "set")]
    assert bulk.main([*arguments, "--label", "Hat"]) == 1
    assert "--label Hat: there is no such class" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    assert bulk.main([*arguments, "--ray", "ray://127.0.0.1:1"]) == 1
    assert "Ray cannot be reached at ray://127.0.0.1:1" in capsys.readouterr().err
    for flag, value in (("--processes", "0"), ("--threads", "-1"), ("--gpus", "-1"), ("--gpus", "1.5"), ("--gpus", "nan")):
        with pytest.raises(SystemExit, match="2"):
            bulk.main([*arguments, flag, value])
        assert f"argument {flag}: must be" in capsys.readouterr().err


def test_another_model_on_another_machine_is_refused(conditional, trained, tmp_path):
    plan = command.plan_of(
        sample_arguments([str(conditional.model), "--seeds", "0-9", "--out", str(tmp_path)]),
        bulk.model.load(conditional.model, threads=1),
        "zip",
    )
    with pytest.raises(bulk.BulkError, match="copy the same folder to all"):
        bulk.Drawer(str(trained.model), str(tmp_path), plan, "onnx", 1, "another@000000000000")


def test_another_folder_on_another_machine_is_refused(conditional, tmp_path):
    loaded = bulk.model.load(conditional.model, threads=1)
    plan = command.plan_of(
        sample_arguments([str(conditional.model), "--seeds", "0-9", "--out", str(tmp_path / "here")]), loaded, "zip"
    )
    title = loaded.folder.title
    sets.begin(Store(str(tmp_path / "here")), plan.record(title))
    bulk.Drawer(str(conditional.model), str(tmp_path / "here"), plan, "onnx", 1, title)
    with pytest.raises(bulk.BulkError, match="is another folder on this machine: give one that all share"):
        bulk.Drawer(str(conditional.model), str(tmp_path / "there"), plan, "onnx", 1, title)


def test_the_folder_is_the_commands_for_a_process_elsewhere(tmp_path, monkeypatch):
    """Processes of a cluster have the current folder of `ray start`."""
    monkeypatch.chdir(tmp_path)
    assert Store("set").absolute == str(tmp_path / "set")
    assert Store("memory://set").absolute == "memory://set"


def sample_arguments(arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)
