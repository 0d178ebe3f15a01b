import pytest
import torch
from torch import nn
from torch.nn import functional

from gan.latents import Code, InputSpec
from gan.networks import resnet
from gan.networks.layers.spectral_norm import weight_of


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_networks_have_its_size():
    # To 4x4x256; three blocks of two normalisations, two 3x3 convolutions and a shortcut; normalisation and a 3x3 convolution
    block = 2 * 512 + 2 * (256 * 256 * 9 + 256) + 256 * 256 + 256
    assert parameters(resnet.Generator(InputSpec(128), 3, (32, 32), 128)) == 128 * 4096 + 4096 + 3 * block + 512 + 256 * 27 + 3
    convolution = 128 * 128 * 9 + 128
    first = 3 * 128 * 9 + 128 + convolution + 3 * 128 + 128
    down = 2 * convolution + 128 * 128 + 128
    assert parameters(resnet.Discriminator(3, (32, 32), 128)) == first + down + 4 * convolution + 128
    # Of each of ten labels: gain and bias of six normalisations instead of one pair for all; an embedding
    assert parameters(resnet.Generator(InputSpec(128, classes=10), 3, (32, 32), 128)) == 4_276_739 + 9 * 6 * 512
    assert parameters(resnet.Discriminator(3, (32, 32), 128, classes=10)) == 1_053_824 + 1280


@pytest.mark.parametrize(
    ("size", "up", "down"),
    [
        ((28, 28), [(64, 64)] * 2, [(1, 32), (32, 32), (32, 32)]),
        ((32, 32), [(64, 64)] * 3, [(1, 32), (32, 32), (32, 32), (32, 32)]),
        ((64, 64), [(64, 64)] * 3 + [(64, 32)], [(1, 16), (16, 32), (32, 32), (32, 32), (32, 32)]),
        (
            (256, 256),
            [(64, 64)] * 3 + [(64, 32), (32, 16), (16, 8)],
            [(1, 8), (8, 8), (8, 16), (16, 32), (32, 32), (32, 32), (32, 32)],
        ),
    ],
)
def test_larger_images_get_narrower_blocks_at_their_edge(size, up, down):
    generator, discriminator = resnet.Generator(InputSpec(8), 1, size, 32), resnet.Discriminator(1, size, 32)
    assert [(block.shortcut.in_channels, block.shortcut.out_channels) for block in generator.blocks] == up
    assert [(block.first.in_channels, block.second.out_channels) for block in discriminator.blocks] == down
    halving = [block.halve for block in discriminator.blocks]
    assert halving == [True] * (len(up) - 1) + [False] * 2


def test_conditional_normalisation_has_gain_and_bias_of_the_label():
    norm = resnet.ConditionalBatchNorm(2, classes=3)
    with torch.no_grad():
        norm.gain.weight.copy_(torch.tensor([[1.0, 1], [2, 3], [0, 1]]))
        norm.bias.weight.copy_(torch.tensor([[0.0, 0], [0, 5], [7, 0]]))
    values, label = torch.randn(3, 2, 4, 4), torch.tensor([2, 0, 1])
    found = norm(values, label)
    mean, variance = values.mean((0, 2, 3), keepdim=True), values.var((0, 2, 3), unbiased=False, keepdim=True)
    normal = (values - mean) / (variance + 1e-5).sqrt()
    assert torch.allclose(found[0], torch.stack([torch.full((4, 4), 7.0), normal[0, 1]]), atol=1e-5)
    assert torch.allclose(found[1], normal[1], atol=1e-5)
    assert torch.allclose(found[2], torch.stack([2 * normal[2, 0], 3 * normal[2, 1] + 5]), atol=1e-5)


def test_labels_start_alike():
    generator = resnet.Generator(InputSpec(8, classes=3), 1, (16, 16), 4).eval()
    resnet.initialise(generator, torch.Generator().manual_seed(0))
    first, second = generator(torch.ones(2, 8), torch.tensor([0, 2]))
    assert torch.equal(first, second)
    with torch.no_grad():
        generator.blocks[1].second_norm.bias.weight[2] += 1
    changed = generator(torch.ones(2, 8), torch.tensor([0, 2]))
    assert torch.equal(changed[0], first)
    assert not torch.allclose(changed[1], first)


def test_codes_stand_beside_the_latent_vector_and_the_label_does_not():
    generator = resnet.Generator(InputSpec(2, classes=3, codes=(Code("kind", 2), Code("slant"))), 1, (16, 16), 4)
    seen = []
    generator.first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    generator(torch.zeros(2, 2), torch.tensor([1, 2]), torch.tensor([1, 0]), torch.tensor([0.25, -0.5]))
    assert seen[0].tolist() == [[0, 0, 0, 1, 0.25], [0, 0, 1, 0, -0.5]]


def test_an_up_block_computes_what_the_paper_says():
    block = resnet.UpBlock(3, 5, classes=None)
    values = torch.randn(2, 3, 4, 6)
    batch_norm = functional.batch_norm
    seen = batch_norm(values, None, None, training=True).relu().repeat_interleave(2, 2).repeat_interleave(2, 3)
    seen = functional.conv2d(seen, block.first.weight, block.first.bias, padding=1)
    seen = batch_norm(seen, None, None, training=True).relu()
    seen = functional.conv2d(seen, block.second.weight, block.second.bias, padding=1)
    # The paper's code doubles first and convolves then.
    shortcut = block.shortcut(values.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.allclose(block(values, None), seen + shortcut, atol=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_a_halving_block_computes_what_the_paper_says(first):
    block = resnet.DownBlock(3, 5, "none", first=first)
    values = torch.randn(2, 3, 4, 6)

    def halved(x):
        return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4

    seen = functional.conv2d(values if first else values.relu(), block.first.weight, block.first.bias, padding=1).relu()
    seen = functional.conv2d(seen, block.second.weight, block.second.bias, padding=1)
    shortcut = functional.conv2d(values, block.shortcut.weight, block.shortcut.bias)
    assert torch.allclose(block(values), halved(seen) + halved(shortcut), atol=1e-5)


def test_the_features_are_summed_over_the_grid_and_projected_on_the_labels_embedding():
    discriminator = resnet.Discriminator(1, (16, 16), 8, classes=3, norm="none")
    discriminator.last.weight.detach().mul_(2)
    images = torch.randn(4, 1, 16, 16)
    logits, features = discriminator.forward_features(images, torch.tensor([0, 1, 2, 0]))
    assert torch.allclose(features, discriminator.blocks(images).clamp(min=0).sum((2, 3)), atol=1e-5)
    embedded = discriminator.embedding.weight[torch.tensor([0, 1, 2, 0])]
    assert torch.allclose(logits, features @ discriminator.last.weight[0] + (embedded * features).sum(1), atol=1e-5)


def test_the_difference_between_two_labels_is_that_of_their_projections():
    discriminator = resnet.Discriminator(1, (16, 16), 8, classes=3).eval()
    images = torch.randn(1, 1, 16, 16)
    one, features = discriminator.forward_features(images, torch.tensor([0]))
    other, _ = discriminator.forward_features(images, torch.tensor([2]))
    first, _, third = discriminator.embedding.weight
    assert (one - other).item() == pytest.approx(((first - third) @ features[0]).item(), abs=1e-5)


def test_batch_normalisation_stands_before_each_activation_but_not_on_the_image():
    discriminator = resnet.Discriminator(3, (32, 32), 8, norm="batch")
    norms = [module for module in discriminator.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 2 * len(discriminator.blocks) - 1


def test_start_weights_are_those_of_the_papers_code():
    for network in (resnet.Generator(InputSpec(32, classes=4), 3, (32, 32), 16), resnet.Discriminator(3, (32, 32), 32, classes=4)):
        resnet.initialise(network, torch.Generator().manual_seed(2))
        middle = network.blocks[1]
        # Glorot: U(-a, a) with a^2 = 6 / (inputs + outputs), here 32 channels each
        for layer, points, gain in ((middle.first, 9, 2), (middle.second, 9, 2), (middle.shortcut, 1, 1)):
            weight = weight_of(layer)
            reach = (gain * 6 / (64 * points)) ** 0.5
            assert 0.99 * reach < weight.abs().max() <= reach
            assert not layer.bias.any()
    assert weight_of(network.embedding).abs().max() <= (6 / 36) ** 0.5
