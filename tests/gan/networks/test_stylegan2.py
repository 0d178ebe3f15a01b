"""StyleGAN2's generator beside the paper's own way: a kernel for each image (section 2.2, equations 1 to 3)."""

from math import sqrt

import pytest
import torch
from torch.nn import functional

from gan.latents import InputSpec
from gan.networks.stylegan2 import Generator

Z_DIM, W_DIM, WIDTHS = 8, 12, [16, 16, 8, 4]  # 32x32


@pytest.fixture(scope="module", params=[None, 5], ids=["without labels", "with labels"])
def generator(request):
    torch.manual_seed(0)
    built = Generator(InputSpec(Z_DIM, classes=request.param), 3, (32, 32), W_DIM, 3, WIDTHS, clamp=None).double().eval()
    for convolution in built.synthesis.convolutions:
        convolution.noise.normal_(0, 0.1)
        convolution.affine.bias.data.normal_(1, 0.3)
    return built.requires_grad_(False)


def modulated(images, layer, w, up):
    """One kernel for each image: weights times style, over their norm."""
    style = layer.affine(w)
    found = []
    for image, scale in zip(images, style, strict=True):
        kernel = layer.weight * scale[None, :, None, None]
        kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            line = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64)
            fir = torch.outer(line, line) / 16
            spread = torch.zeros(image.shape[0], 2 * image.shape[1], 2 * image.shape[2], dtype=image.dtype)
            spread[:, ::2, ::2] = image
            grown = functional.conv2d(functional.pad(spread[None], (2, 1, 2, 1)), kernel.flip(2, 3))
            after = kernel.shape[0]
            grown = functional.conv2d(functional.pad(grown, (1, 1, 1, 1)), fir.expand(after, 1, 4, 4), groups=after)
            found.append(grown[0])
        else:
            found.append(functional.conv2d(image[None], kernel, padding=1)[0])
    values = torch.stack(found) + layer.noise + layer.bias[:, None, None]
    return functional.leaky_relu(values, 0.2) * sqrt(2)


def expected(generator, ws):
    synthesis = generator.synthesis
    values = synthesis.const.expand(len(ws), -1, -1, -1)
    images, number = 0, 0
    for block, to_rgb in enumerate(synthesis.to_rgb):
        for up in (True, False) if block else (False,):
            values = modulated(values, synthesis.convolutions[number], ws[:, number], up)
            number += 1
        if block:
            line = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 4
            zeros = torch.zeros(len(ws), 3, 2 * images.shape[2], 2 * images.shape[3], dtype=images.dtype)
            zeros[:, :, ::2, ::2] = images
            spread = functional.conv2d(functional.pad(zeros, (2, 1, 2, 1)), torch.outer(line, line).expand(3, 1, 4, 4), groups=3)
            images = spread
        style = to_rgb.affine(ws[:, number])
        images = (
            images
            + torch.stack(
                [
                    torch.einsum("oi,ihw->ohw", to_rgb.weight[:, :, 0, 0] * scale, image)
                    for image, scale in zip(values, style, strict=True)
                ]
            )
            + to_rgb.bias[:, None, None]
        )
    return images


def test_every_layer_has_its_own_style(generator):
    ws = torch.randn(3, generator.synthesis.layers, W_DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert generator.synthesis.layers == 8  # 2 log2(32) - 2
    torch.testing.assert_close(generator.synthesis(ws), expected(generator, ws), rtol=1e-9, atol=1e-9)


def test_images_are_within_their_range_and_follow_the_label(generator):
    z = torch.randn(4, Z_DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    classes = generator.input_spec.classes
    labels = [] if classes is None else [torch.zeros(4, dtype=torch.int64)]
    images = generator(z, *labels)
    assert images.shape == (4, 3, 32, 32)
    assert images.abs().max() <= 1
    torch.testing.assert_close(generator(3 * z, *labels), images)  # latent vectors are normalised
    if labels:
        assert not torch.equal(generator(z, labels[0] + 1), images)


@pytest.mark.parametrize("size", [(32, 64), (48, 48), (4, 4)])
def test_sizes_are_squares_of_powers_of_two(size):
    with pytest.raises(ValueError, match="StyleGAN2 draws squares"):
        Generator(InputSpec(Z_DIM), 3, size)


def test_widths_are_the_papers_by_default():
    built = Generator(InputSpec(512), 3, (256, 256))
    widths = [convolution.weight.shape[0] for convolution in built.synthesis.convolutions]
    assert widths == [512, 512, 512, 512, 512, 512, 512, 512, 512, 256, 256, 128, 128]
