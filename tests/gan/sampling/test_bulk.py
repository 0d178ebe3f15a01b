"""python -m gan.bulk: what it refuses. What it makes is tried in tests/clusters."""

import argparse
from types import SimpleNamespace

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


@pytest.mark.parametrize(
    ("threads", "gpus", "room"),
    [(1, 0, 10), (2, 0, 4), (3, 0, 2), (8, 0, 1), (9, 0, 0), (1, 1, 2), (1, 0.5, 4), (4, 0.25, 2), (8, 3, 0)],
)
def test_processes_fit_into_machines(threads, gpus, room):
    """Ray waits for ever for a process that fits into none, though there is room enough in all together."""
    machines = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0}, {"CPU": 1.0, "memory": 5.0}, {"memory": 5.0}]
    nodes = [{"Alive": True, "Resources": one} for one in machines] + [{"Alive": False, "Resources": {"CPU": 64.0}}]
    ray = SimpleNamespace(nodes=lambda: nodes)
    if room:
        assert bulk._room(ray, threads, gpus) == room
    else:
        with pytest.raises(bulk.BulkError, match=f"no machine of the cluster has room for a process of {threads} processors"):
            bulk._room(ray, threads, gpus)


def test_a_process_says_what_it_cannot_write(conditional, tmp_path):
    loaded = bulk.model.load(conditional.model, threads=1)
    plan = command.plan_of(sample_arguments([str(conditional.model), "--seeds", "0-9", "--out", str(tmp_path)]), loaded, "zip")
    sets.begin(Store(str(tmp_path)), plan.record(loaded.folder.title))
    drawer = bulk.Drawer(str(conditional.model), str(tmp_path), plan, "onnx", 1, loaded.folder.title)
    assert drawer({"place": 0, "there": False})["failure"] == ""
    (tmp_path / plan.name(0)).unlink()
    (tmp_path / plan.name(0)).mkdir()
    assert "shard-000000.zip cannot be written" in drawer({"place": 0, "there": False})["failure"]


def sample_arguments(arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)
