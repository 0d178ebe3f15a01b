import numpy as np
import pytest

from gan.latents import Code, InputSpec, inputs_of_seed, inputs_of_seeds, interpolate, seed_range

CODES = (Code("kind", categories=10), Code("slant"))


def test_golden_values_never_change():
    everything = inputs_of_seed(7, InputSpec(4, classes=10, codes=CODES))
    assert (
        everything.z.tolist()
        == np.float32([1.690525703800356, -0.4659373705408328, 0.0328201636785844, 0.4075162708759308]).tolist()
    )
    assert everything.label == 8
    assert everything.codes == {"kind": 9, "slant": -0.8558977332804769}
    uniform = inputs_of_seed(7, InputSpec(4, "uniform", classes=10))
    assert (
        uniform.z.tolist() == np.float32([-0.847383439540863, 0.5598375797271729, -0.1231815367937088, 0.4469303488731384]).tolist()
    )
    assert uniform.label == 9


def test_golden_values_of_truncation_never_change():
    # Of seed 0 the components 3, 20 and 24 are beyond 2.
    plain, cut_off, halved = (inputs_of_seed(0, InputSpec(100), truncation=t).z for t in (None, 1.0, 0.5))
    assert np.flatnonzero(np.abs(plain) > 2).tolist() == [3, 20, 24]
    assert cut_off[[3, 20, 24]].tolist() == np.float32([-0.20099112391471863, -0.9466184377670288, 0.040022674947977066]).tolist()
    kept = np.abs(plain) <= 2
    assert np.array_equal(cut_off[kept], plain[kept])
    assert np.array_equal(halved, cut_off / 2)


def test_redrawn_components_are_within_the_limit_whatever_the_seed():
    assert max(np.abs(inputs_of_seed(seed, InputSpec(512), truncation=1.0).z).max() for seed in range(200)) <= 2


def test_truncation_label_and_codes_leave_each_other_alone():
    full = inputs_of_seed(3, InputSpec(16, classes=10, codes=CODES))
    truncated = inputs_of_seed(3, InputSpec(16, classes=10, codes=CODES), truncation=0.3)
    assert (truncated.label, truncated.codes) == (full.label, full.codes)
    assert np.array_equal(inputs_of_seed(3, InputSpec(16)).z, full.z)


def test_a_row_of_many_is_that_seed_alone():
    seeds = [9, 0, 4294967295, 9]
    together = inputs_of_seeds(seeds, InputSpec(100))["z"]
    assert together.dtype == np.float32
    assert together.shape == (4, 100)
    for row, seed in zip(together, seeds, strict=True):
        assert np.array_equal(row, inputs_of_seed(seed, InputSpec(100)).z)


def test_seeds_count_up_and_wrap_round():
    assert seed_range(4294967294, 4) == [4294967294, 4294967295, 0, 1]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match="Seed must be between 0 and 2\\*\\*32 - 1"):
        inputs_of_seed(seed, InputSpec(4))


@pytest.mark.parametrize("truncation", [0, -0.5, 1.01, float("nan")])
def test_truncation_out_of_range(truncation):
    with pytest.raises(ValueError, match="truncation must be over 0 and at most 1"):
        inputs_of_seed(0, InputSpec(4), truncation=truncation)


def test_uniform_latents_are_not_truncated():
    with pytest.raises(ValueError, match="needs a model with normal latents"):
        inputs_of_seed(0, InputSpec(4, "uniform"), truncation=0.5)


def test_an_interpolation_passes_through_its_stops():
    stops = inputs_of_seeds([1, 2, 3], InputSpec(100))
    way = interpolate(stops, 9, False, InputSpec(100))["z"]
    assert way.dtype == np.float32
    assert np.array_equal(way[[0, 4, 8]], stops["z"])
    circle = interpolate(stops, 9, True, InputSpec(100))["z"]
    assert np.array_equal(circle[[0, 3, 6]], stops["z"])
    assert not np.array_equal(circle[8], stops["z"][0])


def test_it_is_spherical_for_normal_latents_and_straight_for_uniform_ones():
    stops = {"z": np.array([[3, 0], [0, 3]], np.float32)}
    middle = interpolate(stops, 3, False, InputSpec(100))["z"][1]
    assert middle == pytest.approx([3 / np.sqrt(2)] * 2)
    assert interpolate(stops, 3, False, InputSpec(2, "uniform"))["z"][1].tolist() == [1.5, 1.5]
    # Steps along the arc are equal.
    arc = interpolate(stops, 10, False, InputSpec(100))["z"]
    steps = np.linalg.norm(np.diff(arc, axis=0), axis=1)
    assert steps == pytest.approx([steps[0]] * 9, rel=1e-5)


@pytest.mark.parametrize("second", [[1, 2], [2, 4], [-1, -2], [0, 0]])
def test_parallel_and_empty_vectors_give_numbers(second):
    with np.errstate(invalid="ignore"):
        assert np.isfinite(interpolate({"z": np.array([[1, 2], second], np.float32)}, 5, False, InputSpec(2))["z"]).all()


def test_an_interpolation_needs_two_of_each():
    with pytest.raises(ValueError, match="at least two stops and two frames, not 1 and 5"):
        interpolate(inputs_of_seeds([1], InputSpec(4)), 5, False, InputSpec(4))


def test_rows_have_every_input_in_the_networks_order():
    input_spec = InputSpec(4, classes=10, codes=CODES)
    rows = inputs_of_seeds([7, 8], input_spec)
    assert list(rows) == input_spec.names == ["z", "label", "kind", "slant"]
    assert [values.dtype for values in rows.values()] == [np.float32, np.int64, np.int64, np.float32]
    assert [rows[name][0].item() for name in ("label", "kind", "slant")] == [8, 9, np.float32(-0.8558977332804769)]


def test_an_interpolation_keeps_the_first_label_and_category_and_moves_numbers():
    input_spec = InputSpec(4, classes=10, codes=CODES)
    stops = inputs_of_seeds([7, 8], input_spec)
    way = interpolate(stops, 3, False, input_spec)
    assert list(way) == input_spec.names
    assert way["label"].tolist() == [8] * 3
    assert way["kind"].tolist() == [9] * 3
    assert way["slant"].dtype == np.float32
    assert way["slant"][[0, 2]].tolist() == stops["slant"].tolist()
    assert way["slant"][1] == pytest.approx(stops["slant"].mean())
