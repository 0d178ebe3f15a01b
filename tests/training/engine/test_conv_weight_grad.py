import copy

import pytest
import torch
from torch import nn

from gan.networks import dcgan
from training.engine.conv_weight_grad import use_fast_weight_gradients


def gradients(network, x, precision=torch.bfloat16):
    network.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
        y = network(x).float()
    weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
    (y * weights).sum().backward()
    return y.detach(), x.grad, {name: parameter.grad for name, parameter in network.named_parameters()}


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 12, 4, 2, 1, bias=False), nn.ConvTranspose2d(8, 12, 4, 2, 1, bias=False)])
def test_one_layer_has_the_images_and_gradients_of_the_plain_one(layer):
    fast = nn.Sequential(copy.deepcopy(layer))
    use_fast_weight_gradients(fast)
    assert type(fast[0]) is not type(layer)
    x = torch.randn(6, 8, 10, 6, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    images, x_gradient, weight_gradients = gradients(fast, x)
    expected_images, expected_x_gradient, expected_weight_gradients = gradients(nn.Sequential(layer), x)
    assert torch.equal(images, expected_images)
    # bfloat16 keeps 8 bits: 2^-8 is the size of one rounding.
    assert distance(x_gradient, expected_x_gradient) < 2**-8
    assert distance(weight_gradients["0.weight"], expected_weight_gradients["0.weight"]) < 2**-8


@pytest.mark.parametrize(
    ("network", "shape"), [(dcgan.Generator(width=16), (8, 100)), (dcgan.Discriminator(width=16), (8, 1, 32, 32))]
)
def test_whole_networks_keep_their_parameters_and_gradients(network, shape):
    dcgan.initialise(network, torch.Generator().manual_seed(0))
    fast = copy.deepcopy(network)
    use_fast_weight_gradients(fast)
    assert fast.state_dict().keys() == network.state_dict().keys()
    swapped = [type(a) is not type(b) for a, b in zip(fast.layers, network.layers, strict=True)]
    assert sum(swapped) == 2  # the first and the last convolution are left alone
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    _, _, found = gradients(fast, x)
    _, _, plain = gradients(copy.deepcopy(network), x)
    _, _, exact = gradients(network, x, torch.float32)
    # How far bfloat16 is from float32 differs from one processor's kernels to another's, and batch normalisation magnifies it.
    for name in exact:
        assert distance(found[name], exact[name]) < 1.5 * distance(plain[name], exact[name]), name


def test_layers_of_another_shape_are_left_alone():
    network = nn.Sequential(
        nn.Conv2d(8, 8, 3, 2, 1, bias=False), nn.Conv2d(8, 8, 4, 2, 1, bias=True), nn.Conv2d(1, 8, 4, 2, 1, bias=False)
    )
    use_fast_weight_gradients(network)
    assert {type(layer) for layer in network} == {nn.Conv2d}
