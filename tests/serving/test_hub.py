"""Models from the Hugging Face Hub: hf://owner/name@revision, through its client, from a server that speaks its API."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from gan import model_folder
from gan.errors import ModelFolderError
from serving.fetching import fetch
from tests.hub import TOKEN, client_of, running_hub, small_model


def digest(folder):
    return hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def shop(hub, tmp_path, monkeypatch):
    """A hub with one model, me/shoes, and the folder that it was made from."""
    folder = small_model(tmp_path / "shop")
    hub.repositories.clear()
    hub.asked.clear()
    hub.breaks_off = ""
    hub.add("me/shoes", folder)
    with client_of(hub, monkeypatch, tmp_path / "cache"):
        yield hub, folder


@pytest.mark.parametrize("revision", ["", "@main", "@{commit}", "@v%2F1"])
def test_a_model_is_fetched_whole_at_a_revision_and_only_once(shop, tmp_path, revision):
    hub, folder = shop
    repository = hub.repositories["me/shoes"]
    repository.branches["v/1"] = repository.branches["main"]
    address = f"hf://me/shoes{revision.format(commit=repository.branches['main'])}#sha256={digest(folder)}"
    fetched = fetch(address, tmp_path / "models")
    assert fetched == tmp_path / "models" / "fashion-mnist-dcgan"
    assert model_folder.read(fetched).manifest == model_folder.read(folder).manifest
    hub.asked.clear()
    assert fetch(address, tmp_path / "models") == fetched
    assert hub.asked == []


def test_a_model_in_a_folder_of_a_repository(shop, tmp_path):
    hub, folder = shop
    repository = hub.repositories["me/shoes"]
    repository.commit("main", {f"small/{name}": data for name, data in repository.files("main").items()})
    fetch(f"hf://me/shoes@main/small#sha256={digest(folder)}", tmp_path / "models")
    assert {path.split("/main/")[1].split("/")[0] for _, path, _ in hub.asked if "/resolve/" in path} == {"small"}


@pytest.mark.parametrize("file", ["model.json", "generator.onnx"])
def test_a_file_that_was_tampered_with_is_refused_and_nothing_is_left(shop, tmp_path, file):
    hub, folder = shop
    meant = digest(folder)
    (folder / file).write_bytes((folder / file).read_bytes()[:-1])
    hub.add("me/shoes", folder)
    with pytest.raises(ModelFolderError, match=rf"^hf://me/shoes/{file} is not the file that is meant"):
        fetch(f"hf://me/shoes#sha256={meant}", tmp_path / "models")
    assert list((tmp_path / "models").glob("*")) == []


@pytest.mark.parametrize("name", ["../evil.onnx", "/tmp/evil.onnx", "a/b.onnx", ".."])
def test_a_manifest_that_names_files_elsewhere_is_refused_though_its_digest_is_right(shop, tmp_path, name):
    hub, folder = shop
    manifest = json.loads((folder / "model.json").read_text())
    manifest["files"][name] = hashlib.sha256(b"evil").hexdigest()
    (folder / "model.json").write_text(json.dumps(manifest))
    hub.add("me/shoes", folder)
    with pytest.raises(ModelFolderError, match="names a file that is none of its folder's"):
        fetch(f"hf://me/shoes#sha256={digest(folder)}", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_download_that_breaks_off_leaves_nothing_and_the_next_one_is_whole(shop, tmp_path):
    hub, folder = shop
    address = f"hf://me/shoes#sha256={digest(folder)}"
    hub.breaks_off = hashlib.sha256((folder / "generator.onnx").read_bytes()).hexdigest()
    with pytest.raises(ModelFolderError, match=r"cannot fetch hf://me/shoes/generator.onnx \(\w+: .*Not enough data"):
        fetch(address, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []
    hub.breaks_off = ""
    assert model_folder.read(fetch(address, tmp_path / "models"))


def test_a_private_model_takes_a_token_which_goes_to_no_other_server(shop, tmp_path, monkeypatch):
    hub, folder = shop
    hub.repositories["me/shoes"].private = True
    address = f"hf://me/shoes#sha256={digest(folder)}"
    with pytest.raises(ModelFolderError, match=r"cannot fetch hf://me/shoes/model.json .*401.* private needs HF_TOKEN"):
        fetch(address, tmp_path / "models")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.asked.clear()
    fetch(address, tmp_path / "models")
    assert {token for _, path, token in hub.asked if "/resolve/" in path} == {TOKEN}
    assert {token for _, path, token in hub.asked if path.startswith("/lfs/")} == {""}


def test_offline_it_comes_from_the_cache_of_the_client_or_that_says_how_to_fill_it(shop, tmp_path, monkeypatch):
    from huggingface_hub import constants, hf_hub_download

    hub, folder = shop
    address = f"hf://me/shoes@main#sha256={digest(folder)}"
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        said = r"model.json is not in the cache .* HF_HUB_OFFLINE is set.*hf download me/shoes --revision main"
        with pytest.raises(ModelFolderError, match=said):
            fetch(address, tmp_path / "models")
    for name in ("model.json", *model_folder.read_manifest(folder).files):
        hf_hub_download("me/shoes", name, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert model_folder.read(fetch(address, tmp_path / "models"))
    assert hub.asked == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf://me/shoes", "does not end in #sha256= and 64 hex digits"),
        ("hf://shoes#", "is none of the Hub: write hf://owner/name@revision"),
        ("hf://me/../shoes#", r"is none of the Hub \(.*: write hf://owner/name@revision"),
        ("hf://me/--shoes..#", r"is none of the Hub \(.*: write hf://owner/name@revision"),
        ("hf://me/boots#", r"cannot fetch hf://me/boots/model.json \(.*401"),
        ("hf://me/shoes@v9#", r"cannot fetch hf://me/shoes@v9/model.json \(.*404"),
    ],
)
def test_what_cannot_be_fetched_is_said(shop, tmp_path, address, said):
    digest = f"sha256={'0' * 64}" if address.endswith("#") else ""
    with pytest.raises(ModelFolderError, match=said):
        fetch(address + digest, tmp_path / "models")


def test_without_the_client_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    said = r"hf://me/shoes/model.json needs huggingface_hub, which is not installed here .*: pip install huggingface_hub$"
    with pytest.raises(ModelFolderError, match=said):
        fetch(f"hf://me/shoes#sha256={'0' * 64}", tmp_path)


def test_the_variables_of_the_client_are_those_of_the_service(shop, tmp_path):
    """As a process reads them that starts with them."""
    hub, folder = shop
    hub.repositories["me/shoes"].private = True
    code = "import sys; from pathlib import Path; from serving.fetching import fetch; fetch(sys.argv[1], Path(sys.argv[2]))"
    address, models = f"hf://me/shoes#sha256={digest(folder)}", tmp_path / "models"
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", code, address, models], env=os.environ | settings, check=True, timeout=60)
    assert model_folder.read(models / "fashion-mnist-dcgan")
