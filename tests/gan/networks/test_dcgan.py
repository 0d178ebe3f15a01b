from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from gan.images.encoding import grid, to_uint8_range
from gan.latents import Code, InputSpec
from gan.networks import dcgan
from gan.networks.layers.conditioning import inputs_as_tensors


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_reference_networks_have_the_size_of_the_dcgan_tutorial():
    assert parameters(dcgan.Generator()) == 3_444_480
    assert parameters(dcgan.Discriminator()) == 2_633_216


def test_the_reference_generator_is_dcgans_layer_by_layer():
    convolutions = [layer for layer in dcgan.Generator().layers if isinstance(layer, nn.ConvTranspose2d)]
    found = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0]) for layer in convolutions
    ]
    assert found == [(100, 512, 4, 1, 0), (512, 256, 4, 2, 1), (256, 128, 4, 2, 1), (128, 1, 4, 2, 1)]
    assert all(layer.bias is None for layer in convolutions)


def test_the_reference_discriminator_is_dcgans_layer_by_layer():
    layers = list(dcgan.Discriminator().layers)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    found = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0]) for layer in convolutions
    ]
    assert found == [(1, 128, 4, 2, 1), (128, 256, 4, 2, 1), (256, 512, 4, 2, 1), (512, 1, 4, 1, 0)]
    assert [layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d)] == [256, 512]
    assert all(layer.negative_slope == 0.2 for layer in layers if isinstance(layer, nn.LeakyReLU))


@pytest.mark.parametrize(("size", "base"), [((32, 32), (4, 4)), ((28, 28), (7, 7)), ((64, 48), (8, 6))])
def test_the_innermost_kernels_are_the_base_grid(size, base):
    assert dcgan.Generator(size=size, width=4).layers[0].kernel_size == base
    discriminator = dcgan.Discriminator(size=size, width=4)
    assert discriminator.layers[-1].kernel_size == base
    assert discriminator.feature_count == discriminator.layers[-1].in_channels * base[0] * base[1]


def test_channels_stop_doubling_at_eight_times_the_width():
    first = dcgan.Generator(size=(256, 256), width=4).layers[0]
    assert first.out_channels == 32


@pytest.mark.parametrize("network", [dcgan.Generator, dcgan.Discriminator])
def test_sizes_that_do_not_halve_are_refused(network):
    with pytest.raises(ValueError, match=r"30x30 images .* take 28 or 32"):
        network(size=(30, 30))


def test_the_weights_that_ship_fit_and_draw_what_they_drew():
    folder = Path(__file__).parents[3] / "models" / "fashion-mnist-dcgan"
    generator = dcgan.Generator()
    generator.load_state_dict(load_file(folder / "generator.safetensors"))
    with torch.no_grad():
        levels = to_uint8_range(generator.eval()(*inputs_as_tensors(range(64), dcgan.REFERENCE_INPUT_SPEC))).to(torch.uint8)
    sheet = grid(levels.permute(0, 2, 3, 1).numpy())[:, :, 0]
    shipped = np.asarray(Image.open(folder / "samples.png"))
    assert np.abs(sheet.astype(int) - shipped).max() <= 1


def test_start_weights_of_a_seed_never_change():
    generator, discriminator = dcgan.Generator(), dcgan.Discriminator()
    random = torch.Generator().manual_seed(0)
    dcgan.initialise(generator, random)
    dcgan.initialise(discriminator, random)
    first, last = generator.layers[0].weight, discriminator.layers[-1].weight
    assert first.flatten()[:3].tolist() == pytest.approx([-0.0225167964, -0.0230472032, -0.0050115716], rel=1e-6)
    assert last.flatten()[-3:].tolist() == pytest.approx([0.0135073280, 0.0050435560, -0.0114225484], rel=1e-6)


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
    input_spec = InputSpec(10, classes=3, codes=(Code("kind", 4), Code("slant")))
    generator = dcgan.Generator(input_spec, width=4)
    assert generator.layers[0].in_channels == 10 + 3 + 4 + 1
    seen = []
    generator.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0][:, :, 0, 0]))
    generator(torch.zeros(2, 10), torch.tensor([2, 0]), torch.tensor([1, 3]), torch.tensor([0.5, -0.25]))
    assert seen[0][:, 10:].tolist() == [[0, 0, 1, 0, 1, 0, 0, 0.5], [1, 0, 0, 0, 0, 0, 1, -0.25]]


def test_a_conditional_discriminator_sees_the_label():
    discriminator = dcgan.Discriminator(1, (16, 16), width=4, classes=3).eval()
    images = torch.randn(1, 1, 16, 16)
    assert len({discriminator(images, torch.tensor([label])).item() for label in range(3)}) == 3


def test_the_logits_are_the_last_layers_of_the_features():
    discriminator = dcgan.Discriminator(3, (28, 28), width=4, classes=3)
    images, label = torch.randn(5, 3, 28, 28), torch.arange(5) % 3
    logits, features = discriminator.forward_features(images, label)
    assert features.shape == (5, discriminator.feature_count)
    plain = features @ discriminator.layers[-1].weight.flatten()
    projection = torch.stack([features[n] @ discriminator.embedding.weight[n % 3] for n in range(5)])
    torch.testing.assert_close(logits, plain + projection, rtol=1e-5, atol=1e-4)
    # So that a reader has to look at the image, the features do not depend on the label.
    assert torch.equal(discriminator.forward_features(images, (label + 1) % 3)[1], features)


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_other_normalisations_go_without_batch_normalisation(norm):
    discriminator = dcgan.Discriminator(width=4, norm=norm)
    assert not [module for module in discriminator.modules() if isinstance(module, nn.BatchNorm2d)]
    images = torch.randn(4, 1, 32, 32)
    discriminator.eval()
    assert torch.allclose(discriminator(images)[:1], discriminator(images[:1]), atol=1e-6)
