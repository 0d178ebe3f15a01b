import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from training.objectives import OBJECTIVES

REAL, FAKE = torch.linspace(-5, 5, 7, dtype=torch.float64), torch.linspace(4, -6, 7, dtype=torch.float64)


def test_the_articles_losses_are_binary_cross_entropy_of_the_sigmoid_one_value_per_picture():
    objective = OBJECTIVES["nonsaturating"]
    ones, zeros = torch.ones_like(REAL), torch.zeros_like(FAKE)
    both = binary_cross_entropy(REAL.sigmoid(), ones, reduction="none") + binary_cross_entropy(
        FAKE.sigmoid(), zeros, reduction="none"
    )
    torch.testing.assert_close(objective.discriminator(REAL, FAKE), both)
    torch.testing.assert_close(objective.generator(FAKE, REAL), binary_cross_entropy(FAKE.sigmoid(), ones, reduction="none"))


# Of one real and one generated picture with the logits 2 and 0.5, worked out by hand from the papers' equations
@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("minimax", math.log(1 + math.exp(-2)) + math.log(1 + math.exp(0.5)), -math.log(1 + math.exp(0.5))),
        ("nonsaturating", math.log(1 + math.exp(-2)) + math.log(1 + math.exp(0.5)), math.log(1 + math.exp(-0.5))),
        ("lsgan", 0.5 * (1 + 0.25), 0.5 * 0.25),
        ("hinge", 0 + 1.5, -0.5),
        ("wgan", 0.5 - 2, -0.5),
        ("wgan-gp", 0.5 - 2, -0.5),
        ("relativistic", math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(1.5))),
    ],
)
def test_losses_by_hand(name, discriminator, generator):
    real, fake = torch.tensor([2.0, 2.0]), torch.tensor([0.5, 0.5])
    objective = OBJECTIVES[name]
    assert objective.discriminator(real, fake).tolist() == pytest.approx([discriminator] * 2)
    assert objective.generator(fake, real).tolist() == pytest.approx([generator] * 2)


def test_a_discriminator_that_cannot_tell_loses_log_4():
    for name in ("minimax", "nonsaturating"):
        assert OBJECTIVES[name].discriminator(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(math.log(4))


def test_losses_stay_finite_however_sure_the_discriminator_is():
    sure, objective = torch.tensor([1000.0]), OBJECTIVES["nonsaturating"]
    assert objective.discriminator(-sure, sure).item() == 2000
    assert objective.discriminator(sure, -sure).item() == 0
    assert objective.generator(-sure, sure).item() == 1000
