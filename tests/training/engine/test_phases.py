"""Phases of a step: what an update does, and that one more joins without a change of the loop."""

import json
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from tests.conftest import SMALL_DATA
from training import data
from training.config.schema import TrainingConfig
from training.engine import loop
from training.engine.checkpoint import checkpoints
from training.engine.phases import Phase, _penalty_weight, make_phases
from training.engine.state import TrainingState
from training.hardware import Hardware

BATCH = 8
CONFIG = TrainingConfig(
    data=str(SMALL_DATA), width=4, batch_size=BATCH, discriminator_steps=2, images=12 * BATCH, threads=1, device="cpu"
)


@dataclass(frozen=True)
class SquaredError:
    total: Tensor

    def statistics(self, _):
        return {"loss_encoder": self.total}


def phase_of(network, loss, **others):
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    return Phase("encoder", network, optimiser, GradScaler("cpu", enabled=False), loss, **others)


def test_an_update_trains_its_network_alone():
    network, frozen = nn.Linear(3, 2), nn.Linear(2, 1)
    before = [weight.detach().clone() for weight in (*network.parameters(), *frozen.parameters())]
    network.weight.grad = torch.full((2, 3), 100.0)  # of an earlier step
    x = torch.ones(4, 3)

    def loss(*_):
        assert not any(weight.requires_grad for weight in frozen.parameters())
        return SquaredError(frozen(network(x)).square().mean())

    expected = torch.autograd.grad(frozen(network(x)).square().mean(), network.weight)[0]
    called = []
    phase = phase_of(network, loss, every=1, frozen=(frozen,), constrain=lambda: called.append(network.weight.detach().clone()))
    phase.update([None], lambda _: None)
    torch.testing.assert_close(network.weight.grad, expected)
    assert all(weight.requires_grad and weight.grad is None for weight in frozen.parameters())
    (constrained,) = called
    assert torch.equal(constrained, network.weight)  # called after the step
    changed = [not torch.equal(*pair) for pair in zip(before, (*network.parameters(), *frozen.parameters()), strict=True)]
    assert changed == [True, True, False, False]


@pytest.mark.parametrize("stops", [[], [3]])
def test_one_more_phase_joins_at_its_own_steps_and_changes_no_other(tmp_path, monkeypatch, stops):
    dataset, hardware = data.load(CONFIG.data, CONFIG.size), Hardware.choose(CONFIG)
    encoder, updated_at = nn.Linear(32 * 32, 100), []
    losses = []

    def start():
        return TrainingState.start(CONFIG, 1, None, hardware)

    def train(state, folder, stop_after=None):
        folder.mkdir(exist_ok=True)
        looks = iter(range(1000))
        loop.train(state, dataset, CONFIG, hardware, folder, None, lambda: stop_after is not None and next(looks) >= stop_after)
        return state

    def with_encoder(state, *others):
        def loss(batch, fake):
            updated_at.append(state.seen)
            z = batch.inputs[0]
            error = SquaredError((encoder(fake.detach().float().flatten(1)) - z).square().mean())
            losses.append(error.total.item())
            return error

        return [*make_phases(state, *others), phase_of(encoder, loss, every=4)]

    plain = train(start(), tmp_path / "plain")
    monkeypatch.setattr(loop, "make_phases", with_encoder)
    for stop_after in stops:
        train(start(), tmp_path / "more", stop_after)
    state = start()
    if stops:
        state.restore(checkpoints(tmp_path / "more")[-1])
    more = train(state, tmp_path / "more")
    assert updated_at == [3 * BATCH, 7 * BATCH, 11 * BATCH]
    last = json.loads((tmp_path / "more" / "stats.jsonl").read_text().splitlines()[-1])
    ticks = losses[1:] if stops else losses  # a resumed run begins its means anew
    assert last["loss_encoder"] == pytest.approx(sum(ticks) / len(ticks))
    for name, tensor in plain._tensors().items():
        assert torch.equal(tensor, more._tensors()[name]), name


def test_a_lazy_regulariser_of_the_generator_is_a_phase(tmp_path, monkeypatch):
    """Path length (Karras et al. 2020, section 3.2), which takes gradients of gradients of the generator."""
    dataset, hardware = data.load(CONFIG.data, CONFIG.size), Hardware.choose(CONFIG)
    lengths = []

    def with_path_length(state, *others):
        def loss(batch, _):
            z = batch.inputs[0].clone().requires_grad_()
            images = state.generator(z)
            (gradient,) = torch.autograd.grad((images * torch.randn_like(images)).sum(), z, create_graph=True)
            lengths.append(gradient.norm(dim=1).mean().item())
            return SquaredError(gradient.square().sum(1).mean())

        regulariser = phase_of(state.generator, loss, every=4)
        return [*make_phases(state, *others), regulariser]

    monkeypatch.setattr(loop, "make_phases", with_path_length)
    state = TrainingState.start(CONFIG, 1, None, hardware)
    torch.manual_seed(0)
    loop.train(state, dataset, CONFIG, hardware, tmp_path, None, lambda: False)
    assert len(lengths) == 3
    assert lengths[-1] < 0.9 * lengths[0]


def phases(**settings):
    config = CONFIG.model_copy(update=settings)
    hardware = Hardware.choose(config)
    state = TrainingState.start(config, 1, None, hardware)
    return state, make_phases(state, state.generator, state.discriminator, config, hardware)


def test_a_run_has_two_phases_each_with_its_own_optimiser_and_scaler():
    state, (discriminator, generator) = phases()
    assert (discriminator.module, discriminator.optimiser, discriminator.scaler, discriminator.every) == (
        *(state.discriminator, state.discriminator_optimiser, state.scalers[1]),
        1,
    )
    assert (generator.module, generator.optimiser, generator.scaler, generator.every) == (
        *(state.generator, state.generator_optimiser, state.scalers[0]),
        CONFIG.discriminator_steps,
    )
    assert generator.frozen == (state.discriminator,)


def test_an_update_lets_the_scaler_adapt():
    called = []

    class Scaler:
        def scale(self, loss):
            called.append("scale")
            return loss

        def step(self, optimiser):
            called.append("step")
            optimiser.step()

        def update(self):
            called.append("update")

    network = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(network.parameters())
    phase = Phase("x", network, optimiser, Scaler(), lambda *_: SquaredError(network(torch.ones(1, 3)).square().mean()), every=1)
    phase.update([None], lambda _: None)
    assert called == ["scale", "step", "update"]
    called.clear()
    phase.update([None, None], lambda _: None)
    assert called == ["scale", "scale", "step", "update"]


def test_gradients_of_parts_add_up_to_those_of_the_whole():
    network, x = nn.Linear(3, 2), torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    whole = network(x).square().mean()
    expected = torch.autograd.grad(whole, network.weight)[0]
    phase = phase_of(network, lambda part, fake: SquaredError((network(part) + fake).square().mean()), every=1)
    loss = phase.update(x.split(2), lambda _: torch.zeros(()))
    torch.testing.assert_close(network.weight.grad, expected)
    torch.testing.assert_close(loss.total, whole)
    assert not loss.total.requires_grad


def test_penalties_come_every_so_many_steps_and_make_up_for_the_others():
    config = CONFIG.model_copy(update={"r1": 1.0, "penalty_every": 4})
    found = [_penalty_weight(config, step * BATCH) for step in range(6)]
    assert found == [4.0, None, None, None, 4.0, None]
    assert _penalty_weight(CONFIG, 0) is None


def test_only_steps_without_penalties_are_computed_in_bfloat16(monkeypatch):
    state, (discriminator, _) = phases(r1=1.0, penalty_every=2, discriminator_norm="none", precision="bfloat16")
    seen = []

    def loss(*_, **__):
        seen.append(torch.is_autocast_enabled("cpu"))
        return SquaredError(torch.zeros(()))

    monkeypatch.setattr("training.engine.phases.discriminator_loss", loss)
    for step in range(4):
        state.seen = step * BATCH
        discriminator.loss(None, None)
    assert seen == [False, True, False, True]
