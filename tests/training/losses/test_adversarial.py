import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from training.losses.adversarial import OBJECTIVES, code_error

REAL, FAKE = torch.linspace(-5, 5, 7, dtype=torch.float64), torch.linspace(4, -6, 7, dtype=torch.float64)


def test_non_saturating_losses_are_binary_cross_entropy_of_the_sigmoid_one_value_per_image():
    objective = OBJECTIVES["nonsaturating"]
    ones, zeros = torch.ones_like(REAL), torch.zeros_like(FAKE)
    both = binary_cross_entropy(REAL.sigmoid(), ones, reduction="none") + binary_cross_entropy(
        FAKE.sigmoid(), zeros, reduction="none"
    )
    torch.testing.assert_close(objective.discriminator(REAL, FAKE), both)
    torch.testing.assert_close(objective.generator(FAKE, REAL), binary_cross_entropy(FAKE.sigmoid(), ones, reduction="none"))


# Of one real and one generated image with the logits 2 and 0.5, worked out by hand from the papers' equations
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


def slope(loss, at, other):
    """The derivative of a loss by its first logits."""
    logit = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(loss(logit, torch.tensor([other], dtype=torch.float64)).sum(), logit)[0].item()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_on_the_boundary_a_discriminator_that_cannot_tell_is_as_well_off_on_either_side(name):
    objective = OBJECTIVES[name]

    def undecided(logit, _):
        return objective.discriminator(logit, logit.detach()) + objective.discriminator(logit.detach(), logit)

    if objective.boundary is None:  # then it is so everywhere, or only differences count
        assert [slope(undecided, at, 0.0) for at in (-2.0, 0.0, 3.0)] == pytest.approx([0.0] * 3)
    else:
        assert slope(undecided, objective.boundary, 0.0) == pytest.approx(0)
        assert slope(undecided, objective.boundary + 1.5, 0.0) > 0.1
        assert slope(undecided, objective.boundary - 1.5, 0.0) < -0.1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_says_whether_its_generator_looks_at_real_images(name):
    objective, real = OBJECTIVES[name], torch.tensor([0.3], requires_grad=True)
    loss = objective.generator(torch.tensor([0.1], requires_grad=True), real).sum()
    (gradient,) = torch.autograd.grad(loss, real, allow_unused=True)
    assert (gradient is not None) == objective.generator_uses_real_logits


def test_logits_are_log_odds_where_the_loss_is_a_likelihood():
    """-log D and -log(1 - D) of one image: the two probabilities add up to 1."""
    nothing, found = torch.zeros(1), []
    for name, objective in OBJECTIVES.items():
        logit = torch.tensor([0.7])
        real = objective.discriminator(logit, nothing) - objective.discriminator(nothing, nothing) / 2
        fake = objective.discriminator(nothing, logit) - objective.discriminator(nothing, nothing) / 2
        if not objective.generator_uses_real_logits and (-real).exp() + (-fake).exp() == pytest.approx(1):
            found.append(name)
    assert found == [name for name, objective in OBJECTIVES.items() if objective.is_log_odds] == ["minimax", "nonsaturating"]


def test_head_outputs_and_codes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="zip"):
        code_error([torch.zeros(2), torch.zeros(2)], [torch.zeros(2)])
