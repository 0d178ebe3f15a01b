import pytest
import torch
from torch import nn

from gan.networks import dcgan


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_reference_networks_have_the_articles_size():
    assert parameters(dcgan.Generator()) == 3_444_480
    assert parameters(dcgan.Discriminator()) == 2_633_216


def test_the_reference_generator_is_the_articles_layer_by_layer():
    convolutions = [layer for layer in dcgan.Generator().layers if isinstance(layer, nn.ConvTranspose2d)]
    found = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0]) for layer in convolutions
    ]
    assert found == [(100, 512, 4, 1, 0), (512, 256, 4, 2, 1), (256, 128, 4, 2, 1), (128, 1, 4, 2, 1)]
    assert all(layer.bias is None for layer in convolutions)


def test_the_reference_discriminator_is_the_articles_layer_by_layer():
    layers = list(dcgan.Discriminator().layers)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    found = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0]) for layer in convolutions
    ]
    assert found == [(1, 128, 4, 2, 1), (128, 256, 4, 2, 1), (256, 512, 4, 2, 1), (512, 1, 4, 1, 0)]
    assert [layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d)] == [256, 512]
    assert all(layer.negative_slope == 0.2 for layer in layers if isinstance(layer, nn.LeakyReLU))


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_power_of_two_from_16_up(resolution, channels):
    generator = dcgan.Generator(z_dim=10, channels=channels, resolution=resolution, width=4)
    pictures = generator(torch.zeros(2, 10))
    assert pictures.shape == (2, channels, resolution, resolution)
    assert dcgan.Discriminator(channels, resolution, width=4)(pictures).shape == (2,)


def test_channels_stop_doubling_at_eight_times_the_width():
    first = dcgan.Generator(resolution=256, width=4).layers[0]
    assert first.out_channels == 32


@pytest.mark.parametrize("resolution", [8, 20, 33, 0])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match=f"power of two from 16 up, not {resolution}"):
        dcgan.Generator(resolution=resolution)


def test_start_weights_are_those_of_the_paper_and_of_the_seed():
    networks = [dcgan.Discriminator(), dcgan.Discriminator()]
    for network in networks:
        dcgan.initialise(network, torch.Generator().manual_seed(3))
    first, _, second, norm, *_ = networks[0].layers
    assert second.weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert second.weight.mean().item() == pytest.approx(0, abs=1e-4)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert not norm.bias.any()
    assert torch.equal(first.weight, networks[1].layers[0].weight)
