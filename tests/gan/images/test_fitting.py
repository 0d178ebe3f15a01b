import numpy as np
from PIL import Image

from tests.training.data.conftest import save
from training import data


def stripes(path, size=(60, 20)):
    """Red, green and blue, a third each, side by side."""
    image = Image.new("RGB", size, "lime")
    third = size[0] // 3
    image.paste("red", (0, 0, third, size[1]))
    image.paste("blue", (2 * third, 0, size[0], size[1]))
    image.save(path)


def test_images_of_the_right_size_are_left_alone(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    for fit in ("crop", "pad"):
        dataset = data.load(str(tmp_path), (24, 40), fit=fit)
        assert np.array_equal(dataset.images[0].transpose(1, 2, 0), levels)
        assert "1 pictures at 24x40 (height x width): none changed" in dataset.notes


def test_crop_takes_the_middle(tmp_path):
    stripes(tmp_path / "a.png")
    dataset = data.load(str(tmp_path), (10, 10))
    assert np.array_equal(dataset.images[0, :, 3:7, 3:7], np.broadcast_to([[[0]], [[255]], [[0]]], (3, 4, 4)))
    assert dataset.images[0, 1].min() > 230  # of the red and blue only what Lanczos's filter reaches
    assert "1 pictures at 10x10 (height x width): 1 cut, 1 scaled down" in dataset.notes


def test_pad_keeps_all_and_has_margins_of_the_background(tmp_path):
    stripes(tmp_path / "a.png")
    dataset = data.load(str(tmp_path), (30, 30), fit="pad", background="#010203")
    image = dataset.images[0].transpose(1, 2, 0)
    assert np.array_equal(image[[0, 9, 20, 29]], np.broadcast_to([1, 2, 3], (4, 30, 3)))  # 10 of 30 rows are the image
    assert image[15, [2, 15, 27]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert "1 pictures at 30x30 (height x width): 1 padded, 1 scaled down" in dataset.notes


def test_grey_images_keep_one_channel_in_grey_margins_only(tmp_path):
    save(tmp_path / "a.png", 77, size=(20, 10), mode="L")
    assert data.load(str(tmp_path), (20, 20), fit="pad").images[0, :, 0, 0].tolist() == [255]
    assert data.load(str(tmp_path), (20, 20), fit="pad", background="red").images[0, :, 0, 0].tolist() == [255, 0, 0]


def test_images_that_are_not_square_can_be_asked_for(tmp_path):
    stripes(tmp_path / "a.png", size=(60, 20))
    dataset = data.load(str(tmp_path), (16, 48))
    assert dataset.images.shape == (1, 3, 16, 48)
    assert dataset.images[0, :, 8, [3, 24, 44]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_slivers_do_not_vanish(tmp_path):
    save(tmp_path / "a.png", "red", size=(1000, 1))
    for fit in ("crop", "pad"):
        assert [255, 0, 0] in data.load(str(tmp_path), (16, 16), fit=fit).images[0, :, :, 8].T.tolist()


def test_what_was_done_to_how_many_is_said(tmp_path):
    for name, size in {"same": (16, 16), "tiny": (7, 7), "small": (8, 9), "large": (32, 32), "wide": (40, 10)}.items():
        save(tmp_path / f"{name}.png", "red", size)
    assert data.load(str(tmp_path), (16, 16)).notes[0] == (
        "5 pictures at 16x16 (height x width): 2 cut, 1 scaled down, 3 scaled up "
        "(1 by more than 2x: a smaller size would lose nothing)"
    )
