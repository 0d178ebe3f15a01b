"""Training that other programs slow down says so, once."""

from training.engine.slowdown import Slowdown


def noticed(*speeds):
    """Whether each of some minutes at so many images a second was noticed."""
    slowdown = Slowdown()
    return [sum(slowdown.notices(speed * 10, 10.0) for _ in range(6)) == 1 for speed in speeds]


def test_a_minute_less_than_half_as_fast_as_another_is_noticed_once():
    assert noticed(73, 70, 15, 15, 73, 15) == [False, False, True, False, False, False]
    assert noticed(73, 40, 37, 73) == [False] * 4
    assert noticed(15, 73, 30) == [False, False, True]


def test_short_pauses_are_not():
    slowdown = Slowdown()
    ticks = [(730, 10.0)] * 6 + [(10, 10.0)] + [(730, 10.0)] * 5
    assert sum(slowdown.notices(*tick) for tick in ticks) == 0
