"""A network family and an engine of another package, in a few lines each: trained by the command and served over HTTP."""

from math import prod

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import nn
from torch.nn import functional

from gan import model_folder, runtimes
from gan.latents import inputs
from gan.networks import families, family
from tests.conftest import train
from tests.test_whole_path import arrays, serving


class Generator(family.Generator):
    def __init__(self, space, channels, size, width):
        super().__init__()
        self.space, self.shape = space, (channels, *size)
        self.layer = nn.Linear(space.z_dim, prod(self.shape))

    def forward(self, z):
        return torch.tanh(self.layer(z)).view(-1, *self.shape)


class Discriminator(family.Discriminator):
    def __init__(self, channels, size, width, classes=None, norm="none"):
        super().__init__()
        self.features = width
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

    name, most_rows, in_flight, one_shape, makes_uint8 = "numpy-cpu", 4, 1, None, False

    def __init__(self, folder, *_):
        weights = load(folder.content(model_folder.WEIGHTS))
        self.weight, self.bias = weights["layer.weight"], weights["layer.bias"]
        (self.output,) = folder.manifest.outputs

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


def test_a_family_and_an_engine_of_another_package_are_trained_and_served(tmp_path, registered):
    found = train(tmp_path, "--arch", "toy", "--width", "8", "--images", "128", "--batch-size", "64")
    folder = model_folder.read(found.model)
    assert (folder.manifest.architecture.name, folder.manifest.architecture.arguments) == ("toy", {"width": 8})
    rows = inputs(range(6), folder.manifest.space)
    expected = runtimes.generate_images(runtimes.load(folder, "onnx"), rows).astype(int)
    with serving(found.models, runtime="numpy") as client:
        shown = arrays(client, seed=0, n=6)["images"]
        assert np.abs(shown - expected).max() <= 1
        assert np.array_equal(arrays(client, seed=3)["images"][0], shown[3])
        assert client.get("/models").json()["models"][0]["architecture"]["name"] == "toy"
