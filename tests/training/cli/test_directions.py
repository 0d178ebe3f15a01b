"""`python -m training.directions`: directions of a model, from its weights, its images, and what people say of pictures."""

import csv
import os

import numpy as np
import pytest
from PIL import Image

from gan import model_folder, runtimes
from gan.directions import Directions
from gan.latents import inputs_of_seeds
from tests.conftest import Trained
from tests.training.directions.conftest import paint
from training.cli.directions import main

FEW = ("--samples", "80")


def listed(path):
    return {one.name: one for one in model_folder.read(path).manifest.directions}


def brightness(path, moves):
    folder = model_folder.read(path)
    runtime = runtimes.load(folder, "onnx")
    rows = inputs_of_seeds(range(60), folder.manifest.input_spec)
    return runtimes.generate_images(runtime, Directions.read(folder).moved(rows, moves)).mean((1, 2, 3))


def test_a_trained_model_gets_directions_that_change_its_images(short: Trained, capsys):
    assert main([str(short.model), "--samples", "500", "--sefa", "2", "--least-r2", "0.1"]) == 0
    said = capsys.readouterr().out
    found = listed(short.model)
    assert list(found)[:2] == ["sefa-1", "sefa-2"]
    assert found["sefa-1"].kind == "sefa"
    assert found["sefa-1"].r2 is None
    assert found["brightness"].r2 > 0.1
    assert found["brightness"].effect > 0
    assert "brightness  regression" in said
    assert all(name in said.splitlines()[-1] for name in found)
    assert (brightness(short.model, {"brightness": 2.0}) > brightness(short.model, {"brightness": -2.0})).mean() > 0.9


def test_a_conditional_model_has_a_direction_for_each_class(conditional: Trained, tmp_path):
    model_folder.copy(conditional.model, path := tmp_path / "copy")
    assert main([str(path), "--samples", "300", "--sefa", "1", "--least-r2", "0"]) == 0
    manifest = model_folder.read(path).manifest
    rows = inputs_of_seeds(range(2), manifest.input_spec)
    rows["z"][:] = rows["z"][0]
    rows["label"][:] = [0, 1]
    name = next(one.name for one in manifest.directions if one.kind == "regression")
    moved = Directions.read(model_folder.read(path)).moved(rows, {name: 1.0, "sefa-1": 0.5})["z"]
    assert (moved[0] != moved[1]).any()


def test_a_model_without_weights_has_directions_of_attributes(tmp_path, capsys):
    path, (level,) = paint(tmp_path)
    assert main([str(path), "--samples", "160"]) == 0
    assert "was imported without weights, which SeFa needs: only directions of attributes are found" in capsys.readouterr().out
    found = Directions.read(model_folder.read(path))
    assert found.names == ["brightness"]
    step = found.moved({"z": level[None]}, {"brightness": 1.0})["z"][0]
    assert step @ level == pytest.approx(1, abs=0.05)
    assert main([str(path), "--replace", "--sefa", "3"]) == 2
    assert "--sefa: " in capsys.readouterr().err


def test_directions_that_are_there_are_not_lost_unasked(tmp_path, capsys):
    path, _ = paint(tmp_path)
    scores(path, table := tmp_path / "scores.csv")
    assert main([str(path), *FEW, "--no-measured", "--attributes", str(table)]) == 0
    assert list(listed(path)) == ["mood"]
    assert main([str(path), *FEW]) == 2
    assert "has directions (mood): add --keep to keep them beside new ones, or --replace" in capsys.readouterr().err
    assert main([str(path), "--samples", "160", "--keep"]) == 0
    assert list(listed(path)) == ["mood", "brightness"]
    assert main([str(path), "--remove", "mood"]) == 0
    assert list(listed(path)) == ["brightness"]
    assert main([str(path), "--remove", "mood"]) == 2
    assert "has no direction mood, it has brightness" in capsys.readouterr().err


def scores(path, table, seeds=range(150)):
    """A table as people would write it who like bright images."""
    folder = model_folder.read(path)
    images = runtimes.generate_images(runtimes.load(folder, "onnx"), inputs_of_seeds(seeds, folder.manifest.input_spec))
    with table.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "mood", "empty"])
        writer.writerows((seed, round(image.mean() / 25), "") for seed, image in zip(seeds, images, strict=True))


@pytest.mark.parametrize("classes", [None, 2])
def test_scores_of_a_models_own_images_give_a_direction(tmp_path, capsys, classes):
    path, _ = paint(tmp_path, classes)
    scores(path, table := tmp_path / "scores.csv")
    assert main([str(path), "--no-measured", "--attributes", str(table), "--least-r2", "0.1"]) == 0
    assert "not used: empty: " in capsys.readouterr().out
    one = listed(path)["mood"]
    assert one.about == "mood: from less to more, as people scored 150 images"
    assert one.r2 > (0.85 if classes is None else 0.1)
    moved = brightness(path, {"mood": 2.0}) - brightness(path, {"mood": -2.0})
    assert moved.mean() > 20


def test_scored_images_have_the_class_that_the_table_names(tmp_path):
    path, levels = paint(tmp_path, classes=2)
    folder = model_folder.read(path)
    rows = inputs_of_seeds(range(150), folder.manifest.input_spec)
    rows["label"] = np.ones(150, np.int64)
    images = runtimes.generate_images(runtimes.load(folder, "onnx"), rows)
    with (tmp_path / "scores.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "kind", "mood"])
        writer.writerows((seed, "class-1", image.mean()) for seed, image in enumerate(images))
    assert main([str(path), "--no-measured", "--sefa", "0", "--attributes", str(tmp_path / "scores.csv"), "--columns", "mood"]) == 0
    found = Directions.read(model_folder.read(path)).of("mood", None)
    assert found @ levels[1] > 0.95
    assert listed(path)["mood"].r2 > 0.9


def pictures(folder, n=160):
    """Pictures of one level each, in folders of dark and bright ones, and a table of them."""
    random = np.random.default_rng(0)
    rows = []
    for number, level in enumerate(random.integers(60, 200, n)):
        bright = level > 128
        path = folder / ("sunny" if bright else "gloomy") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = random.normal(0, 5, (12, 12))
        Image.fromarray(np.clip(level + noise, 0, 255).astype(np.uint8)).save(path)
        rows.append({"file": str(path.relative_to(folder)), "bright": "yes" if bright else "no", "level": level, "name": number})
    with (folder / "options.csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "options.csv"


def test_real_pictures_that_people_described_give_directions(tmp_path, capsys):
    path, _ = paint(tmp_path)
    table = pictures(tmp_path / "pictures")
    flags = ["--attributes", str(table), "--columns", "bright,level", "--no-measured", "--samples", "200"]
    assert main([str(path), *flags]) == 0
    said = capsys.readouterr().out
    assert (
        "bright: read off held-out pictures with AUROC 1.0" in said or "bright: read off held-out pictures with AUROC 0.9" in said
    )
    found = listed(path)
    assert list(found) == ["bright", "level"]
    assert found["bright"].auroc > 0.9
    assert found["level"].r2 > 0.8
    assert found["level"].effect > 0.6
    assert (brightness(path, {"bright": 1.0}) > brightness(path, {"bright": -1.0})).all()


def test_two_folders_of_pictures_are_a_yes_and_a_no(tmp_path):
    path, _ = paint(tmp_path)
    pictures(tmp_path / "pictures")
    assert main([str(path), "--classes", str(tmp_path / "pictures"), "--no-measured", "--samples", "200"]) == 0
    assert listed(path)["sunny"].about == "from gloomy to sunny"
    assert (brightness(path, {"sunny": 1.0}) > brightness(path, {"sunny": -1.0})).all()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--keep", "--replace"], "--keep and --replace exclude each other"),
        (["--shared"], "has no classes; leave it out"),
        (["--columns", "a"], "--columns is for --attributes"),
        (["--attributes", "{here}/missing.csv"], "missing.csv cannot be read as a table"),
        (["--attributes", "{here}/pictures/options.csv", "--columns", "smile"], "has no column smile, it has bright, level, name"),
        (["--attributes", "{here}/pictures/options.csv", "--data", "{here}"], "160 of 160 pictures cannot be read, such as"),
        (["--classes", "{here}/pictures/sunny"], "needs two folders of pictures, without and with, and has 0"),
        (["--classes", "{here}/painter.onnx"], "painter.onnx is no folder"),
        (["--remove", "a", "--keep"], "--remove does nothing else: leave --keep out"),
        (["--least-r2", "1", "--sefa", "0"], "no direction was found: nothing was written"),
        (["--samples", "0"], "--samples"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(tmp_path, capsys, flags, reason):
    path, _ = paint(tmp_path)
    pictures(tmp_path / "pictures")
    given = [flag.format(here=tmp_path) for flag in flags]
    assert main([str(path), *([] if flags[0] in ("--remove", "--samples") else FEW), *given]) == 2
    assert reason in capsys.readouterr().err
    assert listed(path) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_anything_is_drawn(tmp_path, capsys):
    path, _ = paint(tmp_path)
    path.chmod(0o555)
    assert main([str(path), *FEW]) == 2
    assert "is read-only" in capsys.readouterr().err


def test_what_is_no_model_is_refused(tmp_path, capsys):
    assert main([str(tmp_path / "nothing")]) == 2
    assert "there is no model folder" in capsys.readouterr().err
