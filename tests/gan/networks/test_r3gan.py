import pytest
import torch
from torch import nn
from torch.nn import functional

from gan.latents import Code, InputSpec
from gan.networks import r3gan
from gan.networks.layers import resampling


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_networks_for_cifar10_have_its_size():
    # Pointwise to 1536 and back, 3x3 in groups of 16, two biases; two blocks on each of four stages
    block = 2 * 768 * 1536 + 1536 * 16 * 9 + 2 * 1536
    generator = r3gan.Generator(InputSpec(64, classes=10), 3, (32, 32), 768, blocks=2)
    assert parameters(generator) == 8 * block + 768 * 16 + 128 * 768 + 10 * 64 + 768 * 3 == 20_781_952
    discriminator = r3gan.Discriminator(3, (32, 32), 768, classes=10, blocks=2)
    assert parameters(discriminator) == 8 * block + 768 * 16 + 768 * 768 + 10 * 768 + 768 * 3 == 21_280_512


@pytest.mark.parametrize(
    ("size", "width", "channels"),
    [
        ((28, 28), 64, [64, 64, 64]),
        ((32, 32), 64, [64, 64, 64, 64]),
        ((64, 64), 64, [64, 64, 64, 64, 32]),
        ((64, 48), 64, [64, 64, 64, 32]),
        ((256, 256), 64, [64, 64, 64, 64, 32, 16, 16]),
        ((128, 128), 80, [80, 80, 80, 80, 32, 16]),
    ],
)
def test_stages_beyond_32_pixels_are_narrower(size, width, channels):
    for network in (r3gan.Generator(InputSpec(8), 1, size, width), r3gan.Discriminator(1, size, width)):
        blocks = [module for module in network.modules() if isinstance(module, r3gan.ResidualBlock)]
        found = [block.expand.in_channels for block in blocks]
        assert found == (channels if isinstance(network, r3gan.Generator) else channels[::-1])
        assert all(block.grouped.in_channels // block.grouped.groups == 16 for block in blocks)


@pytest.mark.parametrize("width", [0, 8, 24, 100])
def test_a_width_must_make_whole_groups(width):
    for build in (lambda: r3gan.Generator(InputSpec(8), 1, (32, 32), width), lambda: r3gan.Discriminator(1, (32, 32), width)):
        with pytest.raises(ValueError, match=f"multiple of 16, not {width}$"):
            build()


def test_normalisation_is_refused():
    with pytest.raises(ValueError, match=r"use none$"):
        r3gan.Discriminator(1, (32, 32), 16, norm="spectral")


def test_a_block_computes_what_the_paper_says():
    block = r3gan.ResidualBlock(16)
    values = torch.randn(2, 16, 5, 5)

    def activated(x):
        return torch.where(x > 0, x, 0.2 * x)

    seen = activated(torch.einsum("oi,nihw->nohw", block.expand.weight[:, :, 0, 0], values) + block.expand.bias[:, None, None])
    halves = [
        functional.conv2d(part, weight, padding=1)
        for part, weight in zip(seen.chunk(2, 1), block.grouped.weight.chunk(2), strict=True)
    ]
    seen = activated(torch.cat(halves, 1) + block.grouped.bias[:, None, None])
    expected = values + torch.einsum("oi,nihw->nohw", block.project.weight[:, :, 0, 0], seen)
    assert torch.allclose(block(values), expected, atol=1e-5)


def test_blocks_start_as_the_identity_so_that_networks_start_linear():
    generator, discriminator = r3gan.Generator(InputSpec(8), 1, (32, 32), 32), r3gan.Discriminator(1, (32, 32), 32)
    for network in (generator, discriminator):
        r3gan.initialise(network, torch.Generator().manual_seed(0))
    block, values = generator.layers[0], torch.randn(2, 32, 4, 4)
    assert torch.equal(block(values), values)
    images = torch.randn(3, 1, 32, 32)
    logits = discriminator(images)
    assert logits.abs().min() > 1e-4
    assert torch.allclose(discriminator(3 * images), 3 * logits, atol=1e-5)
    # Its last layer alone learns at first, and with it blocks leave the identity.
    discriminator(images).sum().backward()
    assert all(block.project.weight.grad.any() for block in discriminator.layers if isinstance(block, r3gan.ResidualBlock))


def test_start_weights_are_those_of_the_papers_code():
    generator = r3gan.Generator(InputSpec(64, classes=10), 3, (32, 32), 64, blocks=2)
    discriminator = r3gan.Discriminator(3, (32, 32), 64, classes=10, blocks=1)
    for network, blocks in ((generator, 8), (discriminator, 4)):
        r3gan.initialise(network, torch.Generator().manual_seed(0))
        gain = (2 / 1.04) ** 0.5 / blocks**0.25
        found = [module for module in network.modules() if isinstance(module, r3gan.ResidualBlock)]
        assert len(found) == blocks
        assert torch.stack([block.expand.weight for block in found]).std().item() == pytest.approx(gain / 64**0.5, rel=0.02)
        assert torch.stack([block.grouped.weight for block in found]).std().item() == pytest.approx(gain / 144**0.5, rel=0.02)
        assert not any(values.any() for block in found for values in (block.project.weight, block.expand.bias, block.grouped.bias))
    assert generator.basis.std().item() == pytest.approx(1, rel=0.05)
    assert generator.scale.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert generator.embedding.weight.std().item() == pytest.approx(10**-0.5, rel=0.1)
    assert discriminator.last.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert discriminator.layers[-1].weight.std().item() == pytest.approx(1 / 4, rel=0.05)  # one input channel on 4x4 points
    assert discriminator.embedding.weight.std().item() == pytest.approx((10 * 64) ** -0.5, rel=0.1)


def filtered(values):
    """The paper's upsampling: zeros between the values and beyond them, then [1, 3, 3, 1] on both axes."""
    taps = torch.tensor([1.0, 3, 3, 1]) / 4
    filters = torch.outer(taps, taps).expand(values.shape[1], 1, 4, 4)
    return functional.conv_transpose2d(values, filters, stride=2, padding=1, groups=values.shape[1])


def test_upsampling_is_the_papers_but_for_the_border():
    values = torch.rand(2, 3, 5, 7)
    found, expected = resampling.Upsample(3, 3)(values), filtered(values)
    assert torch.allclose(found[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], atol=1e-6)
    assert torch.allclose(0.75 * found[:, :, 0, 1:-1], expected[:, :, 0, 1:-1], atol=1e-6)


def test_downsampling_is_the_papers_with_zeros_beyond_the_border():
    values = torch.rand(2, 3, 6, 8, requires_grad=True)
    found = resampling.Downsample(3, 3)(values)
    # It is the upsampling's adjoint, up to the gain of 4.
    given = torch.rand(2, 3, 3, 4)
    (adjoint,) = torch.autograd.grad(found, values, given)
    assert torch.allclose(adjoint, filtered(given) / 4, atol=1e-6)
    row = torch.zeros(1, 1, 4, 8)
    row[:, :, 1, 3] = 64
    assert resampling.Downsample(1, 1)(row)[0, 0].tolist() == [[0, 9, 3, 0], [0, 3, 1, 0]]


def test_a_pointwise_convolution_changes_the_channels():
    values = torch.rand(1, 16, 4, 4)
    up, down = resampling.Upsample(16, 32), resampling.Downsample(16, 32)
    assert isinstance(resampling.Upsample(16, 16).change, nn.Identity)
    assert torch.allclose(up(values), resampling.Upsample(32, 32)(up.change(values)), atol=1e-6)
    assert torch.allclose(down(values), down.change(resampling.Downsample(16, 16)(values)), atol=1e-6)


def test_label_and_codes_are_embedded_together():
    generator = r3gan.Generator(InputSpec(2, classes=3, codes=(Code("kind", 2), Code("slant"))), 1, (16, 16), 16)
    seen = []
    generator.scale.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    generator(torch.ones(1, 2), torch.tensor([2]), torch.tensor([1]), torch.tensor([0.5]))
    weight = generator.embedding.weight
    assert torch.allclose(seen[0][0, 2:], weight[:, 2] + weight[:, 4] + 0.5 * weight[:, 5], atol=1e-6)
    assert seen[0][0, :2].tolist() == [1, 1]


def test_the_difference_between_two_labels_is_that_of_their_projections():
    discriminator = r3gan.Discriminator(1, (16, 16), 16, classes=3)
    images = torch.randn(1, 1, 16, 16)
    one, features = discriminator.forward_features(images, torch.tensor([0]))
    other, _ = discriminator.forward_features(images, torch.tensor([2]))
    embedded = discriminator.embedding.weight
    expected = (embedded[:, 0] - embedded[:, 2]) @ discriminator.last.weight @ features[0]
    assert (one - other).item() == pytest.approx(expected.item(), abs=1e-5)


def test_images_are_cut_off_in_eval_mode_only():
    generator = r3gan.Generator(InputSpec(8), 1, (16, 16), 16)
    r3gan.initialise(generator, torch.Generator().manual_seed(0))
    z = 10 * torch.ones(4, 8)
    free = generator(z)
    assert free.abs().max() > 1.5
    assert torch.equal(generator.eval()(z), free.clamp(-1, 1))
