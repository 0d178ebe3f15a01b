"""--micro-batch-size: gradients accumulated over the parts of a batch."""

import json

import pytest
import torch

from tests.conftest import SMALL_DATA
from tests.training.engine import pair
from training.config.schema import TrainingConfig
from training.engine.minibatch import AttributeTargets, Minibatch

COMMON = {"data": str(SMALL_DATA), "batch_size": 16, "images": 96, "threads": 1, "device": "cpu", "mirror": True}


# Everything random within a step, all penalties, codes, an objective of pairs; several steps of the discriminator, of which power
# iterations are a state of their own.
@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (
            {"arch": "r3gan", "width": 16, "objective": "relativistic", "r1": 1.0, "r2": 1.0, "gradient_penalty": 1.0}
            | {"penalty_every": 2, "augment": "diffaugment", "precision": "float32"},
            4,
        ),
        (
            {"recipe": "sngan", "width": 4, "batch_norm_group": 4, "discriminator_steps": 2, "precision": "float32"},
            8,
        ),
    ],
    ids=["penalties", "spectral"],
)
def test_parts_train_what_the_whole_batch_trains(tmp_path, settings, size):
    config = TrainingConfig(**COMMON, **settings)
    whole = pair.train(config, tmp_path / "whole")
    parts = pair.train(config.model_copy(update={"micro_batch_size": size}), tmp_path / "parts")
    assert pair.distance(whole, parts) < 0.03 * pair.way(config, whole)
    for name in (name for name in whole if name.endswith(("_u", "_v"))):
        torch.testing.assert_close(parts[name], whole[name], rtol=0, atol=0.02)
    rows = [json.loads((tmp_path / run / "stats.jsonl").read_text().splitlines()[-1]) for run in ("whole", "parts")]
    measured = [{name: value for name, value in row.items() if "second" not in name} for row in rows]
    assert measured[1] == pytest.approx(measured[0], rel=0.02, abs=1e-3)


def test_parts_have_all_rows_in_order():
    batch = Minibatch(
        torch.arange(6.0).view(6, 1, 1, 1),
        torch.arange(6),
        [torch.arange(6.0)],
        torch.arange(24.0).view(4, 6, 1),
        torch.arange(6.0),
        AttributeTargets(*(torch.arange(6) + 10 * k for k in range(4)), 7),
    )
    first, second, third = batch.parts(2)
    assert (
        second.real.flatten().tolist()
        == second.label.tolist()
        == second.inputs[0].tolist()
        == second.interp_alpha.tolist()
        == [2, 3]
    )
    shown = second.attributes
    assert [part.tolist() for part in (shown.real, shown.fake, shown.first, shown.values)] == [[2, 3], [12, 13], [22, 23], [32, 33]]
    assert shown.most == 7
    assert second.augment_params.flatten().tolist() == [2, 3, 8, 9, 14, 15, 20, 21]
    assert [*first.label, *third.label] == [0, 1, 4, 5]
    assert batch.parts(6) == batch.parts(None) == [batch]
