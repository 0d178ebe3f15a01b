"""Directions of a StyleGAN lie among its styles: from the weights of all layers, and by images."""

import numpy as np
import pytest

from gan import model_folder, runtimes
from gan.directions import Directions
from gan.manifest import STYLES
from tests.training.convert import official
from training.cli import convert
from training.cli.directions import main
from training.directions.sampling import Sampler, latents_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("styled")
    (folder / "snapshot.pkl").write_bytes(official.pickled({"G_ema": official.stylegan2()}))
    assert convert.main([str(folder / "snapshot.pkl"), "--name", "styled", "--models", str(folder)]) == 0
    assert main([str(folder / "styled"), "--samples", "240", "--sefa", "3", "--least-r2", "0.3"]) == 0
    return folder / "styled"


def test_the_unit_of_a_move_is_a_standard_deviation_of_styles(model):
    sampler = Sampler(model_folder.read(model))
    directions = Directions.read(sampler.folder)
    assert directions.names[:3] == ["sefa-1", "sefa-2", "sefa-3"]
    styles = latents_of(sampler.rows(range(5000, 7000), None))
    for name in directions.names:
        direction = directions.of(name, None)
        assert direction.shape == (sampler.manifest.styles.size,)
        length = np.linalg.norm(direction)
        assert (styles @ direction / length).std() == pytest.approx(length, rel=0.2)


def test_a_move_changes_images_as_it_says(model):
    sampler = Sampler(model_folder.read(model))
    directions = Directions.read(sampler.folder)
    regressed = [one.name for one in sampler.manifest.directions if one.kind == "regression"]
    assert "brightness" in regressed
    rows = sampler.rows(range(40), None)
    low, high = (
        runtimes.generate_images(sampler.runtime, directions.moved(rows, {"brightness": units})).mean((1, 2, 3))
        for units in (-2, 2)
    )
    assert (high > low).mean() > 0.9
    assert (directions.moved(rows, {"sefa-1": 1.0})[STYLES] != rows[STYLES]).any()
