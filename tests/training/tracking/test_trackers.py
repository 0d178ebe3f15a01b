"""--log: what TensorBoard, MLflow and W&B have of a run, through their clients, into stores on this machine."""

import json
import logging

import numpy as np
import pytest

from gan.manifest_parts import Metric
from training.config.schema import TrainingConfig
from training.errors import UsageError
from training.run import main
from training.tracking import trackers
from training.tracking.trackers import TRACKING, Trackers, check_installed

GRID = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
FIGURES = [Metric(name="frechet", value=0.25, protocol="p"), Metric(name="label_accuracy/T-shirt, top", value=1.0, protocol="p")]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store of MLflow for all tests here: to make its tables takes a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(autouse=True)
def settings(store, tmp_path, monkeypatch):
    """The clients' settings: stores in the tests' folders, and nothing that asks the network."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "WANDB_MODE": "offline",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path):
    """Of a run."""
    (folder := tmp_path / "007-shoes-dcgan").mkdir()
    return folder


def configured(log, **more):
    return TrainingConfig(log=log, **more)


def log_a_run(log, folder, seen=64, finished=True, **more):
    with Trackers.open(configured(log, **more), folder, seen - 64) as opened:
        opened.scalars({"pictures": seen, "loss_d": 0.5, "protocol": "how"}, seen)
        opened.image("samples", GRID, seen)
        if finished:
            opened.finish(FIGURES, seen)


def test_mlflow_has_all_of_a_run_and_a_resumed_one_goes_on_in_it(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "garments")
    log_a_run("mlflow", folder, finished=False)
    from mlflow.tracking import MlflowClient

    client, run_id = MlflowClient(), json.loads((folder / TRACKING).read_text())["mlflow"]
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("KILLED", "007-shoes-dcgan")
    assert client.get_experiment(run.info.experiment_id).name == "garments"
    assert run.data.params["learning_rate"] == "0.0002"

    log_a_run("mlflow", folder, seen=128, images=900_000)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert [(one.step, one.value) for one in client.get_metric_history(run_id, "loss_d")] == [(64, 0.5), (128, 0.5)]
    assert {name: value for name, value in run.data.metrics.items() if name.startswith("final/")} == {
        "final/frechet": 0.25,
        "final/label_accuracy/T-shirt_ top": 1.0,
    }
    artifacts = [one.path for one in (*client.list_artifacts(run_id), *client.list_artifacts(run_id, "images"))]
    assert "config.yaml" in artifacts
    assert {
        step for step in (64, 128) for path in artifacts if f"samples%step%{step}%" in path or f"samples+step+{step}+" in path
    } == {
        64,
        128,
    }
    assert len(client.search_runs([run.info.experiment_id])) == 1


def test_a_store_of_mlflow_that_fails_later_does_not_end_a_run(folder, monkeypatch, caplog):
    from mlflow.tracking import MlflowClient

    def fail(*_, **__):
        raise ConnectionError("the server has gone")

    monkeypatch.setattr(logging.getLogger("training"), "propagate", True)
    whole = MlflowClient.log_batch
    with caplog.at_level(logging.WARNING), Trackers.open(configured("mlflow"), folder, 0) as opened:
        monkeypatch.setattr(MlflowClient, "log_batch", fail)
        for seen in range(64, 640, 64):
            opened.scalars({"loss_d": 0.5}, seen)
        opened._opened["mlflow"]._thread.submit(lambda: None).result()  # until it has failed
        opened.scalars({"loss_d": 0.5}, 640)
        monkeypatch.setattr(MlflowClient, "log_batch", whole)
    assert [record.getMessage() for record in caplog.records if "--log" in record.getMessage()] == [
        "--log mlflow fails (the server has gone): the run goes on, and what is missing there is in its folder"
    ]


def test_mlflow_without_a_server_or_without_the_run_is_refused_before_training(folder, store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"--log mlflow: cannot use http://127.0.0.1:1 \(.*see that MLFLOW_TRACKING_URI is right"):
        Trackers.open(configured("mlflow"), folder, 0)
    assert not (folder / TRACKING).exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    (folder / TRACKING).write_text(json.dumps({"mlflow": "0" * 32}))
    with pytest.raises(UsageError, match=r"cannot use the run 0{32} in .*or remove .*/tracking.json to begin another run"):
        Trackers.open(configured("mlflow"), folder, 64)


def test_wandb_offline_has_all_of_a_run_and_a_resumed_one_goes_on_in_it(folder):
    import wandb

    log_a_run("wandb", folder, finished=False)
    run_id = json.loads((folder / TRACKING).read_text())["wandb"]
    log_a_run("wandb", folder, seen=128, images=900_000)
    assert json.loads((folder / TRACKING).read_text()) == {"wandb": run_id}
    wandb.teardown()  # its process, which writes the end of a file after it has said that the run has ended
    written = list((folder / "wandb").glob(f"offline-run-*/run-{run_id}.wandb"))
    content = b"".join(path.read_bytes() for path in written)
    for part in (b"loss_d", b"learning_rate", b"final/frechet", b"007-shoes-dcgan", b"gan-service"):
        assert part in content
    assert list((folder / "wandb").glob("offline-run-*/files/media/images/samples_*.png"))


def test_tensorboard_has_what_the_command_trained(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained.run))
    events.Reload()
    tags = events.Tags()
    assert {"loss_d", "frechet", "final/frechet"} <= set(tags["scalars"])
    assert tags["images"] == ["samples"]
    assert b"learning_rate: 0.0002" in events.Tensors("configuration/text_summary")[0].tensor_proto.string_val[0]
    (final,) = events.Scalars("final/frechet")
    metrics = {one["name"]: one["value"] for one in json.loads((trained.model / "model.json").read_text())["metrics"]}
    assert final.value == pytest.approx(metrics["frechet"])
    assert final.step == 2000 // 64 * 64 + 64


def test_none_writes_nothing(folder):
    log_a_run("none", folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("tensorbord", "--log: there is no tensorbord one: take some of tensorboard, mlflow, wandb, by commas, or none"),
        ("mlflow,", "--log: there is no empty one"),
        ("none,mlflow", "--log: there is no none one"),
    ],
)
def test_a_name_that_is_none_is_refused(capsys, log, said):
    assert main(["--log", log, "--dry-run"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("name", "package"), [("mlflow", "mlflow-skinny sqlalchemy alembic"), ("wandb", "wandb")])
def test_a_package_that_is_missing_is_said(capsys, monkeypatch, name, package):
    monkeypatch.setattr(trackers, "find_spec", lambda wanted: None if wanted == name else object())
    assert main(["--log", f"tensorboard,{name}"]) == 2
    said = (
        f"--log {name}: its package is not installed here: install the extra '{name}' (pip install {package}), or leave {name} out"
    )
    assert said in capsys.readouterr().err
    check_installed(configured("tensorboard"))
