"""A generator that shows attributes: what its latent vectors say, and what they do not."""

import pytest
import torch

from gan.latents import InputSpec
from gan.networks import attributes, families

TABLE = {"columns": ["hair", "hat"], "shares": [[{"short": 0.5, "long": 0.5}, {"": 1.0}], [{"": 1.0}, {"": 0.2, "cap": 0.8}]]}


@pytest.fixture
def generator():
    network = families.generator("dcgan", InputSpec(6, classes=2), 1, (16, 16), {"width": 4, "attributes": TABLE})
    families.initialise("dcgan", network, torch.Generator().manual_seed(0))
    return network.eval()


def draw(generator, z, label):
    with torch.no_grad():
        return generator(torch.tensor([z]), torch.tensor([label]))


@pytest.mark.parametrize(("label", "column", "threshold"), [(0, 0, 0.0), (1, 1, -0.8416)])
def test_a_component_that_chooses_says_nothing_else(generator, label, column, threshold):
    below, barely, above = ([0.3, 0.3, 1.0, -1.0, 0.5, 0.2] for _ in range(3))
    below[column], barely[column], above[column] = threshold - 2, threshold - 0.01, threshold + 0.01
    assert torch.equal(draw(generator, below, label), draw(generator, barely, label))
    assert not torch.equal(draw(generator, barely, label), draw(generator, above, label))


@pytest.mark.parametrize(("label", "component"), [(0, 1), (1, 0), (0, 5)])
def test_all_others_do(generator, label, component):
    one, other = ([0.3, 0.3, 1.0, -1.0, 0.5, 0.2] for _ in range(2))
    other[component] += 0.1
    assert not torch.equal(draw(generator, one, label), draw(generator, other, label))


def test_embeddings_begin_as_large_as_latent_vectors(generator):
    both = generator.embedding[[0, 2]].detach().sum(0)
    assert both.std().item() == pytest.approx(1, abs=0.2)
    assert attributes.arguments_of(generator)["attributes"]["embedding"] == 128


def test_tables_of_other_classes_or_more_columns_than_components_are_refused():
    with pytest.raises(ValueError, match="attributes of 2 classes, where there are 3"):
        families.generator("dcgan", InputSpec(6, classes=3), 1, (16, 16), {"width": 4, "attributes": TABLE})
    with pytest.raises(ValueError, match="2 attributes need as many latent components, not 1"):
        families.generator("dcgan", InputSpec(1, classes=2), 1, (16, 16), {"width": 4, "attributes": TABLE})
