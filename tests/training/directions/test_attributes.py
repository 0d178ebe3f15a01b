"""What is measured on images: each attribute grows with what its name says, and others stay."""

import numpy as np
import pytest

from training.directions.attributes import measured_on_images


def measured(image, channels=1):
    measure = measured_on_images(channels)
    values = measure.of(np.asarray(image, np.uint8)[None])[0]
    return dict(zip([attribute.name for attribute in measure.attributes], values, strict=True))


def rectangle(top=4, left=4, height=4, width=4, colour=(200,), background=(0,), side=16):
    image = np.full((side, side, len(colour)), background, np.uint8)
    image[top : top + height, left : left + width] = colour
    return image


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("brightness", {"colour": (250,)}),
        ("width", {"width": 8}),
        ("height", {"height": 8}),
        ("centre-x", {"left": 8}),
        ("centre-y", {"top": 8}),
    ],
)
@pytest.mark.parametrize("background", [(0,), (30,)])
def test_an_attribute_grows_with_what_its_name_says(name, changed, background):
    before, after = (measured(rectangle(background=background, **kinds)) for kinds in ({}, changed))
    assert after[name] > before[name] + 0.01
    if name.startswith("centre"):
        assert all(after[other] == pytest.approx(before[other]) for other in before if other != name)


def test_size_and_place_are_in_shares_of_the_side():
    found = measured(rectangle(top=0, left=8, height=16, width=8, background=(0,)))
    assert measured(rectangle(4, 4, 8, 8))["centre-x"] == pytest.approx(0.5)
    assert found["brightness"] == pytest.approx(100 / 255)
    large = measured(rectangle(8, 8, 16, 16, side=32))
    assert large["width"] == pytest.approx(measured(rectangle(4, 4, 8, 8))["width"], rel=0.02)


def test_a_dark_thing_on_white_has_size_and_place_as_a_bright_one_on_black():
    bright = measured(rectangle(left=9, width=3, colour=(255,)))
    dark = measured(rectangle(left=9, width=3, colour=(0,), background=(255,)))
    assert dark["centre-x"] == pytest.approx(bright["centre-x"])
    assert dark["width"] == pytest.approx(bright["width"])


def test_an_image_of_one_colour_has_numbers_too():
    found = measured(np.full((8, 8, 1), 77, np.uint8))
    assert found["centre-x"] == found["centre-y"] == 0.5
    assert found["width"] == found["contrast"] == 0


def test_colours_are_measured_where_there_are_some():
    grey, red, yellow, blue = (
        measured(np.full((4, 4, 3), colour, np.uint8), 3) for colour in ((99, 99, 99), (200, 50, 50), (200, 200, 0), (0, 0, 200))
    )
    assert grey["saturation"] == grey["redness"] == pytest.approx(0)
    assert red["redness"] > 0.5
    assert yellow["yellowness"] > 0.5 > -0.5 > blue["yellowness"]
    assert yellow["redness"] == pytest.approx(0)
    assert "redness" not in measured(np.zeros((4, 4, 1)))
