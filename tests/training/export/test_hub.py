"""Publishing on the Hugging Face Hub: through its client, to a server that speaks its API, and back into a service."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
import yaml

from gan import model_folder
from serving.fetching import fetch
from tests.hub import TOKEN, client_of, running_hub, small_model
from training.publish import main


@pytest.fixture(scope="module")
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def shop(hub, tmp_path, monkeypatch):
    """An empty hub, and a model folder to publish there."""
    hub.repositories.clear()
    hub.asked.clear()
    hub.full = False
    with client_of(hub, monkeypatch, tmp_path / "cache", TOKEN):
        yield hub, small_model(tmp_path / "shoes")


def published(capsys, *arguments):
    """The setting in the last line of what the command prints."""
    assert main([str(one) for one in arguments]) == 0
    return capsys.readouterr().out.splitlines()[-1].removeprefix("GAN_FETCH=")


def refused(capsys, *arguments, status=2):
    assert main([str(one) for one in arguments]) == status
    said = capsys.readouterr().err
    assert said.count("training.publish: ") == 1
    assert "Traceback" not in said
    return said.partition("training.publish: ")[2]


def header_of(hub, repository="me/shoes", branch="main"):
    card = hub.repositories[repository].files(branch)["README.md"].decode()
    _, header, text = card.split("---\n", 2)
    return yaml.safe_load(header), text


def test_a_service_fetches_what_was_published_by_the_setting_that_is_printed(shop, tmp_path, capsys):
    hub, folder = shop
    address = published(capsys, folder, "hf://me/shoes")
    digest = hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()
    assert address == f"hf://me/shoes@{hub.repositories['me/shoes'].branches['main']}#sha256={digest}"
    assert set(hub.repositories["me/shoes"].files("main")) == {path.name for path in folder.iterdir()}
    fetched = model_folder.read(fetch(address, tmp_path / "models"))
    assert fetched.manifest == model_folder.read(folder).manifest


def test_the_card_tells_the_hub_what_the_model_is(shop, capsys):
    hub, folder = shop
    address = published(capsys, folder, "hf://me/shoes")
    header, text = header_of(hub)
    manifest = model_folder.read_manifest(folder)
    assert header["license"] == "mit"
    assert header["pipeline_tag"] == "unconditional-image-generation"
    assert header["library_name"] == "gan-service"
    assert {"gan", "dcgan", "onnx", "safetensors"} <= set(header["tags"])
    (index,) = header["model-index"]
    (results,) = index["results"]
    assert results["dataset"]["name"] == "fashion-mnist"
    assert {one["type"]: one["value"] for one in results["metrics"]} == {one.name: one.value for one in manifest.metrics}
    assert text.strip().startswith((folder / "README.md").read_text().strip())
    assert f"GAN_FETCH=hf://me/shoes@main#{address.split('#')[1]}" in text
    from huggingface_hub import ModelCard

    card = ModelCard(hub.repositories["me/shoes"].files("main")["README.md"].decode())
    assert card.data.eval_results[0].metric_value == manifest.metrics[0].value


def test_a_header_of_ones_own_is_kept_and_a_licence_is_taken(shop, capsys):
    hub, folder = shop
    (folder / "README.md").write_text("---\ntags: [shoes]\ndatasets: [me/shoes]\nlicense: mit\n---\n# Shoes\n")
    published(capsys, folder, "hf://me/shoes", "--licence", "other")
    header, text = header_of(hub)
    assert (header["license"], header["tags"], header["datasets"]) == ("other", ["shoes"], ["me/shoes"])
    assert header["library_name"] == "gan-service"
    assert text.strip().startswith("# Shoes\n")


def test_a_private_repository_and_a_branch_are_made(shop, capsys):
    hub, folder = shop
    address = published(capsys, folder, "hf://me/shoes", "--private", "--revision", "v/1")
    repository = hub.repositories["me/shoes"]
    assert repository.private
    assert address.split("@")[1].startswith(repository.branches["v/1"])
    assert "model.json" in repository.files("v/1")
    assert repository.files("main") == {}
    assert published(capsys, folder, "hf://me/shoes", "--private", "--revision", "v/1").startswith("hf://me/shoes@")


def test_a_public_repository_does_not_get_what_was_to_be_private(shop, capsys):
    hub, folder = shop
    published(capsys, folder, "hf://me/shoes")
    before = hub.repositories["me/shoes"].branches["main"]
    assert "hf://me/shoes exists and is public" in refused(capsys, folder, "hf://me/shoes", "--private")
    assert hub.repositories["me/shoes"].branches["main"] == before


def test_a_dry_run_shows_all_and_asks_nobody(shop, capsys, monkeypatch):
    hub, folder = shop
    monkeypatch.delenv("HF_TOKEN")
    assert main([str(folder), "hf://me/shoes", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for part in (
        "generator.onnx",
        "14,000 bytes",
        "license: mit",
        "where the images were (fashion-mnist)",
        "GAN_FETCH=hf://me/shoes@",
    ):
        assert part in said
    assert hub.asked == []


def test_what_cannot_be_published_is_said_before_anything_is_sent(shop, tmp_path, capsys, monkeypatch):
    hub, folder = shop
    assert "write hf://owner/name" in refused(capsys, folder, "me/shoes")
    assert "write hf://owner/name" in refused(capsys, folder, "hf://me/shoes@main")
    assert "there is no model folder" in refused(capsys, tmp_path / "boots", "hf://me/shoes")
    (folder / "README.md").write_text("---\n: [\n---\n# Shoes\n")
    assert "its header is no YAML" in refused(capsys, folder, "hf://me/shoes")
    (folder / "README.md").write_text("# Shoes\n")
    manifest = json.loads((folder / "model.json").read_text()) | {"licence": "that of the images it was trained on"}
    (folder / "model.json").write_text(json.dumps(manifest))
    assert "the licence is missing: the model says 'that of the images" in refused(capsys, folder, "hf://me/shoes")
    monkeypatch.delenv("HF_TOKEN")
    said = refused(capsys, folder, "hf://me/shoes", "--licence", "mit")
    assert "there is no token for the Hub: set HF_TOKEN" in said
    (folder / "generator.onnx").write_bytes(b"cut")
    assert "generator.onnx is damaged" in refused(capsys, folder, "hf://me/shoes")
    (folder / "generator.onnx").write_bytes(b"generator.onnx" * 1000)
    remedy = "huggingface_hub 2 or newer, which is not installed here"
    with monkeypatch.context() as version_1:  # whose client speaks by another library
        version_1.setitem(sys.modules, "httpx2", None)
        assert remedy in refused(capsys, folder, "hf://me/shoes", "--licence", "mit")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    said = refused(capsys, folder, "hf://me/shoes", "--licence", "mit")
    assert remedy in said
    assert "install the extra 'hub' (pip install 'huggingface_hub>=2')" in said
    assert hub.asked == []


def test_what_the_hub_refuses_is_said(shop, capsys, monkeypatch):
    hub, folder = shop
    said = refused(capsys, folder, "hf://others/shoes", status=1)
    assert "You don't have the rights to create a model under others" in said
    assert "take one that may write, of somebody who belongs to others" in said
    said = refused(capsys, folder, "hf://me/shoes", "--licence", "my-own", status=1)
    assert '"license" must be one of' in said
    assert "give another --licence" in said
    assert "write hf://" not in refused(capsys, folder, "hf://me/shoes", "--revision", "refs/pr/9", status=1)
    hub.full = True
    assert "403" in refused(capsys, folder, "hf://me/shoes", status=1)
    assert hub.repositories["me/shoes"].files("main") == {}
    hub.full = False
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "may not write" in refused(capsys, folder, "hf://me/shoes", status=1)


def test_a_hub_that_cannot_be_reached(shop, capsys, monkeypatch):
    _, folder = shop
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    said = refused(capsys, folder, "hf://me/shoes", status=1)
    assert "cannot reach http://127.0.0.1:1 (ConnectError: " in said


def test_the_command_takes_the_variables_of_the_client(shop, tmp_path):
    """As a process reads them that starts with them."""
    hub, folder = shop
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "training.publish", folder, "hf://me/shoes"]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1].startswith("GAN_FETCH=hf://me/shoes@")
