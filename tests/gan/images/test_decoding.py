import io

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from tests.training.data.conftest import save
from tests.training.data.mixed import png_header
from training import data
from training.errors import DataError


def load(folder, size=16, **options):
    return data.load(str(folder), (size, size), **options)


def colour_of(folder, **options):
    """The one colour of the one image."""
    (image,) = load(folder, **options).images
    (colour,) = np.unique(image.reshape(len(image), -1), axis=1).T
    return colour.tolist()


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.png", "1", 1, [255]),
        ("a.png", "L", 77, [77]),
        ("a.png", "LA", (77, 255), [77]),
        ("a.png", "LA", (77, 51), [219]),  # 77 / 5 + 255 * 4 / 5
        ("a.png", "I;16", 77 * 256 + 200, [77]),
        ("a.tif", "I;16", 77 * 256 + 200, [77]),
        ("a.tif", "I;16B", 77 * 256 + 200, [77]),
        ("a.png", "RGB", (1, 2, 3), [1, 2, 3]),
        ("a.bmp", "RGB", (1, 2, 3), [1, 2, 3]),
        ("a.tiff", "RGBA", (1, 2, 3, 255), [1, 2, 3]),
        ("a.png", "RGBA", (255, 0, 0, 0), [255]),
        ("a.png", "RGBA", (255, 0, 0, 51), [255, 204, 204]),
        ("a.gif", "L", 77, [77]),
        ("a.png", "P", 0, [0]),
        ("a.tif", "CMYK", (0, 255, 255, 0), [255, 0, 0]),
    ],
)
def test_each_mode_becomes_the_colours_that_it_shows(tmp_path, name, mode, colour, expected):
    save(tmp_path / name, colour, mode=mode)
    assert colour_of(tmp_path) == expected


def test_webp_with_alpha(tmp_path):
    save(tmp_path / "a.webp", (200, 100, 50, 51), mode="RGBA", lossless=True)
    assert colour_of(tmp_path) == [244, 224, 214]


@pytest.mark.parametrize(("transparency", "expected"), [(0, [255]), (b"\xff\x33", [10, 20, 30])])
def test_palettes_with_transparency(tmp_path, transparency, expected):
    image = Image.new("P", (20, 20), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=transparency)
    assert colour_of(tmp_path) == expected
    image.paste(1, (0, 0, 20, 20))
    image.save(tmp_path / "a.png", transparency=transparency)
    assert colour_of(tmp_path) == ([40, 50, 60] if transparency == 0 else [212, 214, 216])


@pytest.mark.parametrize(("mode", "level"), [("L", 77), ("I;16", 77 * 256 + 1)])
def test_one_grey_level_may_be_transparent(tmp_path, mode, level):
    image = Image.new(mode, (20, 20), level)
    image.save(tmp_path / "a.png", transparency=level)
    assert colour_of(tmp_path) == [255]
    image.save(tmp_path / "a.png", transparency=level + 1)  # of 16 bits, the upper ones are the same
    assert colour_of(tmp_path) == [77]


@pytest.mark.parametrize(
    ("colour_type", "sample", "expected"),
    [
        (0, b"\x4d\xff", [77]),
        (2, b"\x01\xff\x02\x00\x03\x80", [1, 2, 3]),
        (4, b"\x4d\xff\xff\xff", [77]),
        (4, b"\x4d\xff\x00\x00", [255]),
        (6, b"\x01\xff\x02\x00\x03\x80\xff\xff", [1, 2, 3]),
    ],
)
def test_png_of_16_bits(tmp_path, colour_type, sample, expected):
    (tmp_path / "a.png").write_bytes(png_header(20, 20, 16, colour_type, (b"\0" + 20 * sample) * 20))
    assert colour_of(tmp_path) == expected


def test_cmyk_jpeg_is_inverted_as_adobe_does(tmp_path):
    save(tmp_path / "a.jpg", (0, 255, 255, 0), mode="CMYK", quality=95)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()[:200]
    assert np.abs(np.array(colour_of(tmp_path)) - [255, 0, 0]).max() <= 3


def test_of_animations_the_first_frame_counts(tmp_path):
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ("red", "blue"))
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        red.save(tmp_path / name, save_all=True, append_images=[blue], **({"lossless": True} if name == "a.webp" else {}))
        assert Image.open(tmp_path / name).n_frames == 2
        assert colour_of(tmp_path) == [255, 0, 0]
        (tmp_path / name).unlink()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_orientation_is_obeyed_and_the_middle_is_cut_out(tmp_path, name):
    image = Image.new("RGB", (60, 20), "blue")
    image.paste("red", (20, 0, 40, 10))  # top half of the middle square
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / name, exif=exif, **({} if name.endswith(("png", "tif")) else {"quality": 100}))
    image = load(tmp_path).images[0].astype(int)
    assert np.abs(image[:, 2, 8] - [0, 0, 255]).max() < 8
    assert np.abs(image[:, 13, 8] - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("mode", ["I", "F"])
def test_images_without_a_fixed_white_are_broken(tmp_path, mode):
    save(tmp_path / "a.tif", 200, mode=mode)
    with pytest.raises(DataError, match=r"a\.tif \(it has 32 bits for each pixel and no fixed white"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("background", "expected"), [("black", [0]), ("#102030", [16, 32, 48]), ("Tomato", [255, 99, 71]), ("white", [255])]
)
def test_the_background_can_be_chosen(tmp_path, background, expected):
    save(tmp_path / "a.png", (9, 9, 9, 0), mode="RGBA")
    assert colour_of(tmp_path, background=background) == expected


def test_grey_images_on_a_coloured_background_become_coloured(tmp_path):
    save(tmp_path / "a.png", (77, 0), mode="LA")
    assert colour_of(tmp_path, background="tomato") == [255, 99, 71]
    assert colour_of(tmp_path, background="#808080") == [128]
    save(tmp_path / "a.png", 77, mode="L")
    assert colour_of(tmp_path, background="tomato") == [77]


@pytest.mark.parametrize("background", ["nocolour", "#12345", "rgb(1,2,3)", "#11223344", ""])
def test_what_is_no_colour_is_refused(tmp_path, background):
    save(tmp_path / "a.png", "red")
    with pytest.raises(DataError, match=f"--background {background.replace('(', '.').replace(')', '.')}.*no such colour"):
        load(tmp_path, background=background)


def test_one_coloured_image_makes_the_set_coloured(tmp_path):
    save(tmp_path / "a.png", 77, mode="L")
    save(tmp_path / "b.png", "red")
    assert load(tmp_path).images[:, :, 0, 0].tolist() == [[77, 77, 77], [255, 0, 0]]


def test_lab_becomes_rgb(tmp_path):
    image = Image.new("RGB", (20, 20), "red")
    lab = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    lab.save(tmp_path / "a.tif")
    assert np.abs(np.array(colour_of(tmp_path)) - [255, 0, 0]).max() <= 6


def test_only_the_formats_that_are_listed_are_read(tmp_path):
    content = io.BytesIO()
    Image.new("RGB", (20, 20)).save(content, "EPS")
    (tmp_path / "a.png").write_bytes(content.getvalue())
    with pytest.raises(DataError, match=r"a\.png \(it is no PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF, JPEG2000, PPM\)"):
        load(tmp_path)


@pytest.mark.parametrize("side", [16_000, 30_000])  # over the limit, where Pillow warns, and over twice the limit
def test_bombs_are_not_decoded(tmp_path, side):
    save(tmp_path / "a.png", "red")
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    dataset = load(tmp_path, max_bad=0.5)
    assert len(dataset.images) == 1
    (reason,) = dataset.skipped
    assert reason == f"bomb.png (it has {side**2} pixels, over --max-pixels 200000000: raise that if it is your own)"


def test_text_that_unpacks_to_very_much_is_a_broken_file(tmp_path):
    save(tmp_path / "a.png", "red")
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 80_000_000, zip=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "b.png", pnginfo=text)
    assert load(tmp_path, max_bad=0.5).skipped[0].startswith("b.png (")
