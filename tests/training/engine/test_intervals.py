"""When a run looks at its samples and measures itself."""

from itertools import pairwise

import pytest

from training.config.schema import TrainingConfig
from training.engine.intervals import Moment, checkpoint_due, grid_due


def times(due, step=1.0, images=100, **settings):
    """The seconds at which something is due, in a run of steps of so many seconds."""
    config = TrainingConfig(**settings)
    moments = [Moment(number * images, number * step) for number in range(int(60 * (config.minutes or 60) / step) + 1)]
    return [after.seconds for before, after in pairwise(moments) if due(config, before, after)]


def test_a_run_by_the_clock_looks_often_at_first_and_twelve_times_in_all():
    assert times(grid_due, minutes=30) == [30, 60, 120, *range(150, 1801, 150)]
    assert times(grid_due, minutes=18) == [30, 60, *range(90, 1081, 90)]
    assert times(grid_due, minutes=2) == list(range(10, 121, 10))
    assert len(times(grid_due, step=60, minutes=600)) <= 12 + 8


def test_a_run_by_the_clock_is_measured_six_times_and_twice_an_hour():
    assert times(checkpoint_due, minutes=30) == list(range(300, 1801, 300))
    assert times(checkpoint_due, step=60, minutes=600) == list(range(1800, 36001, 1800))


@pytest.mark.parametrize(("due", "usual"), [(grid_due, 20_000), (checkpoint_due, 50_000)])
def test_other_runs_go_by_images_and_so_does_who_asks_for_it(due, usual):
    assert [100 * seconds for seconds in times(due)] == list(range(usual, 360_001, usual))
    asked = {"sample_every": 7_000, "checkpoint_every": 7_000, "minutes": 10}
    assert [100 * seconds for seconds in times(due, **asked)] == list(range(7_000, 60_001, 7_000))


def test_a_step_longer_than_the_interval_is_followed_by_one_grid():
    assert times(grid_due, step=50, minutes=5) == [50, 100, 150, 200, 250, 300]
