"""Directions in closed form: of each family the first weights, and of these the direction that changes most."""

import numpy as np
import pytest
import torch

from gan.latents import Code, InputSpec
from gan.networks import dcgan, families, family, mlp, r3gan, resnet, stylegan2
from tests.training.convert import official
from training.cli.convert import recognise
from training.convert.files import sources
from training.directions import sefa
from training.errors import UsageError

SPEC = InputSpec(12, classes=3, codes=(Code("tilt"),))
GENERATORS = {
    "dcgan": lambda: dcgan.Generator(SPEC, 1, (16, 16), width=4),
    "resnet": lambda: resnet.Generator(SPEC, 1, (16, 16), width=8),
    "mlp": lambda: mlp.Generator(SPEC, 1, (16, 16), width=32),
    "r3gan": lambda: r3gan.Generator(SPEC, 1, (16, 16), width=16),
    "stylegan2": lambda: stylegan2.Generator(SPEC, 1, (8, 8), w_dim=12, layers=1, widths=[8, 8]),
}
FIRST = {"dcgan": "layers.0.weight", "resnet": "first.weight", "mlp": "layers.0.weight", "r3gan": "scale.weight"}


def planted(name):
    """A generator whose first weights change images along one known direction most, and the direction."""
    torch.manual_seed(0)
    generator = GENERATORS[name]()
    direction = torch.nn.functional.normalize(torch.randn(12), dim=0)
    state = generator.state_dict()
    for key, weight in state.items():
        if key == FIRST.get(name):
            as_rows = weight.flatten(1).T if name == "dcgan" else weight
            rows = 0.1 * torch.randn_like(as_rows)
            rows[:, :12] += direction * torch.randn(len(rows), 1)
            rows[:, 12:] = 9  # labels and codes, which are no part of it
            state[key] = rows.T.reshape(weight.shape) if name == "dcgan" else rows
        elif "convolutions" in key and key.endswith("affine.weight"):
            state[key] = direction * torch.randn(len(weight), 1) + 0.1 * torch.randn_like(weight)
        elif key.endswith("affine.weight"):
            state[key] = 50 * torch.randn_like(weight)
    generator.load_state_dict(state)
    return generator, direction.numpy()


@pytest.mark.parametrize("name", list(GENERATORS))
def test_the_first_direction_is_the_one_that_was_planted(name):
    generator, direction = planted(name)
    first, second = sefa.components(generator, 2)
    assert abs(first.direction @ direction) > 0.95
    assert first.strength > 2 * second.strength
    assert abs(first.direction @ second.direction) < 1e-9


def test_stylegan3_has_some_too(tmp_path):
    (tmp_path / "snapshot.pkl").write_bytes(official.pickled({"G_ema": official.stylegan3()}))
    _, recognised = recognise(sources.read(tmp_path / "snapshot.pkl"), None, "auto")
    first, *others = sefa.components(recognised.generator, 99)
    assert len(others) == 11
    assert first.strength >= others[0].strength
    last = recognised.generator.synthesis.steps[-1].affine.weight.data
    last += 99 * torch.nn.functional.normalize(torch.randn(12), dim=0)  # of the colours, which are no part of it
    np.testing.assert_array_equal(sefa.components(recognised.generator, 1)[0].direction, first.direction)


def test_directions_are_orthogonal_of_length_1_and_of_a_fixed_sign():
    found = np.stack([one.direction for one in sefa.components(GENERATORS["mlp"](), 99)])
    assert found.shape == (12, 12)
    np.testing.assert_allclose(found @ found.T, np.eye(12), atol=1e-9)
    assert (found[np.arange(12), np.abs(found).argmax(1)] > 0).all()


def test_a_family_that_is_not_known_is_refused():
    class Other(family.Generator):
        input_spec = SPEC

    with pytest.raises(UsageError, match=r"--sefa: the first layer of .* is not known here: give --sefa 0"):
        sefa.components(Other(), 1)


def test_components_that_choose_attributes_are_left_out():
    table = {"columns": ["hair", "hat"], "shares": [[{"a": 0.5, "b": 0.5}, {"": 1}], [{"a": 0.5, "b": 0.5}, {"": 0.9, "cap": 0.1}]]}
    generator = families.generator("dcgan", InputSpec(12, classes=2), 1, (16, 16), {"width": 4, "attributes": table})
    families.initialise("dcgan", generator, torch.Generator().manual_seed(0))
    found = sefa.components(generator, 11)
    assert all(abs(one.direction[0]) < 1e-9 for one in found)  # hair is chosen in both classes, a hat in one
    assert any(abs(one.direction[1]) > 0.1 for one in found)
