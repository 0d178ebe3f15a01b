import pytest
import torch
from torch import nn

from gan.latents import Code, Space
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
    generator = dcgan.Generator(Space(10), channels=channels, resolution=resolution, width=4)
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


def test_label_and_codes_stand_beside_the_latent_vector():
    space = Space(10, classes=3, codes=(Code("kind", 4), Code("slant")))
    generator = dcgan.Generator(space, width=4)
    assert generator.layers[0].in_channels == 10 + 3 + 4 + 1
    seen = []
    generator.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0][:, :, 0, 0]))
    generator(torch.zeros(2, 10), torch.tensor([2, 0]), torch.tensor([1, 3]), torch.tensor([0.5, -0.25]))
    assert seen[0][:, 10:].tolist() == [[0, 0, 1, 0, 1, 0, 0, 0.5], [1, 0, 0, 0, 0, 0, 1, -0.25]]


def test_a_conditional_discriminator_sees_the_label():
    discriminator = dcgan.Discriminator(1, 16, width=4, classes=3).eval()
    pictures = torch.zeros(1, 1, 16, 16)
    assert len({discriminator(pictures, torch.tensor([label])).item() for label in range(3)}) == 3
