import pytest
import torch

from gan.latents import Code
from gan.networks import auxiliary_head

CODES = (Code("kind", 3), Code("slant"), Code("shape", 5), Code("weight"))


def test_each_code_gets_its_own_part_in_order():
    aux_head = auxiliary_head.AuxiliaryHead(7, CODES, width=6).eval()
    features = torch.randn(4, 7)
    kind, slant, shape, weight = aux_head(features)
    assert [part.shape for part in (kind, slant, shape, weight)] == [(4, 3), (4,), (4, 5), (4,)]
    together = torch.cat([kind, slant[:, None], shape, weight[:, None]], 1)
    first, norm, _, last = aux_head.layers
    hidden = features @ first.weight.T / (1 + norm.eps) ** 0.5
    hidden = torch.where(hidden > 0, hidden, 0.1 * hidden)
    assert torch.allclose(together, hidden @ last.weight.T + last.bias, atol=1e-6)


def test_the_papers_head_has_its_size():
    # After 1,024 units: 128 normalised ones, then ten categories and two means
    aux_head = auxiliary_head.AuxiliaryHead(1024, (Code("digit", 10), Code("a"), Code("b")))
    assert sum(parameter.numel() for parameter in aux_head.parameters()) == 1024 * 128 + 2 * 128 + 128 * 12 + 12


def test_start_weights_are_those_of_the_papers_code_and_of_the_seed():
    heads = [auxiliary_head.AuxiliaryHead(500, CODES), auxiliary_head.AuxiliaryHead(500, CODES)]
    for head in heads:
        auxiliary_head.initialise(head, torch.Generator().manual_seed(4))
    first, norm, _, last = heads[0].layers
    assert first.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert last.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not last.bias.any()
    assert norm.weight.unique().tolist() == [1]
    states = [head.state_dict() for head in heads]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_it_learns_codes_that_the_features_hold():
    random = torch.Generator().manual_seed(0)
    aux_head = auxiliary_head.AuxiliaryHead(6, (Code("kind", 3), Code("slant")), width=16)
    auxiliary_head.initialise(aux_head, random)
    optimiser = torch.optim.Adam(aux_head.parameters(), lr=1e-2)
    kind, slant = torch.randint(3, (64,), generator=random), torch.rand(64, generator=random)
    features = torch.cat([torch.nn.functional.one_hot(kind, 3), slant[:, None].expand(-1, 3)], 1)
    for _ in range(100):
        logits, mean = aux_head(features)
        loss = torch.nn.functional.cross_entropy(logits, kind) + 0.5 * (mean - slant).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (logits.argmax(1) == kind).all()
    assert (mean - slant).abs().mean() < 0.1
