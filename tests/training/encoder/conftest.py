"""Tiny models with what an encoder is trained on."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from training.encoder import pictures
from training.encoder.frozen import FrozenModel
from training.encoder.pictures import Pictures
from training.encoder.settings import EncoderConfig
from training.encoder.state import EncoderState
from training.hardware import Hardware


@dataclass
class Setting:
    """All that a step takes."""

    model: FrozenModel
    pictures: Pictures
    config: EncoderConfig
    hardware: Hardware

    def start(self) -> EncoderState:
        return EncoderState.start(self.config, self.model, self.hardware)


def setting(path: Path, **given) -> Setting:
    config = EncoderConfig(
        **{"width": 4, "images": 256, "batch_size": 16, "threads": 1, "checkpoint_every": 96, "device": "cpu", **given}
    )
    hardware = Hardware.choose(config)
    model = FrozenModel.read(path, torch.device("cpu"))
    return Setting(model, pictures.load(model.manifest, None), config, hardware)


@pytest.fixture
def plain(trained) -> Setting:
    return setting(trained.model)


@pytest.fixture
def labelled(conditional) -> Setting:
    return setting(conditional.model)
