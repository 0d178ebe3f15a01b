import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gan.networks import families
from gan.networks.families import discriminator, initialise
from gan.networks.layers import spectral_norm

SPECTRAL = [name for name in families.names() if "spectral" in families.get(name).norms]


def build(name, global_seed=0, seed=1):
    torch.manual_seed(global_seed)
    network = discriminator(name, 1, (16, 16), 3, "spectral", {"width": 20})
    initialise(name, network, torch.Generator().manual_seed(seed))
    return network


@pytest.mark.parametrize("name", SPECTRAL)
def test_every_layer_comes_to_have_a_spectral_norm_of_one(name):
    network = build(name)
    # An embedding starts with singular values that are nearly equal, which power iterations take long to tell apart.
    for _ in range(100):
        network(torch.randn(4, 1, 16, 16), torch.arange(4) % 3)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(layers) >= 3
    network.eval()
    for layer in layers:
        assert is_parametrized(layer)
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item()
        assert largest == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", SPECTRAL)
def test_all_state_is_a_function_of_the_seed_alone(name):
    one, other, third = (build(name, *seeds).state_dict() for seeds in ((0, 1), (99, 1), (0, 2)))
    assert any("_u" in key for key in one)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not any(torch.equal(one[key], third[key]) for key in one if key.endswith(("original", "_u")) and one[key].numel() > 1)


def test_start_vectors_fit_the_weights_that_were_drawn():
    layer = build("resnet").blocks[1].first
    chain = layer.parametrizations.weight
    estimate = (chain[0]._u @ spectral_norm.weight_of(layer).flatten(1) @ chain[0]._v).item()
    assert estimate == pytest.approx(torch.linalg.matrix_norm(spectral_norm.weight_of(layer).flatten(1), ord=2).item(), rel=0.05)


def test_a_forward_pass_takes_one_power_iteration_in_training_mode_and_none_in_eval_mode():
    layer = spectral_norm.normalised(nn.Linear(6, 4), "spectral")
    before = copy.deepcopy(layer.parametrizations.weight[0])
    layer(torch.zeros(1, 6))
    matrix = spectral_norm.weight_of(layer)
    u = nn.functional.normalize(matrix @ before._v, dim=0)
    v = nn.functional.normalize(matrix.T @ u, dim=0)
    now = layer.parametrizations.weight[0]
    assert torch.allclose(now._u, u)
    assert torch.allclose(now._v, v)
    layer.eval()(torch.zeros(1, 6))
    assert torch.allclose(now._v, v)


def test_other_layers_are_left_alone():
    for norm in ("none", "batch"):
        layer = nn.Linear(3, 2)
        assert spectral_norm.normalised(layer, norm) is layer
        assert spectral_norm.weight_of(layer) is layer.weight
