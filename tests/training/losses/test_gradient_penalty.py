import numpy as np
import pytest
import torch

from training.losses.diffaugment import AUGMENT_PARAMS, augment
from training.losses.gradient_penalty import squared_gradient_norm, wasserstein_penalty


def images(n=4, seed=0, channels=3):
    return torch.randn(n, channels, 16, 16, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


def test_the_squared_gradient_of_a_plane_is_its_slopes_and_can_be_learned_from():
    slope = torch.full((3, 16, 16), 0.1, requires_grad=True)
    x = images().requires_grad_()
    squared = squared_gradient_norm((x * slope).sum((1, 2, 3)), x)
    assert squared.tolist() == pytest.approx([0.01 * 768] * 4)
    squared.mean().backward()
    torch.testing.assert_close(slope.grad, 2 * slope.detach())


def test_each_image_has_its_own_gradient():
    x = images().requires_grad_()
    squared = squared_gradient_norm(x.square().sum((1, 2, 3)), x)
    torch.testing.assert_close(squared, 4 * x.detach().square().sum((1, 2, 3)))


def test_the_wasserstein_penalty_is_taken_between_the_two():
    real, fake, interp_alpha = images(seed=1), images(seed=2), torch.tensor([0.0, 0.25, 0.5, 1.0])
    seen = []

    def discriminator(x):
        seen.append(x.detach())
        return 1.5 * x[:, 0, 0, 0] + 2.0 * x[:, 1, 1, 1]  # a slope of 2.5 everywhere

    found = wasserstein_penalty(discriminator, real, fake, interp_alpha)
    assert found.tolist() == pytest.approx([(6.2501**0.5 - 1) ** 2] * 4)
    torch.testing.assert_close(seen[0], real + interp_alpha.view(-1, 1, 1, 1) * (fake - real))


def test_a_flat_discriminator_has_a_penalty_that_can_be_learned_from():
    slope = torch.zeros(3, 16, 16, requires_grad=True)
    found = wasserstein_penalty(lambda x: (x * slope).sum((1, 2, 3)), images(seed=1), images(seed=2), torch.full((4,), 0.5))
    found.mean().backward()
    assert torch.isfinite(slope.grad).all()


def augment_params(n, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((n, AUGMENT_PARAMS), np.float32))


def test_augmentation_is_the_same_for_the_same_draws_and_lets_gradients_through():
    x = images(64).requires_grad_()
    once, again, other = (augment(x, augment_params(64, seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert once.shape == x.shape
    once.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()


def test_each_image_is_augmented_by_its_own_params():
    x, by = images(8), augment_params(8)
    torch.testing.assert_close(augment(x, by)[2:5], augment(x[2:5], by[2:5]))


def test_augmentation_does_what_its_params_say():
    x = images(1)
    still = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]])  # no change of colour, no shift, the cut at a corner
    changed = augment(x, still)
    torch.testing.assert_close(changed[:, :, 5:], x[:, :, 5:])
    assert (changed[:, :, :5, :5] == 0).all()
    right = still.clone()
    right[0, 3] = 0.999  # two pixels, an eighth of the side
    torch.testing.assert_close(augment(x, right)[:, :, 5:, :14], x[:, :, 5:, 2:])
    brighter = still.clone()
    brighter[0, 0] = 0.75
    torch.testing.assert_close(augment(x, brighter)[:, :, 5:], x[:, :, 5:] + 0.25)


def test_augmentation_moves_something_in_and_cuts_a_quarter_out():
    blank = augment(torch.ones(400, 1, 16, 16), augment_params(400)) == 0
    assert 0.15 < blank.float().mean() < 0.4


def test_every_channel_is_changed_alike_but_for_its_saturation():
    grey = images(8, channels=1).repeat(1, 3, 1, 1)
    changed = augment(grey, augment_params(8))
    torch.testing.assert_close(changed[:, 0], changed[:, 1])


def test_large_images_are_moved_by_whole_pixels_in_half_precision_too():
    x, by = torch.randn(2, 1, 512, 512, generator=torch.Generator().manual_seed(0)), augment_params(2)
    exact = augment(x, by, "translation")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(x, by, "translation"), exact)


def test_a_milder_policy_leaves_out_the_rest():
    x, by = images(4), augment_params(4)
    assert torch.equal(augment(x, by, "none"), x)
    moved, cut = augment(x, by, "translation"), augment(x, by, "translation-cutout")
    assert set(moved.unique().tolist()) <= {0.0, *x.unique().tolist()}
    assert torch.equal(cut[cut != 0], moved[cut != 0])
    assert (cut == 0).sum() > (moved == 0).sum()
    assert not set(augment(x, by).unique().tolist()) <= {0.0, *x.unique().tolist()}  # colours too


@pytest.mark.parametrize(("height", "width"), [(16, 16), (28, 28), (32, 48)])
def test_every_shift_is_as_likely_as_every_other(height, width):
    most = (int(height / 8 + 0.5), int(width / 8 + 0.5))  # as the paper's code has it
    n = 8_000
    spot = torch.zeros(n, 1, height, width)
    spot[:, :, height // 2, width // 2] = 1
    places = augment(spot, augment_params(n), "translation").flatten(1).argmax(1)
    for found, side, largest in ((places // width, height, most[0]), (places % width, width, most[1])):
        shifts, counts = (found - side // 2).unique(return_counts=True)
        assert shifts.tolist() == list(range(-largest, largest + 1))
        share = n / (2 * largest + 1)
        assert (counts - share).abs().max() < 6 * share**0.5


def test_the_largest_param_is_the_largest_shift():
    still = torch.full((1, AUGMENT_PARAMS), 0.5)
    still[:, 3:5] = 1 - 2**-24
    x = images(1)
    torch.testing.assert_close(augment(x, still, "translation")[:, :, :14, :14], x[:, :, 2:, 2:])
