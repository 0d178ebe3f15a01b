"""Checkpoints are ranked by numbers only: one whose distance is none comes last."""

import math

import pytest
import torch

from training.config.schema import TrainingConfig
from training.engine import checkpoint
from training.engine.checkpoint import CheckpointMetadata


def write(folder, seen, measures, protocol="p"):
    return checkpoint.write(
        folder,
        {"x": torch.ones(2)},
        CheckpointMetadata(seen=seen, seconds=1.0, measures=measures, protocol=protocol),
        TrainingConfig(),
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_distance_that_is_no_number_ranks_last_and_can_be_read_again(tmp_path, value):
    best = write(tmp_path, 64, {"frechet": 2.0})
    for seen, distance in ((128, value), (192, 3.0), (256, value), (320, 4.0)):
        write(tmp_path, seen, {"frechet": distance})
    ranked = [checkpoint.read_metadata(path).seen for path in checkpoint.ranked(tmp_path)]
    assert ranked == [64, 192, 320, 256]
    assert best in checkpoint.checkpoints(tmp_path)
    read = checkpoint.read(tmp_path / "checkpoint-000000256.safetensors")[1].measures["frechet"]
    assert read == value or (math.isnan(read) and math.isnan(value))
