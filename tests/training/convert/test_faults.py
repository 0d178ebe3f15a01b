"""Files that were once converted wrongly, refused without a reason, or took all memory."""

import io
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import nn

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
from tests.training.convert.official import pickled, stylegan2, stylegan3
from tests.training.convert.test_convert import Generator, torch_file, tutorials, zipped
from tests.training.convert.test_graphs import Small, as_onnx
from tests.training.convert.test_stylegan import Tree, draw3, styles
from training.cli import convert as cli
from training.convert import kinds
from training.convert.files import sources


def convert(path, content, *flags):
    path.write_bytes(content)
    return cli.main([str(path), "--name", "x", "--models", str(path.parent / "models"), *flags])


def recognised(path, content):
    path.write_bytes(content)
    return cli.recognise(sources.read(path), None, "auto")[1]


def refused(tmp_path, capsys, content, *flags):
    assert convert(tmp_path / "file", content, *flags) == 2
    assert not (tmp_path / "models" / "x").exists()
    return capsys.readouterr().err


@torch.no_grad()
def test_a_latent_vector_of_zeros_draws_what_the_formulas_draw(tmp_path):
    theirs = stylegan3()
    assert convert(tmp_path / "file", pickled({"G_ema": theirs})) == 0
    runtime = runtimes.load(model_folder.read(tmp_path / "models" / "x"), "onnx", threads=1)
    found = runtimes.generate_images(runtime, {"z": np.zeros((1, 8), np.float32)})[0]
    drawn = draw3(Tree(theirs), styles(Tree(theirs).mapping, torch.zeros(1, 8)))[0]
    levels = (drawn * 127.5 + 128).clamp(0, 255).floor().permute(1, 2, 0).numpy()
    assert levels.std() > 5
    assert np.abs(found - levels).max() <= 1


def test_what_changes_images_changes_the_version(tmp_path):
    versions = set()
    for place, (clamp, latent) in enumerate([(None, "normal"), (0.3, "normal"), (None, "uniform"), (None, "normal")]):
        (tmp_path / str(place)).mkdir()
        path = tmp_path / str(place) / "file"
        assert convert(path, pickled({"G_ema": stylegan2(widths=(4, 4), clamp=clamp)}), "--latent", latent) == 0
        versions.add(model_folder.read(path.parent / "models" / "x").manifest.version)
    assert len(versions) == 3  # equal files have equal ones


@pytest.mark.filterwarnings("ignore")
def test_latents_of_a_graph_change_its_version_too(tmp_path):
    as_onnx(Small(), tmp_path / "graph")
    versions = set()
    for latent in ("normal", "uniform"):
        (tmp_path / latent).mkdir()
        assert convert(tmp_path / latent / "file", (tmp_path / "graph").read_bytes(), "--latent", latent) == 0
        versions.add(model_folder.read(tmp_path / latent / "models" / "x").manifest.version)
    assert len(versions) == 2


class Flat(nn.Module):
    """Ends in operations that OpenVINO finds to change nothing."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(10, 192)

    def forward(self, z):
        return torch.tanh(self.layer(z)).reshape(-1, 3, 8, 8)


@pytest.mark.filterwarnings("ignore")
def test_openvino_finds_the_output_of_a_graph_that_ends_in_a_reshape(tmp_path):
    with torch.no_grad():
        torch.onnx.export(
            Flat(),
            (torch.zeros(1, 10),),
            tmp_path / "graph",
            input_names=["z"],
            output_names=["img"],
            dynamic_axes={"z": {0: "n"}, "img": {0: "n"}},
            dynamo=False,
        )
    assert convert(tmp_path / "file", (tmp_path / "graph").read_bytes()) == 0
    folder = model_folder.read(tmp_path / "models" / "x")
    rows = inputs_of_seeds(range(5), folder.manifest.input_spec)
    images = [
        runtimes.generate_images(runtimes.load(folder, name, "cpu", threads=1), rows).astype(int) for name in ("openvino", "onnx")
    ]
    assert np.abs(images[0] - images[1]).max() <= 1


class WithLatents(nn.Module):
    """Returns its latent vectors beside the images."""

    def __init__(self):
        super().__init__()
        self.network = Small()

    def forward(self, z):
        return self.network(z), z


@pytest.mark.filterwarnings("ignore")
def test_the_images_are_the_first_of_what_a_program_returns(tmp_path):
    torch.jit.save(torch.jit.trace(WithLatents().eval(), torch.zeros(2, 10), check_trace=False), tmp_path / "graph")
    assert convert(tmp_path / "file", (tmp_path / "graph").read_bytes(), "--trust", "--input", "10") == 0
    manifest = model_folder.read(tmp_path / "models" / "x").manifest
    assert (manifest.channels, manifest.height, manifest.width) == (3, 8, 8)


def test_images_that_cannot_be_served_are_refused(tmp_path, capsys):
    content = pickled({"G_ema": stylegan2(channels=4, widths=(8, 8))})
    assert "draws images of 4 channels: only grey (1) and RGB (3)" in refused(tmp_path, capsys, content)


@pytest.mark.parametrize("resolution", [32, -1, 10**9])
def test_a_network_that_draws_another_size_than_it_says_is_refused(tmp_path, capsys, resolution):
    theirs = stylegan3()
    theirs.meta["state"]["_modules"]["synthesis"].meta["state"]["img_resolution"] = resolution
    assert "it draws [3, 16, 16], and says [3" in refused(tmp_path, capsys, pickled({"G_ema": theirs}))


def test_numbers_in_the_other_byte_order_are_the_same_numbers(tmp_path):
    state = {name: tensor.numpy() for name, tensor in Generator(tutorials()).state_dict().items()}
    found = []
    for order in "<>":
        content = {name: values.astype(values.dtype.newbyteorder(order)) for name, values in state.items()}
        found.append(recognised(tmp_path / "file", pickle.dumps(content)).generator.state_dict())
    assert all(torch.equal(values, found[1][name]) for name, values in found[0].items())


@pytest.mark.parametrize("kind", [list, dict])
def test_what_many_places_hold_is_looked_at_once(tmp_path, capsys, kind):
    content = kind()
    for _ in range(60):
        content = [content, content] if kind is list else {"a": content, "b": content}
    assert "no generator that is known here" in refused(tmp_path, capsys, pickle.dumps({"a": content}, 2))


def test_small_files_of_huge_networks_are_refused(tmp_path, capsys):
    tensors = {f"synthesis.b{4 << level}.conv1.weight": torch.zeros(1, 1, 3, 3) for level in range(20)}
    rest = {"synthesis.b4.const": torch.zeros(1, 4, 4), "mapping.fc0.weight": torch.zeros(2, 2)}
    rest["synthesis.b4.torgb.weight"] = torch.zeros(3, 1, 1, 1)
    assert "blocks of 4, 8, 16 … pixels, up to 2048" in refused(tmp_path, capsys, torch_file({**tensors, **rest}))
    stages = {f"MainLayers.{number}.Layers.0.Basis": torch.zeros(1, 4, 4) for number in (0, 10**8)}
    assert "has stages 0, 1, 2 …, at most 10" in refused(tmp_path, capsys, torch_file(stages))


def test_views_of_one_storage_take_its_memory_once(tmp_path):
    storage = torch.zeros(2**20)
    (tmp_path / "file").write_bytes(torch_file({f"v{number}": storage[number:] for number in range(50)}))
    (state,) = sources.states_in(sources.read(tmp_path / "file").content)
    assert len(state.tensors) == 50
    assert all(np.shares_memory(values, state.tensors["v0"]) for values in state.tensors.values())


def test_odd_tensors_beside_a_generator_do_no_harm(tmp_path):
    odd = {
        "quantised": torch.zeros(3, dtype=torch.int8),
        "expanded": torch.zeros(1).expand(4),
        "half": torch.zeros(2, dtype=torch.complex64),
    }
    found = recognised(tmp_path / "file", torch_file({"netG": Generator(tutorials()).state_dict(), "other": odd}))
    assert found.family == "dcgan"


def test_bfloat16_safetensors_are_read(tmp_path):
    state = {
        name: tensor.bfloat16() if tensor.is_floating_point() else tensor
        for name, tensor in Generator(tutorials()).state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "s")
    assert recognised(tmp_path / "file", (tmp_path / "s").read_bytes()).family == "dcgan"


@pytest.mark.filterwarnings("ignore")
def test_too_many_names_of_classes_are_said(tmp_path, capsys):
    as_onnx(Small(classes=4), tmp_path / "graph")
    (tmp_path / "names").write_text("a\nb\nc\nd\ne\n")
    said = refused(tmp_path, capsys, (tmp_path / "graph").read_bytes(), "--classes", str(tmp_path / "names"))
    assert "see that --classes names as many as it knows" in said


@pytest.mark.filterwarnings("ignore")
def test_networks_in_16_bits_are_converted(tmp_path):
    with torch.no_grad():
        names = {"z": {0: "n"}, "img": {0: "n"}}
        torch.onnx.export(
            Small().half(),
            (torch.zeros(1, 10, dtype=torch.float16),),
            tmp_path / "graph",
            input_names=["z"],
            output_names=["img"],
            dynamic_axes=names,
            dynamo=False,
        )
    assert convert(tmp_path / "file", (tmp_path / "graph").read_bytes()) == 0


def test_values_that_are_not_finite_are_not_called_noise(tmp_path, capsys):
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 192])
    images = helper.make_tensor_value_info("img", TensorProto.FLOAT, ["n", 3, 8, 8])
    constants = [
        onnx.numpy_helper.from_array(np.array([-1, 3, 8, 8]), "shape"),
        onnx.numpy_helper.from_array(np.float32(0), "zero"),
    ]
    nodes = [helper.make_node("Reshape", ["z", "shape"], ["r"]), helper.make_node("Sub", ["zero", "r"], ["s"])]
    nodes += [
        helper.make_node("Abs", ["r"], ["a"]),
        helper.make_node("Neg", ["a"], ["m"]),
        helper.make_node("Sqrt", ["m"], ["img"]),
    ]
    made = helper.make_model(
        helper.make_graph(nodes, "g", [z], [images], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    assert "it draws values that are not finite" in refused(tmp_path, capsys, made.SerializeToString())


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "names").write_bytes("\ufeffash\nbirch\ncedar\nelm\nfir\n".encode())
    content = pickled({"G_ema": stylegan2(c_dim=5, widths=(4, 4))})
    assert convert(tmp_path / "file", content, "--classes", str(tmp_path / "names")) == 0
    assert model_folder.read(tmp_path / "models" / "x").manifest.classes[0] == "ash"


@pytest.mark.parametrize("text", ["1..2,3", ".,1", "a,b", "1"])
def test_a_range_that_is_none_is_refused(tmp_path, capsys, text):
    (tmp_path / "file").write_bytes(b"x")
    assert cli.main([str(tmp_path / "file"), "--name", "x", f"--range={text}"]) == 2
    assert "--range" in capsys.readouterr().err


def test_a_damaged_part_of_a_wheel_is_said(tmp_path, capsys):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/weights.tar", torch_file(Generator(tutorials()).state_dict()))
    content = bytearray(written.getvalue())
    content[100:103] = b"\xff\xff\xff"
    assert "it is damaged" in refused(tmp_path, capsys, bytes(content))
    assert "it is damaged" in refused(
        tmp_path, capsys, torch_file({"a": torch.ones(300)}, _use_new_zipfile_serialization=False)[:1000]
    )
    assert zipped  # the wheels of other tests are stored


ODD_SHAPES = {
    "SNGAN": {"l1.weight": torch.zeros(0), "block2.c1.weight": torch.zeros(3), "c3.weight": torch.zeros(1)},
    "R3GAN": {"MainLayers.0.Layers.0.Basis": torch.zeros(()), "MainLayers.0.Layers.1.LinearLayer1.Layer.weight": torch.zeros(2)},
    "StyleGAN2": {
        "synthesis.b4.const": torch.zeros(1),
        "mapping.fc0.weight": torch.zeros(3),
        "synthesis.b4.conv1.weight": torch.zeros(2),
    },
    "rosinality": {"input.input": torch.zeros(1), "style.1.weight": torch.zeros(2), "conv1.conv.weight": torch.zeros(3)},
}


@pytest.mark.parametrize("name", ODD_SHAPES)
def test_tensors_of_odd_shapes_are_said_to_be_wrong(tmp_path, capsys, name):
    said = refused(tmp_path, capsys, torch_file(ODD_SHAPES[name]))
    assert "Traceback" not in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("up_factor", value) for value in (None, "x", 0, 10**9)),
        *(("padding", value) for value in ({}, [float("nan")] * 4, 5)),
        *(("conv_clamp", value) for value in ([256], "x")),
    ],
)
def test_attributes_of_odd_types_are_said_to_be_wrong(tmp_path, capsys, name, value):
    theirs = stylegan3()
    theirs.meta["state"]["_modules"]["synthesis"].meta["state"]["_modules"]["L1_26_8"].meta["state"][name] = value
    said = refused(tmp_path, capsys, pickled({"G_ema": theirs}))
    assert said.count("\n") == 1


def test_a_stop_by_the_keyboard_is_said_in_a_line(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(kinds, "recognise", interrupted)
    assert convert(tmp_path / "file", torch_file(OrderedDict(a=torch.ones(3)))) == 130
    assert capsys.readouterr().err == "training.convert: stopped; nothing was written\n"
