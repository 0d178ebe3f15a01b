"""A network family and an engine of another package, in a few lines each: trained by the command and served over HTTP."""

from importlib.metadata import version
from math import prod

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import nn
from torch.nn import functional

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
from gan.networks import families, family
from serving import caching
from tests.conftest import train
from tests.test_whole_path import arrays, serving


class Generator(family.Generator):
    def __init__(self, input_spec, channels, size, width):
        super().__init__()
        self.input_spec, self.shape = input_spec, (channels, *size)
        self.layer = nn.Linear(input_spec.z_dim, prod(self.shape))

    def forward(self, z):
        return torch.tanh(self.layer(z)).view(-1, *self.shape)


class Discriminator(family.Discriminator):
    def __init__(self, channels, size, width, classes=None, norm="none"):
        super().__init__()
        self.feature_count = width
        self.first, self.last = nn.Linear(channels * prod(size), width), nn.Linear(width, 1)

    def forward_features(self, images, label=None):
        features = functional.relu(self.first(images.flatten(1)))
        return self.last(features).flatten(), features


@torch.no_grad()
def initialise(network, random):
    for parameter in network.parameters():
        parameter.normal_(0, 0.1, generator=random)


class MatrixEngine:
    """Computes the toy generator with NumPy, from its weights."""

    name, file, library = "numpy-cpu", "generator.safetensors", "numpy"
    max_batch_size, in_flight, needs_fixed_batch_size, makes_uint8 = 4, 1, None, False

    def __init__(self, network, *_):
        weights = load(network.folder.content(model_folder.WEIGHTS))
        self.weight, self.bias = weights["layer.weight"], weights["layer.bias"]
        (self.output,) = network.outputs

    def start(self, rows):
        images = np.tanh(np.einsum("nz,pz->np", rows["z"], self.weight) + self.bias)
        return lambda: {self.output.name: images.reshape(-1, *self.output.shape[1:]).astype(np.float32)}


@pytest.fixture
def registered():
    families.register(
        family.Family("toy", Generator, Discriminator, initialise, ("none",), defaults={"discriminator_norm": "none"})
    )
    runtimes.register("numpy", MatrixEngine, "multiplies matrices")
    yield
    del families._registered["toy"], runtimes.ENGINES["numpy"]


def test_a_family_and_an_engine_of_another_package_are_trained_and_served(tmp_path, registered, monkeypatch):
    found = train(tmp_path, "--arch", "toy", "--width", "8", "--images", "128", "--batch-size", "64")
    folder = model_folder.read(found.model)
    assert (folder.manifest.architecture.name, folder.manifest.architecture.arguments) == ("toy", {"width": 8})
    rows = inputs_of_seeds(range(6), folder.manifest.input_spec)
    expected = runtimes.generate_images(runtimes.load(folder, "onnx"), rows).astype(int)
    with serving(found.models, runtime="numpy") as client:
        shown = arrays(client, seed=0, n=6)["images"]
        assert np.abs(shown - expected).max() <= 1
        assert np.array_equal(arrays(client, seed=3)["images"][0], shown[3])
        assert client.get("/models").json()["models"][0]["architecture"]["name"] == "toy"
        before = client.get("/generate?seed=3").headers["etag"]
        monkeypatch.setattr(caching, "_version", lambda library: f"a later {library}")
        assert client.get("/generate?seed=3").headers["etag"] != before
        monkeypatch.setattr(caching, "_version", {"numpy": version("numpy")}.__getitem__)
        assert client.get("/generate?seed=3").headers["etag"] == before
