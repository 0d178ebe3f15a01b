import numpy as np

from training.data.split import halves


def pictures(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 8, 8), np.uint8)


def as_sets(held_out):
    return tuple({held_out[place].tobytes() for place in places} for places in halves(held_out))


def test_every_held_out_picture_is_in_one_half():
    held_out = pictures(2000)
    selection, test = halves(held_out)
    assert sorted([*selection, *test]) == list(range(2000))
    assert 900 < len(selection) < 1100
    chooses, reports = as_sets(held_out)
    assert not chooses & reports


def test_the_order_does_not_matter_and_neither_do_the_others():
    held_out = pictures(2000)
    assert as_sets(held_out[::-1]) == as_sets(held_out)
    chooses, reports = as_sets(np.concatenate([pictures(500, seed=1), held_out]))
    before = as_sets(held_out)
    assert before[0] < chooses
    assert before[1] < reports


def test_copies_stay_together():
    once = pictures(1000)
    chooses, reports = as_sets(np.concatenate([once, once[::2], once[:7].repeat(20, 0)]))
    assert not chooses & reports
    assert (chooses, reports) == as_sets(once)


def test_few_pictures_serve_both():
    assert halves(pictures(1000)) is not None
    assert halves(pictures(999)) is None
    assert halves(pictures(1).repeat(2000, 0)) is None  # all are copies of one, which can only be on one side
