import numpy as np

from training.data.split import halves


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 8, 8), np.uint8)


def as_sets(held_out):
    return tuple({held_out[place].tobytes() for place in places} for places in halves(held_out))


def test_every_held_out_image_is_in_one_half():
    held_out = images(2000)
    selection, test = halves(held_out)
    assert sorted([*selection, *test]) == list(range(2000))
    assert 900 < len(selection) < 1100
    chooses, reports = as_sets(held_out)
    assert not chooses & reports


def test_the_order_does_not_matter_and_neither_do_the_others():
    held_out = images(2000)
    assert as_sets(held_out[::-1]) == as_sets(held_out)
    chooses, reports = as_sets(np.concatenate([images(500, seed=1), held_out]))
    before = as_sets(held_out)
    assert before[0] < chooses
    assert before[1] < reports


def test_copies_stay_together():
    once = images(1000)
    chooses, reports = as_sets(np.concatenate([once, once[::2], once[:7].repeat(20, 0)]))
    assert not chooses & reports
    assert (chooses, reports) == as_sets(once)


def test_few_images_serve_both():
    assert halves(images(1000)) is not None
    assert halves(images(999)) is None
    assert halves(images(1).repeat(2000, 0)) is None  # all are copies of one, which can only be on one side
