import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from training.objectives import discriminator_loss, generator_loss


def test_losses_are_binary_cross_entropy_of_the_sigmoid_one_value_per_picture():
    real, fake = torch.linspace(-5, 5, 7, dtype=torch.float64), torch.linspace(4, -6, 7, dtype=torch.float64)
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    both = binary_cross_entropy(real.sigmoid(), ones, reduction="none") + binary_cross_entropy(
        fake.sigmoid(), zeros, reduction="none"
    )
    torch.testing.assert_close(discriminator_loss(real, fake), both)
    torch.testing.assert_close(generator_loss(fake), binary_cross_entropy(fake.sigmoid(), ones, reduction="none"))


def test_a_discriminator_that_cannot_tell_loses_log_4():
    assert discriminator_loss(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(math.log(4))


def test_losses_stay_finite_however_sure_the_discriminator_is():
    sure = torch.tensor([1000.0])
    assert discriminator_loss(-sure, sure).item() == 2000
    assert discriminator_loss(sure, -sure).item() == 0
    assert generator_loss(-sure).item() == 1000
