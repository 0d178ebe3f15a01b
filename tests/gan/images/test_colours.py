"""What the numbers in a file stand for."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.gan.images.profiles import adobe_rgb, grey_profile
from tests.training.data.conftest import save
from training import data


def load(folder, **options):
    return data.load(str(folder), (16, 16), **options)


def wide(path, levels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(np.asarray(levels, np.uint16), (16, 16)).copy()).save(path)


@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (1000, 10), (4095, 12), (16383, 14), (16384, 16), (65535, 16)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_values_of_fewer_bits_in_16_are_taken_for_what_they_are(tmp_path, highest, bits, suffix):
    wide(tmp_path / f"a{suffix}", highest)
    wide(tmp_path / f"b{suffix}", highest // 2)  # by the largest of the set: a darker image stays darker
    dataset = load(tmp_path)
    assert dataset.images[:, 0, 0, 0].tolist() == [highest >> bits - 8, highest // 2 >> bits - 8]
    said = [note for note in dataset.notes if note.startswith("the values of 16-bit files are taken for")]
    assert said == (
        [] if bits == 16 else [f"the values of 16-bit files are taken for {bits} bits, since none is over {2**bits - 1:,}"]
    )


def test_images_of_8_bits_beside_them_stay(tmp_path):
    wide(tmp_path / "a.png", 4095)
    save(tmp_path / "b.png", 77, mode="L")
    assert load(tmp_path).images[:, 0, 0, 0].tolist() == [255, 77]


def test_grey_maps_of_16_bits(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n16 16\n65535\n" + b"\x4d\xff" * 256)
    (tmp_path / "b.pgm").write_bytes(b"P5\n16 16\n4095\n" + b"\x0f\xff" * 256)
    assert load(tmp_path).images[:, 0, 0, 0].tolist() == [77, 255]


def test_images_that_are_all_but_black_are_said_to_be_so(tmp_path):
    for name, level in (("a.png", 15), ("b.png", 3)):
        save(tmp_path / name, level, mode="L")
    assert any(note.startswith("dark: the brightest point of all images is 15 of 255") for note in load(tmp_path).notes)


@pytest.mark.parametrize("options", [{"format": "JPEG"}, {"format": "WEBP", "quality": 50}, {"format": "PNG"}, {"format": "AVIF"}])
def test_grey_images_that_were_saved_in_colour_are_grey(tmp_path, options):
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8)
    for number, levels in enumerate(noise):
        Image.fromarray(levels).convert("RGB").save(tmp_path / f"{number}.x", **options)
    assert load(tmp_path).images.shape == (3, 1, 16, 16)
    assert data.survey(str(tmp_path)).channels == 1
    save(tmp_path / "tinted.png", (100, 100, 102))
    assert load(tmp_path).images.shape == (4, 3, 16, 16)
    assert data.survey(str(tmp_path)).channels == 3


def test_only_levels_that_differ_by_rounding_are_made_equal(tmp_path):
    save(tmp_path / "a.png", (100, 101, 100))
    assert load(tmp_path).images[0, :, 0, 0].tolist() == [101]  # 100.6
    save(tmp_path / "b.png", 77, mode="L")
    assert load(tmp_path).images[:, 0, 0, 0].tolist() == [101, 77]


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_profiles_are_obeyed(tmp_path, kind):
    lossless = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(kind, {})
    save(tmp_path / f"a.{kind}", (30, 200, 30), icc_profile=adobe_rgb(), **lossless)
    dataset = load(tmp_path)
    assert np.abs(dataset.images[0, :, 8, 8].astype(int) - [0, 201, 0]).max() <= 2
    assert "1 brought to sRGB from other colour profiles" in dataset.notes[0]


def test_with_alpha_too(tmp_path):
    save(tmp_path / "a.png", (30, 200, 30, 255), mode="RGBA", icc_profile=adobe_rgb())
    save(tmp_path / "b.png", (30, 200, 30, 0), mode="RGBA", icc_profile=adobe_rgb())
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([30, 200, 30])
    palette.save(tmp_path / "c.png", icc_profile=adobe_rgb())
    found = load(tmp_path).images[:, :, 8, 8].astype(int)
    assert np.abs(found - [[0, 201, 0], [255, 255, 255], [0, 201, 0]]).max() <= 2


def test_grey_profiles_are_obeyed(tmp_path):
    save(tmp_path / "a.png", 77, mode="L", icc_profile=grey_profile(1.0))  # linear light
    assert abs(int(load(tmp_path).images[0, 0, 8, 8]) - 149) <= 1  # 255 * (1.055 * (77 / 255) ** (1 / 2.4) - 0.055)


def test_the_profile_of_srgb_changes_nothing(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(levels).save(tmp_path / "a.png", icc_profile=srgb)
    dataset = load(tmp_path)
    assert np.array_equal(dataset.images[0].transpose(1, 2, 0), levels)
    assert dataset.notes[0].endswith("none changed")


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (30, 200, 30)), ("L", 77), ("RGBA", (30, 200, 30, 255))])
def test_profiles_that_are_damaged_or_of_other_images_are_passed_over(tmp_path, mode, colour):
    other = adobe_rgb() if mode == "L" else grey_profile(1.0)
    for name, profile in (("a.png", b"no profile"), ("b.png", adobe_rgb()[:200]), ("c.png", other)):
        save(tmp_path / name, colour, mode=mode, icc_profile=profile)
    found = load(tmp_path).images[:, :, 8, 8]
    assert found.tolist() == [[77] if mode == "L" else [30, 200, 30]] * 3


def test_profiles_do_not_undo_the_orientation(tmp_path):
    image = Image.new("RGB", (40, 20), (30, 200, 30))
    image.paste((200, 30, 30), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    image.save(content, "JPEG", quality=100, subsampling=0, exif=exif, icc_profile=adobe_rgb())
    (tmp_path / "a.jpg").write_bytes(content.getvalue())
    (image,) = data.load(str(tmp_path), (40, 20)).images.astype(int)
    assert np.abs(image[:, 35, 10] - [0, 201, 0]).max() <= 2
    assert image[0, 5, 10] > 200
