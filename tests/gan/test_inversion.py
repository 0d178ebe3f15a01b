"""A picture becomes the latent vector that draws it."""

from pathlib import Path

import numpy as np
import pytest

from gan import inversion, model_folder
from gan.inversion import COARSE_STEP, STEP, Candidate, TimeIsUpError, drive, invert, most_images
from gan.latents import InputSpec, inputs_of_seeds
from gan.runtimes.network import generator_of
from gan.runtimes.onnx import OnnxEngine

SHIPPED = Path(__file__).parents[2] / "models" / "fashion-mnist"
SPEC = InputSpec(6, classes=3)


def small(rows):
    """A curved generator of 1x5x8 images in three classes."""
    random = np.random.default_rng(0)
    weight, shift = random.normal(0, 0.5, (3, 6, 40)), random.normal(0, 0.7, (3, 40))
    values = np.einsum("nz,nzp->np", rows["z"], weight[rows["label"]]) + shift[rows["label"]]
    return np.tanh(values).astype(np.float32).reshape(-1, 1, 5, 8)


def driven(search, draw):
    """The result, and how many images were drawn for it."""
    drawn = []

    def counted(rows):
        assert rows["z"].dtype == np.float32
        drawn.append(len(rows["z"]))
        return draw(rows)

    return drive(search, counted), sum(drawn)


def of_labels(*labels, start=None):
    return [Candidate({"label": np.array([label])}, start) for label in labels]


def picture(z, label):
    return small({"z": z[None], "label": np.array([label])})[0]


@pytest.mark.parametrize("label", range(3))
def test_the_vector_and_the_class_that_drew_a_picture_are_found(label):
    z = np.random.default_rng(label).normal(0, 1, 6).astype(np.float32)
    found, _ = driven(invert(picture(z, label), SPEC, of_labels(0, 1, 2), 20), small)
    assert found.label == label
    assert found.stopped == "converged"
    assert found.psnr > 30
    np.testing.assert_allclose(found.z, z, atol=0.1)
    again, _ = driven(invert(picture(z, label), SPEC, of_labels(0, 1, 2), 20), small)
    assert np.array_equal(again.z, found.z)


def test_the_error_is_that_of_the_vector_that_is_returned():
    target = np.random.default_rng(7).uniform(-1, 1, (1, 5, 8)).astype(np.float32)  # no picture of this generator
    found, _ = driven(invert(target, SPEC, of_labels(1), 4), small)
    assert found.error == pytest.approx(float(np.square(picture(found.z, 1) - target).mean()), rel=1e-3)
    assert found.psnr == pytest.approx(10 * np.log10(4 / found.error))
    assert found.iterations <= 4


def test_a_start_is_taken_if_no_seed_is_nearer():
    z = np.full(6, 0.3, np.float32)
    near, _ = driven(invert(picture(z, 2), SPEC, of_labels(2, start=z), 0), small)
    assert np.array_equal(near.z, z)
    plain, far = (driven(invert(picture(z, 2), SPEC, of_labels(2, start=one), 0), small)[0] for one in (None, -3 * z))
    assert np.array_equal(far.z, plain.z)


def test_the_images_that_a_search_draws_are_estimated():
    target = np.random.default_rng(7).uniform(-1, 1, (1, 5, 8)).astype(np.float32)
    for labels, iterations in (([1], 0), ([0, 1, 2], 3)):
        _, drawn = driven(invert(target, SPEC, of_labels(*labels), iterations), small)
        assert drawn <= most_images(of_labels(*labels), iterations, SPEC) <= 1.5 * drawn


def test_more_iterations_are_no_worse():
    target = np.random.default_rng(8).uniform(-1, 1, (1, 5, 8)).astype(np.float32)
    errors = [driven(invert(target, SPEC, of_labels(0), iterations), small)[0].error for iterations in (0, 1, 3, 9)]
    assert errors == sorted(errors, reverse=True)


def test_uniform_latents_stay_in_their_range_and_have_no_prior():
    spec = InputSpec(6, "uniform", classes=3)
    z = np.array([0.9, -0.99, 0.3, 0, -0.5, 1], np.float32)
    found, _ = driven(invert(picture(z, 1), spec, of_labels(1), 30), small)
    assert np.abs(found.z).max() <= 1
    np.testing.assert_allclose(found.z, z, atol=0.01)
    far, _ = driven(invert(picture(3 * z, 1), spec, of_labels(1), 30), small)
    assert np.abs(far.z).max() == 1


def stopped_after(search, draws):
    rows = next(search)
    try:
        for _ in range(draws):
            rows = search.send(small(rows))
        search.throw(TimeIsUpError)
    except StopIteration as end:
        return end.value


def test_when_time_is_up_the_best_that_was_found_is_returned():
    target = picture(np.full(6, 0.8, np.float32), 2)
    every, _ = driven(invert(target, SPEC, of_labels(0, 1, 2), 20), small)
    found = [stopped_after(invert(target, SPEC, of_labels(0, 1, 2), 20), draws) for draws in range(1, 40)]
    errors = [one.error for one in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1] == every.error
    assert (found[0].stopped, found[-1].stopped) == ("deadline", "converged")
    with pytest.raises(TimeIsUpError):  # nothing has been drawn
        stopped_after(invert(target, SPEC, of_labels(0, 1, 2), 20), 0)


def test_values_that_are_rounded_need_a_coarser_step():
    def rounded(rows):
        return (small(rows).view(np.uint32) & 0xFFFF0000).view(np.float32)  # as bfloat16, cut off

    target = picture(np.full(6, 0.5, np.float32), 1)
    fine, coarse = (driven(invert(target, SPEC, of_labels(1), 3, step), rounded)[0].psnr for step in (STEP, COARSE_STEP))
    assert coarse > fine + 3


def test_pictures_of_the_model_that_ships_are_found_again():
    folder = model_folder.read(SHIPPED)
    engine = OnnxEngine(generator_of(folder), folder.content("generator.onnx"), 1)

    def draw(rows):
        starts = range(0, len(rows["z"]), 16)
        parts = [engine.start({name: values[start : start + 16] for name, values in rows.items()})() for start in starts]
        return np.concatenate([part["pictures"] for part in parts])

    rows = inputs_of_seeds([1001], folder.manifest.input_spec)
    (target,) = draw(rows)
    (nearest,) = driven(invert(target, folder.manifest.input_spec, of_labels(int(rows["label"][0])), 0), draw)[:1]
    found, _ = driven(invert(target, folder.manifest.input_spec, of_labels(int(rows["label"][0])), 6), draw)
    assert found.psnr > nearest.psnr + 8
    assert inversion._SEEDS < 1001  # it was not among those that the search begins at
