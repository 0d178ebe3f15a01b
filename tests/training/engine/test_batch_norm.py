"""Over which images batch normalisation takes its statistics."""

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tests.conftest import SMALL_DATA
from tests.training.engine import pair
from training.config.schema import TrainingConfig
from training.engine import batch_norm
from training.engine.distributed import Group

# Batch normalisation in both networks and in the auxiliary head, and a penalty through it
CONFIG = TrainingConfig(
    data=str(SMALL_DATA),
    recipe="acgan",
    conditional=True,
    width=4,
    batch_size=16,
    images=64,
    r1=0.1,
    penalty_every=2,
    threads=1,
    device="cpu",
    precision="float32",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The end of a run of one process, which sees the whole batch."""
    return pair.train(CONFIG, tmp_path_factory.mktemp("whole"))


def test_two_processes_that_are_synchronised_train_what_one_trains(whole, tmp_path):
    found = pair.train_in_two(CONFIG.model_copy(update={"sync_batch_norm": True}), tmp_path / "two")
    assert pair.distance(found, whole) < 0.03 * pair.way(CONFIG, whole, classes=10)
    for name in (name for name in whole if "running_" in name):
        torch.testing.assert_close(found[name], whole[name], rtol=0.02, atol=1e-3)


def test_groups_are_what_parts_of_their_size_see(whole, tmp_path):
    parts = pair.train(CONFIG.model_copy(update={"micro_batch_size": 8}), tmp_path / "parts")
    groups = pair.train(CONFIG.model_copy(update={"batch_norm_group": 8}), tmp_path / "groups")
    both = pair.train(CONFIG.model_copy(update={"batch_norm_group": 4, "micro_batch_size": 8}), tmp_path / "both")
    length = pair.way(CONFIG, whole, classes=10)
    assert pair.distance(parts, groups) < 0.03 * length
    assert min(pair.distance(parts, whole), pair.distance(both, groups)) > 0.1 * length


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)])
def test_a_group_is_normalised_by_itself_and_eval_mode_is_as_ever(layer):
    grouped, images = copy.deepcopy(layer), torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    batch_norm.set_up(grouped, CONFIG.model_copy(update={"batch_norm_group": 4}), Group())
    assert torch.equal(grouped(images), torch.cat([layer(images[:4]), layer(images[4:])]))
    assert grouped.state_dict().keys() == layer.state_dict().keys()
    assert torch.equal(grouped.eval()(images), layer.eval()(images))


def test_statistics_are_gathered_over_shares(monkeypatch):
    """Two shares, of which the other's statistics are given: what comes out is the whole batch's."""
    images = 5 + 3 * torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    plain, synchronised = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    batch_norm.set_up(synchronised, CONFIG.model_copy(update={"sync_batch_norm": True}), Group(0, 2))
    other = torch.stack(torch.var_mean(images[4:], [0, 2, 3], correction=0)[::-1])
    monkeypatch.setattr(Group, "gather", lambda _, own: torch.stack([own, other]))
    torch.testing.assert_close(synchronised(images[:4]), plain(images)[:4])
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synchronised.state_dict()[name], value)
    alone = copy.deepcopy(synchronised)
    batch_norm.leave_group(alone)
    torch.testing.assert_close(alone(images[:4]), plain(images[:4]))


@pytest.mark.parametrize(
    ("settings", "processes", "expected"),
    [
        ({}, 1, 16),
        ({}, 2, 8),
        ({"micro_batch_size": 4}, 2, 4),
        ({"sync_batch_norm": True}, 2, 16),
        ({"sync_batch_norm": True, "micro_batch_size": 4}, 2, 8),
        ({"batch_norm_group": 2, "micro_batch_size": 4}, 2, 2),
    ],
)
def test_how_many_images_are_normalised_together(settings, processes, expected):
    assert batch_norm.images_together(CONFIG.model_copy(update=settings), processes) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"micro_batch_size": 5}, "--micro-batch-size 5 does not divide --batch-size 16"),
        ({"micro_batch_size": 1}, "--micro-batch-size 1: the auxiliary head's batch normalisation needs two images"),
        ({"batch_norm_group": 3}, "--batch-norm-group 3 does not divide --batch-size 16"),
        ({"batch_norm_group": 8, "micro_batch_size": 4}, "--batch-norm-group 8 does not divide --micro-batch-size 4"),
        ({"batch_norm_group": 8, "sync_batch_norm": True}, "leave out this or --sync-batch-norm"),
    ],
)
def test_what_does_not_divide_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TrainingConfig(**{**CONFIG.model_dump(), **settings})
