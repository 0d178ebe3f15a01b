import pytest
import torch
from torch import nn

from gan.latents import Code, InputSpec
from gan.networks import mlp


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_networks_have_its_size():
    # 100 x 1200 + 1200, 1200 x 1200 + 1200, 1200 x 784 + 784
    assert parameters(mlp.Generator(InputSpec(100), 1, (28, 28), 1200)) == 121_200 + 1_441_200 + 941_584
    # 784 x 240 x 5 + 1200, 240 x 240 x 5 + 1200, 240 + 1
    assert parameters(mlp.Discriminator(1, (28, 28), 1200)) == 942_000 + 289_200 + 241


def test_a_maxout_unit_is_the_largest_of_five_pieces():
    layer = mlp.Maxout(2, 2, "none")
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1], [0, 0]] + [[1.0, 1]] * 5))
        layer.linear.bias.copy_(torch.tensor([0.0, 0, 0, 0, 0.5, 1, 2, 3, 4, -5]))
    assert layer(torch.tensor([[3.0, -4], [0.1, 0.2]])).tolist() == [[4, 3], [0.5, pytest.approx(4.3)]]


def test_a_generator_computes_what_the_paper_says():
    generator = mlp.Generator(InputSpec(3), 1, (2, 5), 4)
    weights = {name: values.double() for name, values in generator.state_dict().items()}
    first, second, last = ((weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"]) for i in (0, 2, 4))
    z = torch.randn(6, 3)
    hidden = (z.double() @ first[0].T + first[1]).clamp(min=0)
    hidden = (hidden @ second[0].T + second[1]).clamp(min=0)
    expected = torch.tanh(hidden @ last[0].T + last[1]).reshape(6, 1, 2, 5)
    assert torch.allclose(generator(z).double(), expected, atol=1e-6)


def test_label_and_codes_stand_beside_the_latent_vector_and_labels_beside_the_pixels():
    generator = mlp.Generator(InputSpec(2, classes=3, codes=(Code("kind", 2), Code("slant"))), 1, (5, 7), 10)
    discriminator = mlp.Discriminator(1, (5, 7), 10, classes=3)
    seen = []
    for first in (generator.layers[0], discriminator.trunk[0].linear):
        first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = generator(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([1]), torch.tensor([0.25]))
    discriminator(images, torch.tensor([2]))
    assert seen[0].tolist() == [[0, 0, 0, 1, 0, 0, 1, 0.25]]
    assert torch.equal(seen[1], torch.cat([images.flatten(1), torch.tensor([[0.0, 0, 1]])], 1))


def test_start_weights_are_those_of_the_papers_code():
    for network, reach in ((mlp.Generator(InputSpec(100), 1, (28, 28), 300), 0.05), (mlp.Discriminator(1, (28, 28), 300), 0.005)):
        mlp.initialise(network, torch.Generator().manual_seed(1))
        for layer in (module for module in network.modules() if isinstance(module, nn.Linear)):
            assert 0.9 * reach < layer.weight.abs().max() <= reach
            assert not layer.bias.any()
        assert layer.weight.std().item() == pytest.approx(reach / 3**0.5, rel=0.2)  # of a uniform distribution


def test_what_it_cannot_be_is_refused():
    with pytest.raises(ValueError, match="width of 5 or more, not 4"):
        mlp.Discriminator(1, (28, 28), 4)
    with pytest.raises(ValueError, match="use none or spectral"):
        mlp.Discriminator(1, (28, 28), 10, norm="batch")
