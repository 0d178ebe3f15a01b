"""From real pictures to a picture through HTTP, compared with the network that training left in memory."""

import io

import numpy as np
import torch
from PIL import Image
from starlette.testclient import TestClient

from gan import imaging
from gan.latents import Space
from gan.networks.conditions import tensors
from serving.app import Api
from serving.batching import Batcher
from serving.models import Models
from serving.settings import Settings
from tests.conftest import train
from training import export


def test_pictures_in_pictures_out(tmp_path, monkeypatch):
    in_memory = []
    export_onnx = export.export_onnx

    def keep(generator, path):
        in_memory.append(generator)
        export_onnx(generator, path)

    monkeypatch.setattr(export, "export_onnx", keep)
    trained = train(tmp_path, "--images", "2000", "--width", "32", "--name", "garments")
    (generator,) = in_memory
    with torch.no_grad():
        expected = imaging.grey_levels(generator(tensors(range(64), Space(100))[0]))[:, 0].to(torch.uint8).numpy()
    assert expected.std() > 10

    api, settings = Api(), Settings(models=trained.models)
    api.open(Models(settings), Batcher(), settings)
    with TestClient(api) as client:
        for seed in (0, 7, 63):
            response = client.post("/generate", json={"seed": seed})
            assert response.headers["x-model"].startswith("garments@")
            picture = np.asarray(Image.open(io.BytesIO(response.content))).astype(int)
            assert np.abs(picture - expected[seed]).max() <= 1
        grid = np.asarray(Image.open(io.BytesIO(client.post("/generate", json={"seed": 0, "n": 64}).content))).astype(int)
    shown = np.asarray(Image.open(trained.model / "samples.png")).astype(int)
    assert np.abs(grid - shown).max() <= 1
