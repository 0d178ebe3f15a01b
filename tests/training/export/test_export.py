import itertools
import json
import os
import re
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load, load_file, save_file

from gan import model_folder, runtimes
from gan.images import encoding
from gan.latents import Code, InputSpec, inputs_of_seeds
from gan.manifest import MANIFEST
from gan.model_folder import CARD, ONNX, SAMPLES, TORCHSCRIPT, WEIGHTS
from gan.networks import dcgan, families
from gan.networks.layers.conditioning import inputs_as_tensors
from tests.conftest import train
from training.cli.export import main
from training.engine import checkpoint
from training.errors import ExportError
from training.export import again, export
from training.export.networks import networks_of

SHIPPED = Path(__file__).parents[3] / "models" / "fashion-mnist-dcgan"


@pytest.fixture
def generator():
    network = dcgan.Generator(width=4).eval()
    dcgan.initialise(network, torch.Generator().manual_seed(0))
    return network


def test_exports_take_any_number_of_latents_and_stand_alone(generator, tmp_path):
    export.export_onnx(generator, tmp_path / ONNX, inputs_of_seeds(range(2), generator.input_spec))
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
    assert sorted(path.name for path in tmp_path.iterdir()) == [ONNX, TORCHSCRIPT]  # no weights beside them
    model = onnx.load(tmp_path / ONNX)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["z", "pictures"]
    z = inputs_as_tensors(range(5), InputSpec(100))[0]
    alone = torch.jit.load(tmp_path / TORCHSCRIPT)(z[:1])
    torch.testing.assert_close(torch.jit.load(tmp_path / TORCHSCRIPT)(z)[:1], alone)


@pytest.mark.parametrize("name", families.names())
@pytest.mark.parametrize(
    ("input_spec", "attributes"),
    [
        (InputSpec(12), {}),
        (InputSpec(12, classes=3, codes=(Code("kind", 4), Code("slant"))), {}),
        (InputSpec(12, classes=2), {"attributes": {"columns": ["a", "b"], "shares": [[{"x": 0.3, "y": 0.7}, {"z": 1}]] * 2}}),
        (InputSpec(12, "uniform"), {"attributes": {"columns": ["a"], "shares": [[{"x": 0.2, "y": 0.3, "z": 0.5}]]}}),
    ],
    ids=["plain", "coded", "attributes of classes", "attributes"],
)
def test_every_family_is_exported_for_programs_of_2024(name, input_spec, attributes, tmp_path):
    network = families.generator(name, input_spec, 3, (16, 16), {"width": 16, **attributes})
    families.initialise(name, network, torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of which the terminal is to be free
        export.export_onnx(network.eval(), tmp_path / ONNX, inputs_of_seeds(range(2), network.input_spec))
    export.export_torchscript(network, tmp_path / TORCHSCRIPT, inputs_of_seeds(range(2), network.input_spec))
    model = onnx.load(tmp_path / ONNX)
    assert model.ir_version == 9
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    onnx.checker.check_model(model, full_check=True)
    assert all(found.largest_difference < 1e-5 for found in export.compare(networks_of(network)[0], tmp_path).values())


def test_the_largest_difference_is_measured(generator, tmp_path):
    export.export_onnx(generator, tmp_path / ONNX, inputs_of_seeds(range(2), generator.input_spec))
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
    for found in export.compare(networks_of(generator)[0], tmp_path).values():
        assert 0 <= found.largest_difference < 1e-5
        assert found.latents == 256


@pytest.mark.parametrize("file", [ONNX, TORCHSCRIPT])
def test_an_export_that_draws_something_else_is_refused(generator, tmp_path, file):
    export.export_onnx(generator, tmp_path / ONNX, inputs_of_seeds(range(2), generator.input_spec))
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
    with torch.no_grad():
        generator.layers[0].weight[0, 0, 0, 0] += 1
    {ONNX: export.export_torchscript, TORCHSCRIPT: export.export_onnx}[file](
        generator, tmp_path / (TORCHSCRIPT if file == ONNX else ONNX), inputs_of_seeds(range(2), generator.input_spec)
    )
    with pytest.raises(ExportError, match=f"{file} differs from the network in memory by .*: not exported"):
        export.compare(networks_of(generator)[0], tmp_path)


def test_not_a_number_is_refused(generator, tmp_path):
    with torch.no_grad():
        generator.layers[0].weight[0, 0, 0, 0] = float("nan")
    export.export_onnx(generator, tmp_path / ONNX, inputs_of_seeds(range(2), generator.input_spec))
    export.export_torchscript(generator, tmp_path / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
    with pytest.raises(ExportError, match="differs from the network in memory by nan"):
        export.compare(networks_of(generator)[0], tmp_path)


@pytest.fixture
def folder(generator, tmp_path):
    """A small model folder, its exported files as they were once: the trace frozen, another opset."""
    path = tmp_path / "shoes"
    shutil.copytree(SHIPPED, path)
    with torch.no_grad():
        for layer in generator.layers[::3]:
            layer.weight.mul_(10)  # so that its images are not all grey
    save_file(generator.state_dict(), path / WEIGHTS)
    export.export_torchscript(generator, path / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
    torch.jit.save(torch.jit.freeze(torch.jit.load(path / TORCHSCRIPT).eval()), path / TORCHSCRIPT)
    export.export_onnx(generator, path / ONNX, inputs_of_seeds(range(2), generator.input_spec))
    model = onnx.load(path / ONNX)
    model.ir_version = 10
    onnx.save(model, path / ONNX)
    digests_written(path, architecture={"name": "dcgan", "arguments": {"width": 4}}, classes=None)
    return path


def digests_written(path, **changes):
    """The manifest of a folder, as if its files were meant."""
    files = model_folder.digests(path, [WEIGHTS, ONNX, TORCHSCRIPT])
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({**manifest, **changes, "version": files[WEIGHTS][:12], "files": files}))


def command(*arguments):
    return main(["--seeds", "40", *map(str, arguments)])


def test_tildes_are_expanded(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command("~/nowhere") == 1
    assert f"training.export: {tmp_path}/nowhere: " in capsys.readouterr().err


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_is_exported_again_and_stays_the_same_model(folder, tmp_path, capsys, linked):
    (folder / "notes").write_text("of somebody")
    before = model_folder.read(folder)
    images = runtimes.generate_images(runtimes.load(before, "onnx"), inputs_of_seeds(range(40), before.manifest.input_spec))
    assert images.std() > 10
    if linked:
        (tmp_path / "link").symlink_to(folder)
    assert command(tmp_path / "link" if linked else folder) == 0
    after = model_folder.read(folder)
    assert after.title == before.title
    assert f"{after.title} was exported again" in capsys.readouterr().out
    with_the_same_exports = before.manifest.model_copy(update={"files": after.manifest.files, "networks": after.manifest.networks})
    assert after.manifest == with_the_same_exports
    assert np.array_equal(
        runtimes.generate_images(runtimes.load(after, "onnx"), inputs_of_seeds(range(40), after.manifest.input_spec)), images
    )
    assert onnx.load(folder / ONNX).ir_version == 9
    assert list(torch.jit.load(folder / TORCHSCRIPT).parameters())
    assert (folder / "notes").read_text() == "of somebody"
    assert (folder / CARD).read_text() == (SHIPPED / CARD).read_text()  # which is not of our making, as far as it can tell
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "shoes"][not linked :]


@pytest.mark.parametrize(("seconds", "kept"), [((0.2, 0.1), "in phases"), ((0.1, 0.2), "as they are")])
def test_phases_are_taken_where_they_are_faster(folder, capsys, monkeypatch, seconds, kept):
    times = itertools.cycle(seconds)  # of the file as it was exported, and in phases
    monkeypatch.setattr(again, "least_seconds", lambda *_: next(times))
    assert command(folder, "--phases", "--take-changes") == 0
    said = capsys.readouterr().out
    assert f"ONNX Runtime generates {16 / seconds[0]:.0f} images a second, {16 / seconds[1]:.0f} with" in said
    assert f"generator.onnx has them {kept}" in said
    operations = [node.op_type for node in onnx.load(folder / ONNX).graph.node]
    assert operations.count("ConvTranspose") == (1 if kept == "in phases" else 4)
    assert model_folder.read(folder).manifest.exports[ONNX].largest_difference < 1e-5
    assert command(folder, "--take-changes") == 0  # as it was before
    assert [node.op_type for node in onnx.load(folder / ONNX).graph.node].count("ConvTranspose") == 4


def test_a_folder_whose_exports_are_damaged_is_mended_by_exporting_again(folder, capsys):
    (folder / ONNX).write_bytes(b"cut")
    (folder / TORCHSCRIPT).unlink()
    assert command(folder) == 0
    assert "no images to compare with those of the new generator.onnx" in capsys.readouterr().out
    assert model_folder.read(folder).manifest.exports[ONNX].largest_difference < 1e-5


def test_images_do_not_change_unless_asked_to(folder, generator, capsys):
    """Files that draw other images than the weights do: what was served is what was promised."""
    with torch.no_grad():
        generator.layers[-2].weight.neg_()
    export.export_onnx(generator, folder / ONNX, inputs_of_seeds(range(2), generator.input_spec))
    digests_written(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert command(folder) == 1
    assert "40 of 40 images would change with the new generator.onnx" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert command(folder, "--take-changes") == 0
    assert model_folder.read(folder).manifest.exports[ONNX].largest_difference < 1e-5


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / WEIGHTS).write_bytes(b"cut"), "generator.safetensors is damaged"),
        (lambda folder: digests_written(folder, z_dim=7), "generator.safetensors are not the weights of the network in model.json"),
        (
            lambda folder: digests_written(folder, height=33),
            "generator.safetensors are not the weights of the network in model.json",
        ),
        (shutil.rmtree, "there is no model folder"),
    ],
)
def test_what_cannot_be_exported_again_is_left_as_it_is(folder, capsys, harm, said):
    harm(folder)
    assert command(folder) == 1
    assert said in capsys.readouterr().err
    assert list(folder.parent.glob(".*")) == []


def test_the_manifest_says_where_the_model_came_from(trained):
    manifest = model_folder.read(trained.model).manifest
    origin = manifest.origin
    assert (manifest.z_dim, manifest.channels, manifest.height, manifest.width) == (100, 1, 32, 32)
    assert (origin.dataset, origin.dataset_pictures, origin.pictures_seen) == ("fashion-mnist", 512, 2048)
    assert origin.config["images"] == 2000
    assert set(manifest.exports) == {ONNX, TORCHSCRIPT}
    assert manifest.licence == "MIT (Fashion-MNIST, Zalando SE)"
    assert json.loads((trained.model / MANIFEST).read_text())["files"].keys() == {
        *(ONNX, TORCHSCRIPT, "generator.safetensors", "discriminator.safetensors")
    }


def test_the_exported_model_draws_what_the_last_grid_of_the_run_showed(trained):
    (last,) = sorted(trained.run.glob("samples-*.png"))[-1:]
    shown, shipped = (np.asarray(Image.open(path)).astype(int) for path in (last, trained.model / SAMPLES))
    assert np.array_equal(shown, shipped)
    runtime = runtimes.load(model_folder.read(trained.model), "onnx", "cpu")
    served = encoding.grid(runtimes.generate_images(runtime, inputs_of_seeds(range(64), InputSpec(100))))
    assert np.abs(shown - served[..., 0]).max() <= 1


def test_the_model_in_the_run_and_the_one_in_models_are_the_same(trained):
    names = sorted(path.name for path in trained.model.iterdir())
    assert names == sorted(path.name for path in (trained.run / "model").iterdir())
    assert all((trained.model / name).read_bytes() == (trained.run / "model" / name).read_bytes() for name in names)
    assert shutil.which("git") is None or model_folder.read(trained.model).manifest.origin.environment.git_revision


@pytest.mark.parametrize("recipe", ["dcgan", "acgan"])
def test_the_discriminator_can_be_built_again_from_the_folder(tmp_path, recipe):
    width = ["--width", "4", "--images", "128", "--discriminator-norm", "spectral"]
    found = train(tmp_path, "--recipe", recipe, *width)
    folder = model_folder.read(found.model)
    network = folder.manifest.networks["discriminator"]
    assert network.files == {"weights": "discriminator.safetensors"}
    arguments = dict(network.architecture.arguments)
    norm, classes = arguments.pop("norm"), arguments.pop("classes")
    assert (norm, classes) == ("spectral", None if recipe == "dcgan" else 10)
    built = families.discriminator(network.architecture.name, 1, (32, 32), classes, norm, arguments)
    weights = load(folder.content("discriminator.safetensors"))
    built.load_state_dict(weights)
    best = checkpoint.ranked(found.run)[0]
    trained = {name: tensor for name, tensor in load_file(best).items() if name.startswith("judge.discriminator.")}
    assert {f"judge.discriminator.{name}" for name in weights} == trained.keys()
    assert all(torch.equal(tensor, trained[f"judge.discriminator.{name}"]) for name, tensor in weights.items())


def test_an_exported_file_tells_nothing_of_the_machine(trained):
    for file in (ONNX, TORCHSCRIPT):
        assert str(Path(__file__).parents[3]).encode() not in (trained.model / file).read_bytes()


@pytest.mark.parametrize("seeds", ["0", "-5", "4294967297", "many"])
def test_images_are_always_compared(capsys, folder, seeds):
    with pytest.raises(SystemExit):
        main([str(folder), "--seeds", seeds])
    assert "--seeds" in capsys.readouterr().err


def test_a_read_only_folder_is_left_alone(capsys, folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert command(folder) == 1
    assert "is read-only: export a copy" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_and_a_folder_in_the_place_of_a_file_are_named(capsys, folder, tmp_path):
    folder.rename(tmp_path / "model")
    assert command(tmp_path) == 1
    assert f"{tmp_path} is a run: give the folder of its model, {tmp_path / 'model'}" in capsys.readouterr().err
    (tmp_path / "model" / ONNX).unlink()
    (tmp_path / "model" / ONNX).mkdir()
    assert command(tmp_path / "model") == 1
    assert f"{tmp_path / 'model' / ONNX} is a folder where a file belongs" in capsys.readouterr().err


def contents(folder):
    """All bytes of a model folder's files, and of what is compressed within them."""
    for path in folder.iterdir():
        yield path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from map(archive.read, archive.namelist())


def test_exported_files_name_no_path_of_the_machine(folder):
    packages, ours = (str(Path(file).parents[level]).encode() for file, level in ((torch.__file__, 1), (export.__file__, 2)))
    for content in contents(folder):
        assert packages not in content
        assert ours not in content


@pytest.mark.parametrize("name", ["fashion-mnist", "fashion-mnist-dcgan"])
def test_the_files_that_ship_name_no_path_of_a_machine(name):
    for content in contents(Path(__file__).parents[3] / "models" / name):
        assert not re.search(rb"/(tmp|root|home|work)/[a-z0-9_.-]+/", content)
