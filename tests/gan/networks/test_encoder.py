"""The encoder's network: any size, labels in its head alone."""

import pytest
import torch

from gan.networks.encoder import Encoder, initialise


def made(**given):
    network = Encoder(**{"z_dim": 5, "channels": 3, "size": (16, 24), "width": 4, **given})
    initialise(network, torch.Generator().manual_seed(0))
    return network.eval()


@pytest.mark.parametrize("size", [(16, 24), (28, 28), (32, 32)])
def test_pictures_become_latent_vectors_of_any_size(size):
    images = torch.rand(3, 3, *size)
    network = made(size=size)
    assert network(images).shape == (3, 5)
    assert [one.shape[1] for one in network.features(images)] == [4 * 2**level for level in range(len(network.trunk))]


def test_the_label_changes_the_vector_and_no_feature():
    network = made(classes=3)
    for part in (network.gain, network.bias):
        torch.nn.init.normal_(part.weight, generator=torch.Generator().manual_seed(1))
    image = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(2))
    vectors = network(image.repeat(3, 1, 1, 1), torch.arange(3))
    assert not torch.allclose(vectors[0], vectors[1])
    by_head = network.head(network.features(image)[-1].repeat(3, 1, 1, 1), torch.arange(3))
    torch.testing.assert_close(by_head, vectors)
    before = made(classes=3)  # labels begin without effect
    torch.testing.assert_close(before(image, torch.tensor([0])), before(image, torch.tensor([2])))


def test_start_weights_are_drawn_from_the_generator_alone_and_begin_near_the_middle():
    one, other = made(), made()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    noise = torch.randn(64, 3, 16, 24, generator=torch.Generator().manual_seed(3))
    assert one.train()(noise).square().mean() < 1
