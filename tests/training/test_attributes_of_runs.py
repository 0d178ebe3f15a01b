"""Runs that learn attributes of a table: what is generated, exported and resumed."""

import csv
import json
import shutil

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from safetensors.torch import load_file

from gan import model_folder, runtimes
from gan.attribute_table import AttributeTable, chosen
from gan.directions import Directions
from gan.latents import inputs_of_seeds, seed_range
from tests.conftest import train
from training.cli.directions import main as find_directions
from training.cli.encoder import main as train_encoder
from training.cli.export import main as export_again
from training.config.schema import TrainingConfig
from training.data import load
from training.data.attributes import with_attributes
from training.engine import loop
from training.engine.checkpoint import checkpoints
from training.engine.state import TrainingState
from training.hardware import Hardware
from training.run import main

FLAGS = [
    "--resolution",
    "16",
    "--width",
    "8",
    "--z-dim",
    "8",
    "--batch-size",
    "16",
    "--recipe",
    "acgan",
    "--conditional",
    "--r1",
    "1",
]
FLAGS += ["--penalty-every", "16", "--learning-rate", "2e-3", "--threads", "1", "--log", "none"]
SIDES, N = {"left": 0.8, "right": 0.15, "": 0.05}, 400


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Grey images with a bright left or right half, or none, in two classes: one light, one dark; and their table."""
    folder, random, rows = tmp_path_factory.mktemp("halves"), np.random.default_rng(0), []
    for number in range(N):
        light = number % 2
        side = str(random.choice(list(SIDES), p=list(SIDES.values())))
        pixels = np.full((16, 16), 90.0 if light else 10.0)
        if side:
            pixels[:, 2 : 7 if side == "left" else 14][:, -5:] += 130
        name = f"{'light' if light else 'dark'}/{number:03}.png"
        (folder / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels + random.uniform(0, 60, (16, 16)) * random.random()).astype(np.uint8)).save(folder / "set" / name)
        rows.append({"file": name, "bright half": side, "number": number})
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def run(data, folder, *flags):
    return train(folder, *FLAGS, "--attributes", str(data / "table.csv"), *flags, data=data / "set")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return run(data, tmp_path_factory.mktemp("run"), "--images", "8k", "--checkpoint-every", "4k")


def sides_of(images):
    """left, right or none of generated images, [n, 16, 16, 1]."""
    left, right = images[:, :, 2:7].mean((1, 2, 3)), images[:, :, 9:14].mean((1, 2, 3))
    return np.where(abs(left - right) < 60, "", np.where(left > right, "left", "right"))


def test_images_show_what_their_latent_vectors_choose_as_often_as_the_data_does(trained):
    folder = model_folder.read(trained.model)
    rows = inputs_of_seeds(seed_range(0, 1000), folder.manifest.input_spec)
    sides = sides_of(runtimes.generate_images(runtimes.load(folder, "onnx"), rows))
    table = AttributeTable.model_validate(folder.manifest.architecture.arguments["attributes"])
    assert table.columns == ["bright half"]
    places = chosen(rows["z"], rows["label"], table.thresholds("normal"))[:, 0]
    asked = np.array([list(table.shares[label][0])[place] for label, place in zip(rows["label"], places, strict=True)])
    assert (sides == asked).mean() > 0.97
    for side, share in SIDES.items():
        assert (sides == side).mean() == pytest.approx(share, abs=0.06)


def test_the_error_falls_and_is_recorded(trained):
    rows = [json.loads(line) for line in (trained.run / "stats.jsonl").read_text().splitlines()]
    errors = [row["attribute_error"] for row in rows if "attribute_error" in row]
    assert errors[0] > 5 * errors[-1]


def test_a_model_is_exported_again_from_its_weights(trained, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(trained.model, copy)
    (copy / "generator.onnx").write_bytes(b"")
    assert export_again([str(copy), "--seeds", "50"]) == 0
    before, after = (
        runtimes.generate_images(
            runtimes.load(model_folder.read(path), "onnx"), inputs_of_seeds(range(20), model_folder.read(path).manifest.input_spec)
        )
        for path in (trained.model, copy)
    )
    np.testing.assert_array_equal(before, after)


def test_an_encoder_tells_the_attributes_of_real_pictures(data, trained, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(trained.model, copy)
    flags = ["--width", "8", "--images", "6k", "--checkpoint-every", "3k", "--threads", "1", "--regression", "0"]
    assert train_encoder([str(copy), "--data", str(data / "set"), "--out", str(tmp_path), *flags]) == 0
    folder = model_folder.read(copy)
    with (data / "table.csv").open() as file:
        table = list(csv.DictReader(file))[:100]
    pictures = np.stack([np.asarray(Image.open(data / "set" / row["file"])) for row in table])
    rows = {"pictures": pictures[:, None] / np.float32(127.5) - np.float32(1)}
    rows["label"] = np.array([folder.manifest.classes.index(row["file"].partition("/")[0]) for row in table])
    (z,) = onnxruntime.InferenceSession(copy / "encoder.onnx", providers=["CPUExecutionProvider"]).run(None, rows)
    drawn = sides_of(runtimes.generate_images(runtimes.load(folder, "onnx"), {"z": z, "label": rows["label"]}))
    assert (drawn == [row["bright half"] for row in table]).mean() > 0.95
    assert "attributes" in json.loads((next(tmp_path.glob("encoder-*")) / "stats.jsonl").read_text().splitlines()[-1])


def test_a_resumed_run_has_the_weights_of_an_undisturbed_one(data, tmp_path):
    config = TrainingConfig.model_validate(
        {"data": str(data / "set"), "resolution": "16", "width": 4, "z_dim": 8, "batch_size": 16, "conditional": True}
        | {"attributes": data / "table.csv", "images": 320, "precision": "float32", "device": "cpu", "threads": 1}
    )
    dataset = with_attributes(load(config.data, config.size, labelled=True), config.attributes, [])
    hardware = Hardware.choose(config)

    def train_on(folder, *stops):
        for stop in (*stops, None):
            looks = iter(range(1000))
            state = TrainingState.start(config, 1, 2, hardware, dataset.attributes.table)
            if folder.exists():
                state.restore(checkpoints(folder)[-1])
            folder.mkdir(exist_ok=True)
            loop.train(state, dataset, config, hardware, folder, None, lambda: stop is not None and next(looks) >= stop)  # noqa: B023
        return load_file(checkpoints(folder)[-1])

    whole, parts = train_on(tmp_path / "whole"), train_on(tmp_path / "parts", 7, 5)
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor, parts[name], err_msg=name)


def test_a_run_goes_on_with_the_table_that_it_began_with_alone(data, trained, tmp_path, capsys):
    folder, table = tmp_path / "run", data / "table.csv"
    shutil.copytree(trained.run, folder)
    before = table.read_text()
    try:
        table.write_text(before.replace("left", "top", 40))
        assert main(["--resume", str(folder), "--images", "48k", "--models", str(tmp_path / "models")]) == 2
    finally:
        table.write_text(before)
    said = capsys.readouterr().err
    assert f"--resume {folder}: the table of --attributes has changed since the run began: restore it, or start a new run" in said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--attribute-columns", "hair"], "--attribute-columns: of which table? add --attributes"),
        (
            ["--attributes", "table.csv", "--data", "ring", "--resolution", "1"],
            "--attributes table.csv with --data ring: points show none: leave it out",
        ),
        (["--attributes", "missing.csv"], "--attributes: missing.csv cannot be read"),
    ],
)
def test_what_does_not_go_together_is_refused(data, tmp_path, capsys, flags, said):
    where = ["--data", str(data / "set"), "--resolution", "16", "--out", str(tmp_path)]
    assert main([*where, *flags]) == 2
    assert said in capsys.readouterr().err


def test_more_attributes_than_components_are_refused(data, tmp_path, capsys):
    flags = ["--attributes", str(data / "table.csv"), "--data", str(data / "set"), "--resolution", "16", "--z-dim", "1"]
    table = tmp_path / "two.csv"
    lines = (data / "table.csv").read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},odd", *(f"{line},{place % 3}" for place, line in enumerate(lines[1:]))]))
    assert main([*flags, "--attributes", str(table), "--images", "64", "--out", str(tmp_path)]) == 2
    assert "2 attributes need as many latent components, not 1: raise --z-dim" in capsys.readouterr().err


def test_a_direction_moves_the_component_that_chooses_and_no_other(data, trained, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(trained.model, copy)
    table = tmp_path / "table.csv"
    table.write_text((data / "table.csv").read_text().replace(",left,", ",0,").replace(",right,", ",1,"))
    flags = ["--attributes", str(table), "--columns", "bright half", "--data", str(data / "set"), "--samples", "400", "--sefa", "0"]
    assert find_directions([str(copy), *flags]) == 0
    folder = model_folder.read(copy)
    assert folder.manifest.attributes == ["bright half"]
    directions = Directions.read(folder)
    for label in (0, 1):
        assert abs(directions.of("bright-half", label)[0]) > 0.9
    rows = inputs_of_seeds(range(50), folder.manifest.input_spec)
    moved = directions.moved(rows, {"bright-half": 1.0})["z"] - rows["z"]
    np.testing.assert_allclose(
        moved,
        directions.of("bright-half", 0) * (rows["label"] == 0)[:, None]
        + directions.of("bright-half", 1) * (rows["label"] == 1)[:, None],
        atol=1e-6,
    )
