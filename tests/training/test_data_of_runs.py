"""What a run is trained on: as it was when the run began, even where images are read in another way since."""

import json

import numpy as np
import pytest
from PIL import Image

from gan.model.pictures import as_seen, options_of
from gan.model_folder import read_manifest
from tests.conftest import QUICKLY_MEASURED
from training import data
from training.config.schema import TrainingConfig
from training.engine import checkpoint_quality, setup
from training.run import main
from training.tracking import run_dir

FLAGS = ["--recipe", "gan", "--resolution", "16", "--width", "8", "--batch-size", "16", *QUICKLY_MEASURED]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def where(folder):
    return ["--out", str(folder / "runs"), "--models", str(folder / "models")]


def run_in(folder):
    (run,) = (folder / "runs").iterdir()
    return run


def write(folder, names, mode="L"):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 5 * number).convert(mode).save(folder / name)
    return folder


def test_a_run_keeps_the_order_of_classes_that_it_began_with(tmp_path):
    images = write(tmp_path / "pictures", [f"{number}/{n}.png" for number in range(12) for n in range(4)])
    flags = ["--data", str(images), "--conditional", "--features", "random", *FLAGS, *where(tmp_path)]
    assert main([*flags, "--images", "64"]) == 0
    run = run_in(tmp_path)
    assert read_manifest(run / "model").classes == [str(number) for number in range(12)]
    # As an earlier version left it, which sorted 10 before 2
    plain = sorted(str(number) for number in range(12))
    now = data.load(str(images), (16, 16), labelled=True)
    before = data.dataset.fingerprint(now.images, plain, np.repeat(np.arange(12), 4))
    (run / run_dir.DATA).write_text(json.dumps({"fingerprint": before, "pictures": 48}))
    assert main([*where(tmp_path), "--resume", "latest", "--images", "128"]) == 0
    assert read_manifest(run / "model").classes == plain
    assert read_manifest(run / "model").origin.dataset_fingerprint == before


@pytest.mark.parametrize("conditional", [False, True])
def test_a_run_keeps_the_channels_that_it_began_with(tmp_path, conditional):
    images = write(tmp_path / "pictures", [f"{kind}/{n}.png" for kind in "ab" for n in range(12)], "RGB")
    config = TrainingConfig(data=str(images), resolution="16", conditional=conditional)
    now, _ = setup.load(config, None)
    assert now.images.shape == (24, 1, 16, 16)
    coloured = np.repeat(now.images, 3, axis=1)
    before = data.dataset.fingerprint(coloured, now.classes, now.labels)
    (tmp_path / run_dir.DATA).write_text(json.dumps({"fingerprint": before, "pictures": 24}))
    then, _ = setup.load(config, run_dir.fingerprint_of(tmp_path))
    assert np.array_equal(then.images, coloured)
    run_dir.check_data(tmp_path, config.data, then.fingerprint, len(then.images), may_change=False)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"fingerprint": null}'])
def test_without_a_fingerprint_the_images_are_as_they_are_now(tmp_path, content):
    images = write(tmp_path / "pictures", [f"{n}.png" for n in range(24)], "RGB")
    if content:
        (tmp_path / run_dir.DATA).write_text(content)
    config = TrainingConfig(data=str(images), resolution="16")
    assert setup.load(config, run_dir.fingerprint_of(tmp_path))[0].images.shape == (24, 1, 16, 16)


def test_pictures_of_fewer_bits_are_seen_as_the_run_saw_them(tmp_path):
    """A score would call them dark otherwise."""
    files = [tmp_path / "pictures" / f"{number:02}.png" for number in range(24)]
    files[0].parent.mkdir()
    for number, file in enumerate(files):
        Image.fromarray(np.full((16, 16), 4095 - 100 * number, np.uint16)).save(file)
    assert main(["--data", str(files[0].parent), "--features", "random", *FLAGS, *where(tmp_path), "--images", "16"]) == 0
    manifest = read_manifest(run_in(tmp_path) / "model")
    images = data.load(str(files[0].parent), (16, 16)).images
    assert images[:2, 0, 0, 0].tolist() == [255, 249]
    for file, image in zip(files, images, strict=True):
        seen = as_seen(file.read_bytes(), options_of(manifest, None, None), 1)
        assert np.array_equal(seen, image / np.float32(127.5) - np.float32(1))


def test_equal_images_teach_nothing(tmp_path, capsys):
    for number in range(20):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), "red").save(tmp_path / "pictures" / f"{number}.png")
    assert main(["--data", str(tmp_path / "pictures"), *FLAGS, *where(tmp_path)]) == 2
    assert "all 20 images are the same; bring some that differ" in capsys.readouterr().err


def test_the_spread_of_equal_images_divides_nothing():
    drawn = np.random.default_rng(0).integers(0, 256, (64, 1, 8, 8)).astype(np.uint8)
    equal = np.full((64, 1, 8, 8), 9, np.uint8)
    everywhere = np.arange(64)
    assert checkpoint_quality._relative_spread(drawn, equal, everywhere) == 1
    assert checkpoint_quality._relative_spread(equal, drawn, everywhere) == 0
    assert checkpoint_quality._relative_spread(drawn, drawn, everywhere) == 1


def test_the_limit_of_pixels_is_a_flag(tmp_path, capsys):
    images = write(tmp_path / "pictures", [f"{n}.png" for n in range(24)])
    Image.new("L", (40, 40)).save(images / "large.png")
    flags = ["--data", str(images), *FLAGS, *where(tmp_path), "--images", "64", "--dry-run"]
    assert main([*flags, "--max-pixels", "1k"]) == 2
    assert "large.png (it has 1600 pixels, over --max-pixels 1000: raise that if it is your own" in capsys.readouterr().err
    assert main([*flags, "--max-pixels", "2k"]) == 0
