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


ATTRIBUTES = {"columns": ["hair", "hat"], "shares": [[{"short": 0.2, "long": 0.8}, {"": 1.0}], [{"": 1.0}, {"": 0.9, "cap": 0.1}]]}


@pytest.mark.parametrize(
    ("distribution", "middles"),
    [("normal", [[-1.2816, 0.2533], [-0.1257, 1.6449]]), ("uniform", [[-0.8, 0.2], [-0.1, 0.9]])],
)
def test_components_that_choose_attributes_are_in_the_middle_of_those_that_choose_the_likely_value(distribution, middles):
    network = made(classes=2, attributes=ATTRIBUTES, distribution=distribution).eval()
    images, label = torch.randn(200, 3, 16, 24, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 2
    with torch.no_grad():
        network.values.bias.normal_(generator=torch.Generator().manual_seed(1))
        z, logits = network.encode(images, label)
        again = network(images, label)
    assert torch.equal(z, again)
    for image in range(200):
        hair, hat = z[image, :2].tolist()
        one, other = (logits[image, :2], hair) if label[image] == 0 else (logits[image, 4:6], hat)
        assert other == pytest.approx(middles[label[image]][int(one.argmax())], abs=1e-4)
        assert (hat if label[image] == 0 else hair) == pytest.approx(0, abs=1e-6)  # of one value there is no choice


def test_without_attributes_there_are_no_logits():
    assert made(classes=2).eval().encode(torch.zeros(2, 3, 16, 24), torch.zeros(2, dtype=torch.int64))[1] is None
