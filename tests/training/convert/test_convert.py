"""`python -m training.convert`: what people have becomes a model folder, and what is wrong with a file is said."""

import hashlib
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gan import model_folder, runtimes
from gan.images import encoding
from gan.latents import inputs_of_seeds
from training.cli.convert import main
from training.convert import kinds
from training.convert.files import sources


def tutorials(width=8, z_dim=10, channels=3):
    """The generator of PyTorch's DCGAN tutorial, which ends in 64x64 images, with weights of a little training."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = z_dim
    for after in (8 * width, 4 * width, 2 * width, width):
        first = before == z_dim and not layers
        layers += [nn.ConvTranspose2d(before, after, 4, 1 if first else 2, 0 if first else 1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU(True)]
        before = after
    layers += [nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=False), nn.Tanh()]
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_(1, 0.1)
    return network.eval()


class Generator(nn.Module):
    """As the tutorial's class is: the layers are `main`."""

    def __init__(self, main):
        super().__init__()
        self.main = main


def torch_file(content, **how):
    written = io.BytesIO()
    torch.save(content, written, **how)
    return written.getvalue()


def zipped(name, content):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("package/code.py", "raise SystemExit")
        archive.writestr(name, content)
    return written.getvalue()


def safetensors(state, path):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path.read_bytes()


def zoos(state):
    """The same tensors under pytorch_GAN_zoo's names."""
    found = {}
    for name, tensor in state.items():
        number, part = int(name.split(".")[1]), name.split(".")[2]
        layer = "formatLayer" if number == 0 else "main.outlayer" if number == 12 else None
        layer = layer or (f"main.batchNorm{number // 3}" if number % 3 == 1 else f"main.convTranspose{number // 3}")
        found[f"{layer}.{part}"] = tensor
    return found


def files(tmp_path):
    network = Generator(tutorials())
    state = network.state_dict()
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    return {
        "torch.save": torch_file(state),
        "torch.save before 1.6": torch_file(state, _use_new_zipfile_serialization=False),
        "DataParallel": torch_file(parallel),
        "a checkpoint": torch_file({"epoch": 5, "netG": state, "optimizer": {"state": {}}}),
        "the whole network": torch_file(network),
        "a pickle of it": pickle.dumps({"G": network}),
        "safetensors": safetensors(state, tmp_path / "s"),
        "huggan": torch_file({name.replace("main", "model"): tensor for name, tensor in state.items()}),
        "pytorch_GAN_zoo": torch_file({"config": {"a": 1}, "netG": zoos(state)}),
        "a wheel": zipped("package/weights.tar", torch_file({"netG_state_dict": state})),
        "without counters": torch_file({name: tensor for name, tensor in state.items() if "num_batches" not in name}),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("torch.save", "torch.save before 1.6", "DataParallel", "a checkpoint", "the whole network", "a pickle of it"),
        *("safetensors", "huggan", "pytorch_GAN_zoo", "a wheel", "without counters"),
    ],
)
def test_a_dcgan_in_any_file_draws_what_it_drew(tmp_path, name):
    (tmp_path / "file").write_bytes(files(tmp_path)[name])
    source = sources.read(tmp_path / "file")
    (found,) = filter(None, (kinds.recognise(state) for state in sources.states_in(source.content)))
    assert (found.channels, found.size, found.generator.input_spec.z_dim, found.arguments) == (3, (64, 64), 10, {"width": 8})
    assert len(found.tensors) == (21 if name == "without counters" else 25)
    z = torch.randn(8, 10, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(found.generator(z), tutorials()(z[:, :, None, None]), rtol=0, atol=1e-6)


def test_the_command_writes_a_model_folder_like_any_other(tmp_path, capsys):
    (tmp_path / "netG.pth").write_bytes(torch_file({"netG": Generator(tutorials()).state_dict()}))
    assert main([str(tmp_path / "netG.pth"), "--name", "faces", "--models", str(tmp_path / "models"), "--licence", "MIT"]) == 0
    assert capsys.readouterr().out.count(" -> layers.") == 25  # what became of every tensor
    folder = model_folder.read(tmp_path / "models" / "faces")
    manifest = folder.manifest
    assert (manifest.channels, manifest.height, manifest.width, manifest.z_dim) == (3, 64, 64, 10)
    assert (manifest.licence, manifest.origin.kind, manifest.classes) == ("MIT", "imported", None)
    assert manifest.origin.command == "python -m training.convert netG.pth --name=faces --licence=MIT"
    assert manifest.origin.digest == hashlib.sha256((tmp_path / "netG.pth").read_bytes()).hexdigest()
    rows = inputs_of_seeds(range(8), manifest.input_spec)
    with torch.no_grad():
        expected = tutorials()(torch.from_numpy(rows["z"])[:, :, None, None])
    for runtime in ("onnx", "torchscript"):
        found = runtimes.generate_images(runtimes.load(folder, runtime, "cpu"), rows).astype(int)
        levels = encoding.to_uint8_range(expected).numpy().transpose(0, 2, 3, 1)
        assert np.abs(found - np.floor(levels)).max() <= 1
    assert "imported from netG.pth, DCGAN" in (folder.path / "README.md").read_text()


def said(capsys, path, content, *flags):
    path.write_bytes(content)
    assert main([str(path), "--name", "x", "--models", str(path.parent / "models"), *flags]) == 2
    assert not (path.parent / "models").exists()
    return capsys.readouterr().err


def changed(**tensors):
    return torch_file({**Generator(tutorials()).state_dict(), **tensors})


def discriminators():
    layers = [nn.Conv2d(3, 8, 4, 2, 1, bias=False), nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.Conv2d(16, 1, 4, bias=False)]
    return torch_file({f"main.{3 * number}.weight": layer.weight.data for number, layer in enumerate(layers)})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty; fetch it again"),
        (b"<!DOCTYPE html><title>Sign in</title>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "it is no file of weights that is known here"),
        (torch_file({"a": torch.ones(3)})[:-200], "it is damaged"),
        (torch_file({"a": torch.ones(3)}), "holds no generator that is known here (tensors: at the top)"),
        (torch_file([1, 2]), "holds no generator that is known here (tensors: none)"),
        (zipped("package/a.txt", b""), "this holds none"),
        (changed(**{"main.12.weight": torch.full((8, 3, 4, 4), float("nan"))}), "main.12.weight has values that are not finite"),
        (changed(**{"main.4.weight": torch.ones(5)}), "main.4.weight has the shape [5], where [32] belongs"),
        (changed(**{"main.13.weight": torch.ones(5)}), "has 9 layers with weights, and the file has 10"),
        (changed(**{"main.0.bias": torch.ones(64)}), "tensors that a DCGAN does not: main.0.bias"),
        (discriminators(), "these are the weights of a discriminator"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, capsys, content, expected):
    assert expected in said(capsys, tmp_path / "file", content)


def test_latents_may_be_uniform_and_flags_of_graphs_are_refused(tmp_path, capsys):
    assert "--range is for ONNX and TorchScript files" in said(
        capsys, tmp_path / "f", files(tmp_path)["torch.save"], "--range", "0,1"
    )
    assert main([str(tmp_path / "f"), "--name", "x", "--models", str(tmp_path / "models"), "--latent", "uniform"]) == 0
    assert model_folder.read(tmp_path / "models" / "x").manifest.latent == "uniform"


def test_a_missing_tensor_is_named(tmp_path, capsys):
    state = Generator(tutorials()).state_dict()
    del state["main.4.running_var"]
    assert "no tensor for layers.4.running_var" in said(capsys, tmp_path / "file", torch_file(state))


def test_of_several_networks_one_is_chosen(tmp_path, capsys):
    state = Generator(tutorials()).state_dict()
    content = torch_file({"netG": state, "average": dict(state)})
    assert "several networks that are known here: choose one by --part (tensors: netG, average)" in said(
        capsys, tmp_path / "f", content
    )
    assert main([str(tmp_path / "f"), "--name", "x", "--models", str(tmp_path / "models"), "--part", "average"]) == 0
    assert main([str(tmp_path / "f"), "--name", "x", "--models", str(tmp_path / "models"), "--part", "average"]) == 2
    assert "exists already: give another --name" in capsys.readouterr().err


def test_list_shows_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "f").write_bytes(torch_file({"netG": Generator(tutorials()).state_dict()}))
    assert main([str(tmp_path / "f"), "--list"]) == 0
    out = capsys.readouterr().out
    assert "nothing of it was run: collections.OrderedDict, torch._utils._rebuild_tensor_v2, torch.FloatStorage" in out
    assert "netG: 25 tensors\n  main.0.weight [10, 64, 4, 4] float32\n" in out
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert main([str(tmp_path / "f")]) == 2
    assert "--name: the model needs a name" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), "--list"]) == 2
    assert "it cannot be read (No such file or directory)" in capsys.readouterr().err
