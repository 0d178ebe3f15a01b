"""The encoder of a model folder, without torch."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gan import model_folder
from gan.encoder import PictureEncoder
from gan.networks.encoder import Encoder


def pictures(n):
    return np.random.default_rng(0).uniform(-1, 1, (n, 1, 32, 32)).astype(np.float32)


def test_pictures_become_the_networks_vectors(scored):
    folder = model_folder.read(scored.model)
    x, labels = pictures(21), np.arange(21) % 10
    found = PictureEncoder.load(folder).encode(x, labels)
    network = Encoder(folder.manifest.z_dim, 1, (32, 32), **folder.manifest.networks["encoder"].architecture.arguments)
    network.load_state_dict(load_file(scored.model / "encoder.safetensors"))
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(x), torch.from_numpy(labels)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_vector_does_not_depend_on_what_else_is_in_the_batch(scored):
    encoder = PictureEncoder.load(model_folder.read(scored.model))
    x, labels = pictures(19), np.arange(19) % 10
    together = encoder.encode(x, labels)
    alone = np.concatenate([encoder.encode(x[row : row + 1], labels[row : row + 1]) for row in range(19)])
    assert np.array_equal(together, alone)
    assert np.array_equal(encoder.encode(x[3:9], labels[3:9]), together[3:9])


def test_labels_are_given_where_the_model_has_them(scored):
    with pytest.raises(ValueError, match="labels"):
        PictureEncoder.load(model_folder.read(scored.model)).encode(pictures(1))


def test_a_folder_without_has_none(trained):
    assert PictureEncoder.load(model_folder.read(trained.model)) is None
