"""Every recipe trains on a small real set, and does in one step what its paper says."""

import json

import numpy as np
import pytest
import torch

from gan import artifact
from gan.networks import dcgan
from tests.conftest import SMALL_DATA, train
from training import data, loop
from training.config import TrainingConfig
from training.hardware import Hardware
from training.recipes import RECIPES
from training.state import TrainingState


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_and_exports(tmp_path, recipe):
    found = train(tmp_path, "--recipe", recipe, "--images", "2000", "--width", "8", "--batch-size", "32")
    rows = [json.loads(row) for row in (found.run / "stats.jsonl").read_text().splitlines()]
    assert rows[-1]["pictures"] >= 2000
    assert all(np.isfinite(value) for row in rows for value in row.values())
    manifest = artifact.read(found.model).manifest
    assert manifest.name == f"fashion-mnist-{recipe}"
    assert manifest.origin.config["recipe"] == recipe
    assert (manifest.classes is not None) == (recipe == "cgan")
    assert ("value" in rows[0]) == (recipe in ("dcgan", "cgan"))
    if "value" in rows[0]:
        assert rows[0]["value"] == pytest.approx(-rows[0]["loss_d"])


def test_a_flag_overrides_its_recipe_and_a_recipe_the_defaults():
    assert TrainingConfig(recipe="wgan-gp").gradient_penalty == 10
    assert TrainingConfig(recipe="wgan-gp", gradient_penalty=3).gradient_penalty == 3
    assert TrainingConfig(recipe="wgan-gp", gradient_penalty=3).discriminator_steps == 5
    assert TrainingConfig().gradient_penalty == 0


def one_step(tmp_path, **settings):
    """The discriminator and the generator before and after one step in float32, and what the step was given."""
    config = TrainingConfig(
        data=str(SMALL_DATA), width=8, batch_size=8, images=8, precision="float32", threads=2, discriminator_steps=1, **settings
    )
    dataset = data.load(config.data, config.resolution)
    hardware = Hardware.choose(config)
    before, after = (TrainingState.start(config, 1, None, hardware.device) for _ in range(2))
    loop.train(after, dataset, config, hardware, tmp_path, lambda: False)
    real = torch.from_numpy(dataset.batch(config.seed, 0, 8)[0]).float() / 127.5 - 1
    (z,) = loop._draw(config, before.generator.space, 0)
    return before, after, real, z, config


def adam(weight, gradient, rate):
    """Adam's first step: its moments, corrected for their start, are the gradient and its square."""
    return weight - rate * gradient / (gradient.abs() + 1e-8)


def assert_moved(found, network, loss, rate):
    parameters = dict(network.named_parameters())
    for (name, parameter), gradient in zip(parameters.items(), torch.autograd.grad(loss, list(parameters.values())), strict=True):
        clear = gradient.abs() > 1e-6  # where it is next to nothing, rounding decides the direction of Adam's first step
        expected = adam(parameter.detach(), gradient, rate)
        torch.testing.assert_close(found[name][clear], expected[clear], rtol=0, atol=rate / 50)


def penalty_by_hand(discriminator, x):
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def test_one_step_with_r1_and_r2(tmp_path):
    before, after, real, z, config = one_step(
        tmp_path, objective="relativistic", r1=0.5, r2=0.25, discriminator_norm="none", beta1=0.0
    )
    fake = before.generator.train()(z)
    discriminator: dcgan.Discriminator = before.discriminator
    logits = torch.sigmoid(discriminator(real) - discriminator(fake.detach()))
    loss = -logits.log().mean()
    loss = loss + 0.25 * (penalty_by_hand(discriminator, real) ** 2).mean()
    loss = loss + 0.125 * (penalty_by_hand(discriminator, fake) ** 2).mean()
    assert_moved(dict(after.discriminator.named_parameters()), discriminator, loss, config.learning_rate)
    # The generator plays against the discriminator as it is after its step.
    generator_loss = -torch.sigmoid(after.discriminator(fake) - after.discriminator(real).detach()).log().mean()
    assert_moved(dict(after.generator.named_parameters()), before.generator, generator_loss, config.learning_rate)


def test_one_step_of_wgan_gp(tmp_path):
    before, after, real, z, config = one_step(tmp_path, recipe="wgan-gp")
    fake = before.generator.train()(z)
    share = torch.from_numpy(np.random.default_rng([0, 0, 2]).random(8, np.float32)).view(-1, 1, 1, 1)
    discriminator = before.discriminator
    norms = (penalty_by_hand(discriminator, (1 - share) * real + share * fake) ** 2 + 1e-4).sqrt()
    loss = discriminator(fake.detach()).mean() - discriminator(real).mean() + 10 * ((norms - 1) ** 2).mean()
    assert_moved(dict(after.discriminator.named_parameters()), discriminator, loss, config.learning_rate)


def test_one_step_of_wgan_leaves_no_weight_over_the_clip(tmp_path):
    _, after, *_ = one_step(tmp_path, recipe="wgan")
    assert max(weight.abs().max().item() for weight in after.discriminator.parameters()) == pytest.approx(0.01)
