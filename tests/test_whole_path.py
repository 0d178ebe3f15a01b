"""From real images to a image through HTTP, compared with the network that training left in memory."""

import io

import numpy as np
import pytest
from PIL import Image

from gan.latents import inputs_of_seeds
from gan.model_folder import read_manifest
from tests.conftest import QUICKLY_MEASURED, SMALL_DATA, train
from tests.services import serving
from tests.training.data.mixed import CLASSES, DAMAGED, write_mixed
from training.engine.checkpoint_quality import generate_nchw
from training.export import export
from training.run import main


@pytest.fixture
def in_memory(monkeypatch):
    """The generators that were exported."""
    kept, export_onnx = [], export.export_onnx

    def keep(generator, *arguments):
        kept.append(generator)
        export_onnx(generator, *arguments)

    monkeypatch.setattr(export, "export_onnx", keep)
    return kept


def image(response):
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content))).astype(int)


def arrays(client, **fields):
    return np.load(io.BytesIO(client.post("/generate", json={**fields, "format": "npz"}).content))


def assert_served_as_drawn(client, generator, seeds):
    """All images of these seeds, alone and together."""
    drawn = generate_nchw(generator, inputs_of_seeds(seeds, generator.input_spec)).transpose(0, 2, 3, 1).astype(int)
    assert drawn.std() > 10  # there is something to see
    together = arrays(client, seeds=list(seeds))["images"]
    assert together.shape == drawn.shape
    assert np.abs(together - drawn).max() <= 1
    alone = image(client.post("/generate", json={"seed": seeds[0]}))
    assert np.array_equal(alone.reshape(drawn[0].shape), together[0])


def test_images_in_images_out(tmp_path, in_memory):
    trained = train(tmp_path, "--images", "1000", "--width", "32", "--name", "garments")
    (generator,) = in_memory
    with serving(trained.models) as client:
        response = client.post("/generate", json={"seed": 0, "n": 64})
        assert response.headers["x-model"].startswith("garments@")
        shown = np.asarray(Image.open(trained.model / "samples.png")).astype(int)
        assert np.abs(image(response) - shown).max() <= 1
        assert_served_as_drawn(client, generator, range(64))


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        ([], (64, 64)),  # what --recipe auto makes of them
        (["--resolution", "48x32", "--arch", "resnet", "--fit", "pad", "--background", "navy"], (32, 48)),
    ],
)
def test_a_folder_of_anything_is_trained_on_in_colour_and_served_by_class(tmp_path, in_memory, capsys, flags, size):
    write_mixed(tmp_path / "emoji")
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), *QUICKLY_MEASURED]
    command = ["--data", str(tmp_path / "emoji"), "--max-bad", "2%", "--conditional", "--width", "8", "--images", "800"]
    assert main([*command, *where, *flags]) == 0
    said = capsys.readouterr().out
    for name in DAMAGED:
        assert name in said
    assert "--recipe auto, for 305 images of about 64x64" in said
    manifest = read_manifest(tmp_path / "models" / "emoji-auto")
    assert (manifest.channels, manifest.height, manifest.width) == (3, *size)
    assert manifest.classes == list(CLASSES)
    assert 270 <= manifest.origin.dataset_pictures <= 300
    (generator,) = in_memory
    with serving(tmp_path / "models") as client:
        assert_served_as_drawn(client, generator, range(16))
        food = arrays(client, seed=3, label="food")
        assert food["labels"].tolist() == [CLASSES.index("food")]
        assert not np.array_equal(food["images"], arrays(client, seed=3, label="travel")["images"])


def test_too_many_damaged_files_are_refused_by_default(tmp_path, capsys):
    write_mixed(tmp_path / "emoji")
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path)]
    assert main(["--data", str(tmp_path / "emoji"), "--recipe", "dcgan", *where]) == 2
    assert "5 of 305 files cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_codes_are_learned_and_asked_for_by_name(tmp_path, in_memory):
    flags = ["--recipe", "infogan", "--codes", "kind=4,slant", "--width", "16", "--images", "768", "--batch-size", "64"]
    trained = train(tmp_path, *flags)
    (generator,) = in_memory
    with serving(trained.models) as client:
        (manifest,) = client.get("/models").json()["models"]
        assert [code["name"] for code in manifest["codes"]] == ["kind", "slant"]
        assert_served_as_drawn(client, generator, range(16))
        kinds = [arrays(client, seed=3, codes={"kind": kind, "slant": 0.0})["images"] for kind in range(4)]
        assert len({kind.tobytes() for kind in kinds}) == 4
        slants = [arrays(client, seed=3, codes={"kind": 1, "slant": slant})["images"] for slant in (-1, 0, 1)]
        assert len({slant.tobytes() for slant in slants}) == 3
        assert client.post("/generate", json={"seed": 3, "codes": {"kind": 4}}).status_code == 422


def test_conditional_models_of_other_families_are_served_by_label(tmp_path):  # dcgan is in tests/serving/test_labels.py
    for arch, width in (("mlp", "40"), ("resnet", "8"), ("r3gan", "16")):
        flags = [
            "--features",
            "random",
            "--arch",
            arch,
            "--width",
            width,
            "--conditional",
            "--images",
            "128",
            "--name",
            arch,
            "--resolution",
            "28",
        ]
        where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), *QUICKLY_MEASURED]
        assert main(["--data", str(SMALL_DATA), *where, *flags]) == 0
    with serving(tmp_path / "models", default_model="mlp") as client:
        for arch in ("mlp", "resnet", "r3gan"):
            bag, boot = (arrays(client, model=arch, seed=1, label=label)["images"] for label in ("Bag", "Ankle boot"))
            assert bag.shape == (1, 28, 28, 1)
            assert not np.array_equal(bag, boot)
