"""What --recipe auto chooses, on machines of any speed."""

import re

import pytest

from training.config.auto import choose
from training.config.schema import TrainingConfig
from training.config.values import parse_size
from training.data import Survey


def a_machine(pixels_per_second, one_thread=0.55):
    """Seconds for an image of so many pixels, in proportion to the width's square; of one thread by its share of the speed."""

    def seconds_per_image(settings):
        height, width = parse_size(str(settings["resolution"]))
        share = one_thread if settings.get("threads") == 1 else 1.0
        return height * width * (int(settings.get("width", 64)) / 64) ** 2 / (pixels_per_second * share)

    return seconds_per_image


QUICK, USUAL, SLOW = a_machine(1e9), a_machine(500_000), a_machine(10_000)


def chosen(count, rows, columns, channels, machine=QUICK, processors=2, classes=None, **asked):
    found = Survey("x", False, count, rows, columns, channels, classes)
    return {choice.field: choice for choice in choose(found, asked, machine, processors)}


def values(*given, **asked):
    return {field: choice.value for field, choice in chosen(*given, **asked).items()}


def test_by_the_images():
    few = values(300, 72, 72, 3)
    assert (few["resolution"], few["augment"], few["batch_size"], few["r1"]) == ("64", "diffaugment", 32, 0.1)
    assert values(300, 28, 28, 1)["augment"] == "translation"
    many = values(50_000, 32, 32, 3)
    assert many["resolution"] == "32"
    assert not {"augment", "batch_size", "aux_classifier_weight"} & many.keys()
    assert (many["r1"], many["penalty_every"]) == (1.0, 16)
    assert values(50_000, 28, 28, 1)["resolution"] == "28"
    assert values(50_000, 500, 375, 3)["resolution"] == "48x64"  # width x height
    assert values(50_000, 300, 1000, 3)["resolution"] == "64x32"
    assert values(50_000, 5, 7, 1)["resolution"] == "16"


@pytest.mark.parametrize("given", [(10**6, 1080, 1920, 3), (10, 33, 31, 1), (10, 1, 5000, 1), (300, 72, 72, 3)])
@pytest.mark.parametrize("machine", [QUICK, USUAL, SLOW])
@pytest.mark.parametrize("minutes", [None, 0.1, 30])
def test_whatever_it_chooses_fits_together_and_has_a_reason(given, machine, minutes):
    found = chosen(*given, machine=machine, conditional=True, **({} if minutes is None else {"minutes": minutes}))
    TrainingConfig(recipe="auto", conditional=True, **{field: choice.value for field, choice in found.items()})
    assert all(choice.reason for choice in found.values())


def test_labels_are_classified_if_they_are_to_be_learned():
    assert values(50_000, 32, 32, 3, conditional=True)["aux_classifier_weight"] == 1.0
    assert "aux_classifier_weight" not in values(50_000, 32, 32, 3, conditional=True, arch="r3gan")  # which cannot
    assert "aux_classifier_weight" not in values(50_000, 32, 32, 3, conditional=True, aux_classifier_weight=0.5)


@pytest.mark.parametrize(
    ("minutes", "size", "width"),
    [(60, "64", 64), (None, "64", 64), (18, "64", 32), (12, "64", 32), (10.1, "32", 32), (5, "32", 32), (1, "32", 32)],
)
def test_size_and_width_are_such_that_the_time_suffices(minutes, size, width):
    found = values(3786, 64, 64, 3, machine=USUAL, **({} if minutes is None else {"minutes": minutes}))
    assert (found["resolution"], found["width"]) == (size, width) or (
        minutes == 18 and (found["resolution"], found["width"]) == ("64", 32)
    )


def test_the_reason_says_what_larger_images_would_take():
    reason = chosen(3786, 64, 64, 3, machine=USUAL, minutes=9)["resolution"].reason
    assert re.search(r"64x64 with --width 64 would see 66,000, too few: for that give 41 minutes, or a GPU", reason)
    assert re.search(r"^the images are about 64x64; 64x64 with --width 32 sees \d+,000 images in 9 minutes", reason) is None
    assert re.search(r"^the images are about 64x64; 32x32 with --width \d+ sees [\d,]+ images in 9 minutes", reason)


def test_too_little_time_for_anything_is_said():
    reason = chosen(3786, 64, 64, 3, machine=SLOW, minutes=10)["resolution"].reason
    assert "expect blobs" in reason


def test_what_is_asked_for_is_measured_and_not_chosen():
    seen = []

    def machine(settings):
        seen.append((str(settings["resolution"]), settings.get("width"), settings.get("threads")))
        return USUAL(settings)

    found = values(3786, 64, 64, 3, machine=machine, minutes=3, resolution="48")
    assert "resolution" not in found
    assert found["width"] == 32
    assert seen == [("48", 32, None), ("48", 32, 1), ("48", 64, None), ("48", 32, None)]
    seen.clear()
    assert (
        not {"resolution", "width", "threads"}
        & values(3786, 64, 64, 3, machine=machine, resolution="48", width="16", threads="1").keys()
    )
    assert seen == []
    assert "width" not in values(3786, 64, 64, 3, arch="r3gan")  # the choice is for dcgan's networks


def test_one_thread_where_other_programs_keep_the_processors_busy():
    busy = a_machine(100_000, one_thread=20.0)
    found = chosen(50_000, 64, 64, 3, machine=busy, minutes=18)
    assert found["threads"].value == 1
    assert found["resolution"].value == "64"  # which one thread can do
    assert "wait for each other while other programs have the processors" in found["threads"].reason
    assert "threads" not in chosen(50_000, 32, 32, 3)
    assert "threads" not in chosen(50_000, 32, 32, 3, machine=busy, processors=1)
    assert "threads" not in chosen(50_000, 32, 32, 3, machine=busy, device="cuda")


def test_the_learning_rate_falls_over_what_the_run_sees():
    def length(**asked):
        found = values(50_000, 64, 64, 3, machine=USUAL, **asked)
        return tuple(found.get(name) for name in ("images", "learning_rate", "learning_rate_end", "anneal_images"))

    assert length(minutes=60) == (10**9, 4e-4, 2e-5, 440_000)  # of 439,453
    assert length() == (None, 4e-4, 2e-5, 800_000)
    assert length(images="2M") == (None, 4e-4, 2e-5, 2_000_000)
    assert length(images="100k", minutes=60) == (None, 4e-4, 2e-5, 100_000)
    assert length(minutes=60, learning_rate="1e-4") == (10**9, None, None, None)
    assert length(minutes=60, arch="r3gan")[1:] == (None, None, None)


@pytest.mark.parametrize("machine", [QUICK, USUAL, SLOW])
def test_the_length_is_one_that_a_configuration_takes(machine):
    found = values(50_000, 64, 64, 3, machine=machine, minutes=1e-6)
    assert TrainingConfig(recipe="auto", **found).anneal_images >= 1


def test_points_in_the_plane_have_choices_of_their_own():
    ring = ("ring", True, 50_000, 1, 1, 2, None)

    def chosen_for_points(**asked):
        return {choice.field: choice.value for choice in choose(Survey(*ring), {"data": "ring", **asked}, QUICK, 2)}

    found = chosen_for_points()
    assert (found["objective"], found["anneal_images"]) == ("relativistic", 800_000)
    config = TrainingConfig(recipe="auto", data="ring", **found)
    assert (config.arch, config.size, config.z_dim, config.threads, str(config.precision)) == ("mlp", (1, 1), 2, 1, "float32")
    assert "objective" not in chosen_for_points(objective="hinge")
    assert chosen_for_points(images="50k")["anneal_images"] == 50_000
