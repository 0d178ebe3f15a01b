"""Folders that come, go and change places while the service runs."""

import re
import shutil
import threading

import pytest
from prometheus_client import REGISTRY

from gan.errors import ModelFolderError
from gan.runtimes import base, torchscript
from serving.app import Api
from serving.batching import Batcher
from serving.folders import DeadLinkError
from serving.metrics import metrics
from serving.models import FolderGone, Models
from serving.settings import Settings
from tests.privileges import as_ordinary_user
from tests.serving.test_api import refused
from tests.serving.test_reload import served, write


@pytest.fixture
def models(trained, tmp_path):
    """A folder with two models, of which `shoes` is the default."""
    write(trained, tmp_path / "models" / "shoes", scale=1.0)
    write(trained, tmp_path / "models" / "hats", scale=2.0, name="hats")
    return tmp_path / "models"


@pytest.fixture(autouse=True)
def _default(monkeypatch):
    monkeypatch.setenv("GAN_DEFAULT_MODEL", "shoes")


def scans(api, times):
    for _ in range(times):
        api.scan_models()


def reloads(outcome):
    return REGISTRY.get_sample_value("gan_model_reloads_total", {"outcome": outcome}) or 0


def told():
    """The models that the metrics know of."""
    lines = metrics().text_of_this_moment().splitlines()
    return [
        f"{name}@{version}" for line in lines for name, version in re.findall('{name="(.*)",runtime=".*",version="(.*)"} 1.0', line)
    ]


def test_a_folder_taken_away_is_dropped_after_two_scans_and_served_again_when_it_returns(reload_client, reload_api, models, caplog):
    hats, shoes = served(reload_client)
    dropped = reloads("dropped")
    away = (models / "hats").rename(models.parent / "hats")
    scans(reload_api, 1)
    assert served(reload_client) == [hats, shoes]  # it may be on its way to another version
    scans(reload_api, 3)
    assert served(reload_client) == [shoes]
    refused(reload_client.get("/generate?model=hats"), 404, ("model",))
    assert f"there is {shoes}" in reload_client.get("/generate?model=hats").json()["detail"]
    assert told() == [shoes]
    assert reloads("dropped") == dropped + 1
    assert sum("no longer served" in record.message for record in caplog.records) == 1
    refused(reload_client.post("/models/hats/reload"), 404)

    away.rename(models / "hats")
    scans(reload_api, 2)
    assert served(reload_client) == [hats, shoes]
    assert reload_client.get("/generate?model=hats").headers["x-model"] == hats
    assert told() == [hats, shoes]


def test_a_folder_away_for_one_scan_only_is_served_all_the_while(reload_client, reload_api, models, caplog):
    before = served(reload_client)
    for _ in range(3):
        away = (models / "hats").rename(models.parent / "hats")
        scans(reload_api, 1)
        away.rename(models / "hats")
        scans(reload_api, 1)
        assert served(reload_client) == before
    assert not any("gone" in record.message for record in caplog.records)


def test_the_default_models_folder_taken_away_is_said_once(reload_client, reload_api, models, caplog):
    before = served(reload_client)
    away = (models / "shoes").rename(models.parent / "shoes")
    scans(reload_api, 4)
    assert served(reload_client) == before
    assert reload_client.get("/generate").headers["x-model"] == before[1]
    assert sum("as the default model it is served until the next start" in record.message for record in caplog.records) == 1
    away.rename(models / "shoes")
    scans(reload_api, 2)
    assert served(reload_client) == before
    (models / "shoes").rename(models.parent / "shoes")
    scans(reload_api, 2)
    assert sum("as the default model it is served until the next start" in record.message for record in caplog.records) == 2


def test_the_folder_of_models_away_or_unreadable_changes_nothing_and_is_said_once(reload_client, reload_api, models, caplog):
    before = served(reload_client)
    away = models.rename(models.parent / "away")
    scans(reload_api, 4)
    assert served(reload_client) == before
    assert sum(f"there is no folder {models}" in record.message for record in caplog.records) == 1
    away.rename(models)
    scans(reload_api, 2)
    assert served(reload_client) == before


@pytest.mark.parametrize("mode", [0, 0o444, 0o111])
def test_a_folder_of_models_that_may_not_be_read_changes_nothing_and_is_said_once(reload_client, reload_api, models, caplog, mode):
    before = served(reload_client)
    models.chmod(mode)
    try:
        with as_ordinary_user():
            scans(reload_api, 4)
            with pytest.raises(
                ModelFolderError, match=f"cannot read {models} .Permission denied.: let the user that reads it do so"
            ):
                Models(Settings(models=models))
    finally:
        models.chmod(0o755)
    assert served(reload_client) == before
    assert sum(f"cannot read {models} (Permission denied)" in record.message for record in caplog.records) == 1


def test_a_renamed_folder_is_the_same_model(reload_client, reload_api, models):
    before = served(reload_client)
    (models / "hats").rename(models / "headgear")
    for _ in range(4):
        scans(reload_api, 1)
        assert served(reload_client) == before
    assert reload_client.post("/models/hats/reload").status_code == 200


@pytest.mark.parametrize("name", ["hats", "shoes"])  # shoes is the default model
def test_a_folder_renamed_and_back_is_served_all_the_while(reload_client, reload_api, models, caplog, name):
    before = served(reload_client)
    for _ in range(2):
        (models / name).rename(models / "headgear")
        for _ in range(4):
            scans(reload_api, 1)
            assert served(reload_client) == before
        (models / "headgear").rename(models / name)
        for _ in range(4):
            scans(reload_api, 1)
            assert served(reload_client) == before
    assert not any("gone" in record.message for record in caplog.records)


def test_a_folder_that_holds_another_model_now_is_no_longer_the_first_one(reload_client, reload_api, trained, models):
    _, shoes = served(reload_client)
    gloves = write(trained, models / "hats", scale=3.0, name="gloves")
    scans(reload_api, 4)
    assert served(reload_client) == [gloves, shoes]


def test_a_second_folder_of_one_name_is_said_once_and_served_once_the_first_is_gone(
    reload_client, reload_api, trained, models, caplog
):
    hats, shoes = served(reload_client)
    others = write(trained, models / "copy", scale=3.0, name="hats")
    scans(reload_api, 4)
    assert served(reload_client) == [hats, shoes]
    assert sum("hold models of one name, hats" in record.message for record in caplog.records) == 1
    shutil.rmtree(models / "hats")
    found = []
    for _ in range(4):
        scans(reload_api, 1)
        found.append(served(reload_client))
    assert [hats, shoes] in found
    assert [shoes] not in found  # without a gap
    assert found[-1] == [others, shoes]
    assert sum("hold models of one name" in record.message for record in caplog.records) == 1


def test_the_second_folder_of_a_name_is_served_without_a_gap_once_the_first_holds_another_model(
    reload_client, reload_api, trained, models
):
    _, shoes = served(reload_client)
    others = write(trained, models / "copy", scale=3.0, name="hats")
    scans(reload_api, 3)
    gloves = write(trained, models / "hats", scale=4.0, name="gloves")
    found = []
    for _ in range(4):
        scans(reload_api, 1)
        found.append([title for title in served(reload_client) if title.startswith("hats@")])
    assert [] not in found
    assert served(reload_client) == sorted([others, gloves, shoes])


def test_a_link_to_nowhere_is_reported_once(reload_client, reload_api, models, caplog):
    refusals = reloads("refused")
    (models / "dangling").symlink_to(models / "nowhere")
    (models / "loop").symlink_to(models / "loop")
    scans(reload_api, 1)
    assert reloads("refused") == refusals  # it may be about to be replaced
    scans(reload_api, 3)
    assert [name for name in ("dangling", "loop") if f"{models / name} is a link to nowhere" in caplog.text] == ["dangling", "loop"]
    assert reloads("refused") == refusals + 2
    (models / "dangling").unlink()
    scans(reload_api, 2)
    (models / "dangling").symlink_to(models / "nowhere")
    scans(reload_api, 3)
    assert reloads("refused") == refusals + 3


def test_one_left_out_at_the_start_is_served_once_it_is_mended(trained, models):
    whole = (models / "hats" / "generator.onnx").read_bytes()
    (models / "hats" / "generator.onnx").write_bytes(b"cut")
    there = Models(Settings(models=models))
    assert [model.folder.manifest.name for model in there.all()] == ["shoes"]
    assert [list(there.scan()) for _ in range(3)] == [[], [], []]  # it was said at the start
    (models / "hats" / "generator.onnx").write_bytes(whole)
    (found,) = [found for _ in range(3) for found in there.scan()]
    assert found.folder.manifest.name == "hats"


def test_a_link_to_a_model_folder_is_one(trained, models):
    (models / "hats").rename(models.parent / "hats-1")
    write(trained, models.parent / "hats-2", scale=3.0, name="hats")
    (models / "hats").symlink_to(models.parent / "hats-1")
    there = Models(Settings(models=models))
    before = there.get("hats").folder.title
    (models / ".next").symlink_to(models.parent / "hats-2")
    (models / ".next").rename(models / "hats")  # as `ln -sfn` or a config map exchanges it
    (found,) = [found for _ in range(3) for found in there.scan()]
    assert found.folder.title == there.get("hats").folder.title != before
    shutil.rmtree(models.parent / "hats-2")
    found = [found for _ in range(5) for found in there.scan()]
    assert [type(one) for one in found] == [DeadLinkError, FolderGone]


def test_only_what_must_have_the_device_alone_is_done_in_its_thread(trained, models, monkeypatch):
    """A capture of a CUDA graph must; loading for ONNX Runtime must not, since nothing is drawn meanwhile."""
    seen = []

    def noting(kind, function):
        plain = getattr(kind, function)

        def noted(self, *arguments):
            seen.append(threading.current_thread().name)
            return plain(self, *arguments)

        monkeypatch.setattr(kind, function, noted)

    noting(torchscript.TorchScriptEngine, "_levels")
    noting(base, "rows_agree")
    for chosen, expected in (("torchscript", {"device"}), ("onnx", {"MainThread"})):
        batcher = Batcher()
        settings = Settings(models=models, runtime=chosen, device="cpu", threads=1)
        there, routes = Models(settings, batcher.call), Api()
        routes.open(there, batcher, settings)
        seen.clear()
        write(trained, models / "hats", scale=3.0, name="hats")
        scans(routes, 2)
        assert set(seen) == expected
        batcher.close()
