"""Generators in ONNX and TorchScript files of other programs become model folders like any other."""

import io
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
from training.cli.convert import main


class Small(nn.Module):
    """A generator of 8x8 RGB images, with what people's generators have otherwise."""

    def __init__(self, *, classes=None, one_hot=False, four=False, last=False, unit=False, byte=False, fixed=False, noisy=False):
        super().__init__()
        torch.manual_seed(5)
        self.first = nn.Linear(10, 64 * 2 * 2)
        self.embed = nn.Embedding(classes, 256) if classes and not one_hot else nn.Linear(classes, 256) if classes else None
        self.up = nn.ConvTranspose2d(64, 3, 4, 4)
        self.four, self.last, self.unit, self.byte, self.fixed, self.noisy = four, last, unit, byte, fixed, noisy

    def forward(self, z, label=None):
        x = self.first(z.flatten(1) if self.four else z)
        if self.embed is not None:
            x = x + self.embed(label)
        images = torch.tanh(3 * self.up(x.reshape(1 if self.fixed else -1, 64, 2, 2)))
        if self.noisy:
            images = images + torch.randn_like(images)
        if self.unit or self.byte:
            images = (images + 1) / 2
        if self.byte:
            images = images * 255
        return images.permute(0, 2, 3, 1) if self.last else images


def inputs(network, n=1):
    z = torch.zeros(n, 10, 1, 1) if network.four else torch.zeros(n, 10)
    if network.embed is None:
        return (z,)
    one_hot = isinstance(network.embed, nn.Linear)
    return z, (functional.one_hot(torch.zeros(n, dtype=torch.int64), 4).float() if one_hot else torch.zeros(n, dtype=torch.int64))


def as_onnx(network, path, dynamic=True):
    """As people export: with names of their own."""
    names = ["noise", "y"][: len(inputs(network))]
    with torch.no_grad():
        torch.onnx.export(
            network.eval(),
            inputs(network),
            path,
            input_names=names,
            output_names=["img"],
            dynamic_axes={name: {0: "batch"} for name in (*names, "img")} if dynamic else None,
            opset_version=17,
            dynamo=False,
        )


def as_torchscript(network, path):
    torch.jit.save(torch.jit.trace(network.eval(), inputs(network, 2), check_trace=False), path)


def expected(network, rows):
    z = torch.from_numpy(rows["z"])
    z = z[:, :, None, None] if network.four else z
    with torch.no_grad():
        parts = []
        for place in range(len(z)):
            label = ()
            if network.embed is not None:
                index = torch.from_numpy(rows["label"][place : place + 1])
                label = (functional.one_hot(index, 4).float() if isinstance(network.embed, nn.Linear) else index,)
            parts.append(network(z[place : place + 1], *label))
    images = torch.cat(parts).numpy()
    images = images if network.last else images.transpose(0, 2, 3, 1)
    low, high = (0, 255) if network.byte else (0, 1) if network.unit else (-1, 1)
    return np.floor((images - low) * (255 / (high - low)) + 0.5).clip(0, 255).astype(int)


def convert(tmp_path, *flags):
    return main([str(tmp_path / "file"), "--name", "x", "--models", str(tmp_path / "models"), *flags])


CASES = {
    "plain": ({}, "between -1 and 1"),
    "[n, d, 1, 1]": ({"four": True}, "between -1 and 1"),
    "channels last, 0 to 1": ({"last": True, "unit": True}, "between 0 and 1"),
    "0 to 255": ({"byte": True}, "between 0 and 255"),
    "labels": ({"classes": 4}, "between -1 and 1"),
    "one-hot labels": ({"classes": 4, "one_hot": True}, "between -1 and 1"),
    "one row": ({"fixed": True}, "takes 1 latent vector at a time"),
}


@pytest.mark.parametrize("container", ["onnx", "torchscript"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_a_graph_draws_what_it_drew(tmp_path, capsys, container, name):
    arguments, note = CASES[name]
    network = Small(**arguments).eval()
    flags = []
    if container == "onnx":
        as_onnx(network, tmp_path / "file", dynamic="fixed" not in arguments)
    else:
        if "fixed" in arguments:
            network.fixed = True
            torch.jit.save(torch.jit.trace(network, inputs(network, 1)), tmp_path / "file")
        else:
            as_torchscript(network, tmp_path / "file")
        flags = ["--trust", "--input", "10x1x1" if network.four else "10"]
    if arguments.get("classes"):
        (tmp_path / "names").write_text("ash\nbirch\ncedar\nelm\n")
        flags += ["--classes", str(tmp_path / "names")]
        flags += ["--input", "noise"] if network.embed.__class__ is nn.Linear and container == "onnx" else []
    assert convert(tmp_path, *flags) == 0
    assert note in capsys.readouterr().out
    folder = model_folder.read(tmp_path / "models" / "x")
    manifest = folder.manifest
    assert manifest.version == manifest.files[manifest.source_file][:12]
    assert manifest.architecture is None
    rows = inputs_of_seeds(range(40), manifest.input_spec)
    wanted = expected(network, rows)
    engines = ["onnx", "openvino"] if container == "onnx" else ["onnx", "torchscript"]
    for engine in engines:
        runtime = runtimes.load(folder, engine, "cpu", threads=1)
        found = runtimes.generate_images(runtime, rows)
        assert np.abs(found.astype(int) - wanted).max() <= 1
        alone = runtimes.generate_images(runtime, {key: values[7:8] for key, values in rows.items()})
        assert np.array_equal(alone, found[7:8])
    assert "generator of coloured images of 8x8" in " ".join((folder.path / "README.md").read_text().split())


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_one_format_says_which_runtime_serves_it(tmp_path):
    as_onnx(Small(), tmp_path / "file")
    assert convert(tmp_path) == 0
    with pytest.raises(Exception, match=r"has no TorchScript file of its generator, .* serve it with GAN_RUNTIME=onnx"):
        runtimes.load(model_folder.read(tmp_path / "models" / "x"), "torchscript", "cpu")


def graph(nodes, given, output, constants=()):
    made = helper.make_graph(nodes, "g", given, [output], list(constants))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


Z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 10])
IMAGES = helper.make_tensor_value_info("img", TensorProto.FLOAT, ["n", 3, 8, 8])


def saved(network, **how):
    def write(path):
        as_onnx(network(), path, **how)

    return write


def written(*arguments):
    return lambda path: path.write_bytes(graph(*arguments))


@pytest.mark.parametrize(
    ("write", "flags", "said"),
    [
        (saved(lambda: Small(noisy=True)), [], "it draws another image of the same latent vector each time"),
        (saved(lambda: Small(classes=4)), [], "it takes a label, y, and does not say of how many classes"),
        (
            saved(lambda: Small(classes=4, one_hot=True)),
            [],
            "several inputs that may be the latent vector, of noise [batch, 10] float, y [batch, 4] float",
        ),
        (
            saved(Small),
            ["--input", "w"],
            "no input that may be the latent vector [n, d], of noise [batch, 10] float: export it with [n, d]",
        ),
        (saved(Small), ["--output", "w"], "not clear which output is the images"),
        (saved(Small), ["--range", "1,0"], "the first value, black, must be the smaller one"),
        (
            written([helper.make_node("Strange", ["z"], ["img"], domain="ours")], [Z], IMAGES),
            [],
            "ONNX Runtime cannot run it",
        ),
        (
            written(
                [helper.make_node("Identity", ["z"], ["img"])], [Z], helper.make_tensor_value_info("img", TensorProto.FLOAT, None)
            ),
            [],
            "it draws [1, 10] of one latent vector",
        ),
        (lambda path: as_torchscript(Small(), path), [], "it is a TorchScript file, which is a program"),
        (lambda path: as_torchscript(Small(), path), ["--trust"], "does not say what it takes"),
        (lambda path: as_torchscript(Small(), path), ["--trust", "--input", "11"], "it cannot be run with a latent vector of [11]"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_with_a_graph_is_said(tmp_path, capsys, write, flags, said):
    write(tmp_path / "file")
    assert convert(tmp_path, *flags) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


@pytest.mark.filterwarnings("ignore")
def test_the_range_may_be_given_and_latents_may_be_uniform(tmp_path):
    network = Small(byte=True)
    as_onnx(network, tmp_path / "file")
    assert convert(tmp_path, "--range", "0,200", "--latent", "uniform") == 0
    manifest = model_folder.read(tmp_path / "models" / "x").manifest
    assert manifest.outputs[0].range == (0, 200)
    assert manifest.latent == "uniform"


@pytest.mark.filterwarnings("ignore")
def test_nothing_of_a_torchscript_file_is_run_without_trust(tmp_path, capsys, monkeypatch):
    as_torchscript(Small(), tmp_path / "file")
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was loaded"))
    assert convert(tmp_path) == 2
    assert main([str(tmp_path / "file"), "--list"]) == 0
    assert "a TorchScript file" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_list_shows_inputs_and_outputs_of_an_onnx_file(tmp_path, capsys):
    as_onnx(Small(classes=4), tmp_path / "file")
    assert main([str(tmp_path / "file"), "--list"]) == 0
    out = capsys.readouterr().out
    assert "input noise [batch, 10] float\n" in out
    assert "input y [batch] int64\n" in out


@pytest.mark.filterwarnings("ignore")
def test_weights_beside_an_onnx_file_are_read(tmp_path):
    as_onnx(Small(), tmp_path / "whole")
    model = onnx.load(tmp_path / "whole")
    onnx.save(model, tmp_path / "file", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 1000
    assert convert(tmp_path) == 0
    assert sorted(path.name for path in (tmp_path / "models" / "x").iterdir()) == [
        *("README.md", "generator.onnx", "model.json", "samples.png")
    ]


@pytest.mark.filterwarnings("ignore")
def test_an_onnx_file_in_a_zip_file_is_read(tmp_path):
    as_onnx(Small(), tmp_path / "whole.onnx")
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.write(tmp_path / "whole.onnx", "package/generator.onnx")
    assert convert(tmp_path) == 0


@pytest.mark.filterwarnings("ignore")
def test_a_cut_file_is_said(tmp_path, capsys):
    as_onnx(Small(), tmp_path / "whole")
    (tmp_path / "file").write_bytes((tmp_path / "whole").read_bytes()[:-500])
    assert convert(tmp_path) == 2
    assert "it is no file of weights that is known here" in capsys.readouterr().err
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(Small(), inputs(Small())), buffer)
    (tmp_path / "file").write_bytes(buffer.getvalue()[:-200])
    assert convert(tmp_path, "--trust", "--input", "10") == 2
    assert "it is damaged" in capsys.readouterr().err
