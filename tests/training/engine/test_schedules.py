import pytest
import torch

from training.config.schema import TrainingConfig
from training.engine.schedules import annealed, ema_weight, set_schedules


def test_settings_go_from_start_to_end_along_a_half_cosine():
    config = TrainingConfig(anneal_images=1000, learning_rate_end=0.0)
    found = [annealed(2.0, 1.0, config, seen) for seen in (0, 250, 500, 1000, 5000)]
    assert found == pytest.approx([2.0, 1.5 + 0.5**1.5, 1.5, 1.0, 1.0])
    assert annealed(2.0, None, config, 500) == 2.0
    assert annealed(2.0, 1.0, TrainingConfig(), 500) == 2.0


def test_the_average_has_its_half_life_and_a_shorter_one_at_first():
    config = TrainingConfig(ema_half_life=1000)
    start_weight = 1.0
    for step in range(10):
        start_weight *= 1 - ema_weight(config, 100_000 + 100 * step, 100)
    assert start_weight == pytest.approx(0.5)
    assert ema_weight(config, 2000, 100) == pytest.approx(0.5)  # a half-life of 100 then
    assert ema_weight(config, 0, 100) == 1.0


def test_learning_rates_fall_from_each_groups_own():
    config = TrainingConfig(learning_rate=1e-3, learning_rate_end=0.0, anneal_images=1000, beta1=0.3, beta2=0.99, beta2_end=0.9)
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimiser = torch.optim.Adam([{"params": weights[:1]}, {"params": weights[1:], "lr": 1e-5}], lr=1e-3)
    for seen, factor in ((0, 1.0), (500, 0.5), (250, 0.5 + 0.5**1.5), (2000, 0.0), (0, 1.0)):
        set_schedules(optimiser, config, seen)
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([factor * 1e-3, factor * 1e-5])
        assert {group["betas"] for group in optimiser.param_groups} == {(0.3, annealed(0.99, 0.9, config, seen))}
