"""What is written into the model's folder."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from gan import model_folder
from gan.manifest import MANIFEST, Manifest
from gan.model_folder import CARD
from gan.networks.encoder import Encoder
from tests.training.encoder.conftest import Setting, setting
from training.encoder import writing
from training.encoder.state import EncoderState
from training.encoder.writing import write_encoder
from training.errors import ExportError


@dataclass
class Written:
    """A model folder before and after an encoder came into it."""

    found: Setting
    state: EncoderState
    before: dict[str, bytes]
    manifest: Manifest

    @property
    def folder(self) -> Path:
        return self.found.model.folder.path


@pytest.fixture(scope="module", params=["trained", "conditional"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "model"
    shutil.copytree(request.getfixturevalue(request.param).model, folder)
    if request.param == "conditional":
        (folder / CARD).write_text("somebody has edited it")
    found, before = setting(folder), digests(folder)
    state = found.start()
    return Written(found, state, before, write_encoder(state.best, found.model, found.pictures, found.config))


def digests(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_encoder_and_score_come_beside_what_is_there(written):
    found, manifest, before, after = written.found, written.manifest, written.before, digests(written.folder)
    assert after.keys() - before.keys() == {"encoder.safetensors", "encoder.onnx", "scorer.onnx"}
    edited = before[CARD] == b"somebody has edited it"
    assert {name for name in before if before[name] != after[name]} == ({MANIFEST} if edited else {MANIFEST, CARD})
    assert edited or f"beside {manifest.scoring.pictures} held-out images.\n\n|" in after[CARD].decode()
    assert model_folder.read(written.folder).manifest == manifest
    assert (manifest.name, manifest.version) == (found.model.manifest.name, found.model.manifest.version)
    assert sorted(manifest.scoring.quantiles) == manifest.scoring.quantiles
    assert (len(manifest.scoring.quantiles), manifest.scoring.pictures) == (1001, len(found.pictures.selection.images))
    network = manifest.networks["encoder"]
    again = Encoder(manifest.z_dim, manifest.channels, found.model.size, **network.architecture.arguments)
    again.load_state_dict(load_file(written.folder / network.files["weights"]))


def test_exported_files_are_the_networks_in_memory(written):
    folder, state, manifest = written.folder, written.state, written.manifest
    sessions = {
        name: onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("encoder", "scorer")
    }
    labels = [] if manifest.classes is None else ["label"]
    assert [one.name for one in sessions["encoder"].get_inputs()] == ["pictures", *labels]
    assert [one.name for one in sessions["encoder"].get_outputs()] == ["z"]
    assert [one.name for one in sessions["scorer"].get_inputs()] == ["pictures"]
    assert [one.name for one in sessions["scorer"].get_outputs()] == ["score", "drawn", *labels]
    for n in (1, 5):
        x = np.random.default_rng(n).uniform(-1, 1, (n, 1, 32, 32)).astype(np.float32)
        label = np.arange(n) % 10
        rows = {"pictures": x} | ({"label": label} if labels else {})
        (z,) = sessions["encoder"].run(None, rows)
        expected = state.best(torch.from_numpy(x), torch.from_numpy(label) if labels else None)
        np.testing.assert_allclose(z, expected.detach().numpy(), atol=1e-4)
        score, drawn, *label = sessions["scorer"].run(None, {"pictures": x})
        assert (score.dtype, drawn.dtype, [one.dtype for one in label]) == (np.float32, np.float32, [np.int64] * len(labels))
        assert (score.shape, drawn.shape) == ((n,), x.shape)
        assert np.abs(drawn).max() <= 1
    for name in sessions:
        model = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert (model.ir_version, model.opset_import[0].version) == (9, 18)


def test_figures_and_other_networks_stay(written):
    before, after = json.loads(written.before[MANIFEST]), json.loads((written.folder / MANIFEST).read_text())
    assert {name for name in before if before[name] != after[name]} == {"networks", "files", "scoring"}
    assert {name: after["networks"][name] for name in before["networks"]} == before["networks"]


def test_an_export_that_differs_changes_nothing(trained, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(trained.model, folder)
    found, before = setting(folder), digests(folder)
    monkeypatch.setattr(writing, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match=r"encoder\.onnx"):
        write_encoder(found.start().best, found.model, found.pictures, found.config)
    assert digests(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_another_model_in_its_place_gets_none_of_it(trained, conditional, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained.model, folder)
    found = setting(folder)
    shutil.rmtree(folder)
    shutil.copytree(conditional.model, folder)
    before = digests(folder)
    with pytest.raises(ExportError, match="another version now"):
        write_encoder(found.start().best, found.model, found.pictures, found.config)
    assert digests(folder) == before
