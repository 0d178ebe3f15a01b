"""The losses of an encoder are those of the paper."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import mse_loss

from tests.training.encoder.conftest import setting
from training.encoder.loop import make_minibatch
from training.encoder.losses import Scales, encoder_loss, scales_of

SCALES = Scales(0.5, 2.0)


@pytest.mark.parametrize("kind", ["trained", "conditional"])
def test_the_loss_is_izi_f_and_ziz(kind, request):
    found = setting(request.getfixturevalue(kind).model, kappa=0.3, regression=0.7, prior=0.2)
    model, batch = found.model, make_minibatch(found.model, found.pictures.train, found.config, 0, torch.device("cpu"))
    encoder = found.start().encoder.eval()
    loss = encoder_loss(encoder, model, found.config, SCALES, batch)
    z = encoder(batch.real, batch.label)
    drawn = model.draw(z, batch.label)
    latent = mse_loss(encoder(model.draw(batch.z, batch.label), batch.label), batch.z)
    features = mse_loss(model.features(drawn, batch.label), model.features(batch.real, batch.label)) / 2
    pixels = mse_loss(drawn, batch.real) / 0.5
    for one, other in ((loss.pixels, pixels), (loss.features, features), (loss.latent, latent), (loss.length, z.square().mean())):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss.total, pixels + 0.3 * features + 0.7 * latent + 0.2 * z.square().mean(), rtol=1e-4, atol=1e-6)


def test_without_regression_no_picture_is_generated(trained):
    found = setting(trained.model, regression=0.0)
    batch = make_minibatch(found.model, found.pictures.train, found.config, 0, torch.device("cpu"))
    encoder = found.start().encoder.eval()
    loss, changed = (
        encoder_loss(encoder, found.model, found.config, SCALES, one) for one in (batch, replace(batch, z=batch.z + 1))
    )
    assert loss.latent == 0
    assert torch.equal(loss.total, changed.total)


def test_only_the_encoder_learns(plain):
    batch = make_minibatch(plain.model, plain.pictures.train, plain.config, 0, torch.device("cpu"))
    encoder = plain.start().encoder
    encoder_loss(encoder, plain.model, plain.config, SCALES, batch).total.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    frozen = [*plain.model.generator.parameters(), *plain.model.discriminator.parameters()]
    assert all(parameter.grad is None for parameter in frozen)


def test_errors_are_in_units_of_the_variance_over_pictures(plain):
    real = torch.randn(64, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.5
    assert scales_of(plain.model, real, None).pixels == pytest.approx(0.04, rel=0.05)
    assert scales_of(plain.model, torch.ones(8, 1, 32, 32), None).pixels == pytest.approx(1e-3)  # of pictures all alike


def test_a_step_is_a_function_of_the_seed_and_the_pictures_seen(labelled):
    device = torch.device("cpu")
    one, same, other = (make_minibatch(labelled.model, labelled.pictures.train, labelled.config, n, device) for n in (32, 32, 48))
    assert torch.equal(one.real, same.real)
    assert torch.equal(one.z, same.z)
    assert torch.equal(one.label, same.label)
    assert not torch.equal(one.z, other.z)
