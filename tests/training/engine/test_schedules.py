import pytest

from training.config.schema import TrainingConfig
from training.engine.schedules import annealed, ema_weight


def test_settings_go_from_start_to_end_along_a_half_cosine():
    config = TrainingConfig(anneal_images=1000, learning_rate_end=0.0)
    found = [annealed(2.0, 1.0, config, seen) for seen in (0, 250, 500, 1000, 5000)]
    assert found == pytest.approx([2.0, 1.5 + 0.5**1.5, 1.5, 1.0, 1.0])
    assert annealed(2.0, None, config, 500) == 2.0
    assert annealed(2.0, 1.0, TrainingConfig(), 500) == 2.0


def test_the_average_has_its_half_life_and_a_shorter_one_at_first():
    config = TrainingConfig(ema_half_life=1000)
    share = 1.0
    for step in range(10):
        share *= 1 - ema_weight(config, 100_000 + 100 * step, 100)
    assert share == pytest.approx(0.5)
    assert ema_weight(config, 2000, 100) == pytest.approx(0.5)  # a half-life of 100 then
    assert ema_weight(config, 0, 100) == 1.0
