"""StyleGAN2 and StyleGAN3 of NVIDIA, and StyleGAN2 of rosinality: what is drawn of a file is what the papers' formulas draw."""

import io
from math import pi, sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
from tests.training.convert.official import Persistent, pickled, stylegan2, stylegan3
from training.cli import convert as cli
from training.cli.convert import main
from training.convert import kinds
from training.convert.files import sources


def converted(tmp_path, content, *flags):
    (tmp_path / "file").write_bytes(content)
    assert main([str(tmp_path / "file"), "--name", "x", "--models", str(tmp_path / "models"), *flags]) == 0
    return model_folder.read(tmp_path / "models" / "x")


# The formulas, image by image, from what a file holds


class Tree:
    """A module of a pickle, by attribute: parameters, buffers, modules and plain attributes."""

    def __init__(self, persistent):
        self.state = persistent.meta["state"]

    def __getattr__(self, name):
        for kind in ("_parameters", "_buffers"):
            if name in self.state[kind]:
                return self.state[kind][name]
        return Tree(self.state["_modules"][name]) if name in self.state["_modules"] else self.state[name]

    def __contains__(self, name):
        return name in self.state["_modules"]


def dense(layer, x, activate=False):
    found = functional.linear(x, layer.weight * layer.weight_gain, layer.bias * layer.bias_gain)
    return functional.leaky_relu(found, 0.2) * sqrt(2) if activate else found


def normalised(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def styles(mapping, z, label=None, psi=1.0):
    x = normalised(z)
    if label is not None:
        x = torch.cat([x, normalised(dense(mapping.embed, functional.one_hot(label, mapping.c_dim).float()))], 1)
    for number in range(mapping.num_layers):
        x = dense(getattr(mapping, f"fc{number}"), x, activate=True)
    return torch.lerp(mapping.w_avg, x, psi)


def upfirdn(x, fir, up=1, down=1, padding=(0, 0, 0, 0), gain=1.0):
    """[1, c, h, w]: zeros between, zeros around or values cut off, a true convolution, each `down`-th."""
    _, c, h, w = x.shape
    spread = torch.zeros(1, c, h * up, w * up)
    spread[:, :, ::up, ::up] = x
    x = functional.pad(spread, [max(side, 0) for side in padding])
    left, right, top, bottom = (max(-side, 0) for side in padding)
    x = x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]
    fir = torch.ones(1, 1) if fir is None else torch.outer(fir, fir) if fir.ndim == 1 else fir
    x = functional.conv2d(x, (fir.flip(0, 1) * gain).expand(c, 1, -1, -1), groups=c)
    return x[:, :, ::down, ::down]


def draw2(generator, w):
    """StyleGAN2, one image."""
    x, picture = None, None
    for level in range(4):
        block = getattr(generator.synthesis, f"b{4 << level}")
        for name in ("conv0", "conv1"):
            if name not in block:
                x = block.const[None]
                continue
            layer = getattr(block, name)
            kernel = layer.weight * dense(layer.affine, w)[0][None, :, None, None]
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            if layer.up == 2:
                x = functional.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)
                x = upfirdn(x, layer.resample_filter, padding=(1, 1, 1, 1), gain=4)
            else:
                x = functional.conv2d(x, kernel, padding=1)
            x = x + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
            x = (functional.leaky_relu(x, 0.2) * sqrt(2)).clamp(-256, 256)
        kernel = block.torgb.weight * (dense(block.torgb.affine, w)[0] * block.torgb.weight_gain)[None, :, None, None]
        drawn = (functional.conv2d(x, kernel) + block.torgb.bias[:, None, None]).clamp(-256, 256)
        picture = drawn if picture is None else upfirdn(picture, block.resample_filter, up=2, padding=(2, 1, 2, 1), gain=4) + drawn
    return picture


def draw3(generator, w):
    """StyleGAN3, one image."""
    synthesis = generator.synthesis
    start = synthesis.input
    turn = dense(start.affine, w)[0]
    c, s, x, y = turn / turn[:2].norm()
    matrix = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]]) @ start.transform
    phases, freqs = start.phases + start.freqs @ matrix[:2, 2], start.freqs @ matrix[:2, :2]
    amplitudes = (1 - (freqs.norm(dim=1) - start.bandwidth) / (start.sampling_rate / 2 - start.bandwidth)).clamp(0, 1)
    width, height = (int(side) for side in start.size)
    theta = torch.tensor([[[0.5 * width / start.sampling_rate, 0, 0], [0, 0.5 * height / start.sampling_rate, 0]]]).float()
    grid = functional.affine_grid(theta, [1, 1, height, width], align_corners=False)[0]
    waves = torch.sin(2 * pi * (grid @ freqs.t() + phases)) * amplitudes
    image = (waves @ (start.weight / sqrt(start.channels)).t()).permute(2, 0, 1)[None]
    for name in synthesis.layer_names:
        layer = getattr(synthesis, name)
        style, kernel = dense(layer.affine, w)[0], layer.weight
        if layer.is_torgb:
            style = style / sqrt(kernel[0].numel())
        else:
            kernel = kernel / kernel.square().mean((1, 2, 3), keepdim=True).sqrt()
            style = style / style.square().mean().sqrt()
        kernel = kernel * style[None, :, None, None]
        if not layer.is_torgb:
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        image = functional.conv2d(image, kernel / layer.magnitude_ema.sqrt(), padding=layer.conv_kernel - 1)
        image = image + layer.bias[:, None, None]
        image = upfirdn(
            image, layer.up_filter, up=layer.up_factor, padding=[int(side) for side in layer.padding], gain=layer.up_factor**2
        )
        if not layer.is_torgb:
            image = functional.leaky_relu(image, 0.2) * sqrt(2)
        image = upfirdn(image.clamp(-256, 256), layer.down_filter, down=layer.down_factor)
    return image * synthesis.output_scale


CASES = {
    "StyleGAN2": (stylegan2, draw2, {}),
    "StyleGAN2 with labels": (stylegan2, draw2, {"c_dim": 5}),
    "StyleGAN3-T": (stylegan3, draw3, {}),
    "StyleGAN3-R with labels": (stylegan3, draw3, {"radial": True, "c_dim": 5}),
}


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_a_pickle_draws_what_the_formulas_draw(tmp_path, name, capsys):
    build, draw, arguments = CASES[name]
    theirs = build(**arguments)
    folder = converted(tmp_path, pickled({"G": None, "D": None, "G_ema": theirs, "augment_pipe": None}))
    generator, manifest = Tree(theirs), folder.manifest
    assert manifest.truncates == "w"
    assert manifest.classes == (["0", "1", "2", "3", "4"] if arguments.get("c_dim") else None)
    for psi, seeds in ((1.0, 256), (0.4, 16)):
        rows = inputs_of_seeds(range(seeds), manifest.input_spec)
        label = torch.from_numpy(rows["label"]) if "label" in rows else None
        ws = styles(generator.mapping, torch.from_numpy(rows["z"]), label, psi)
        drawn = torch.cat([draw(generator, w[None]) for w in ws])
        assert drawn.std() > 0.1
        levels = (drawn * 127.5 + 128).clamp(0, 255).floor().permute(0, 2, 3, 1).numpy().astype(int)  # as NVIDIA's code has it
        for engine in ("onnx", "torchscript"):
            runtime = runtimes.load(folder, engine, "cpu", threads=1)
            complete = runtime.complete(rows, psi)
            found = runtimes.generate_images(runtime, complete).astype(int)
            assert np.abs(found - levels).max() <= 1
            assert (found != levels).mean() < 1e-3  # at a limit between two levels, the last bit of a sum decides
    assert all(export.largest_difference < 1e-4 and export.latents == 256 for export in manifest.exports.values())
    said = capsys.readouterr().out
    assert said.count(" -> ") == len(next(sources.states_in(sources.read(tmp_path / "file").content)).tensors)


@pytest.mark.parametrize("name", ["StyleGAN2 with labels", "StyleGAN3-T"])
def test_an_image_is_the_same_alone_and_in_any_batch(tmp_path, name):
    build, _, arguments = CASES[name]
    runtime = runtimes.load(converted(tmp_path, pickled({"G_ema": build(**arguments)})), "onnx", threads=1)
    rows = inputs_of_seeds(range(20), model_folder.read(tmp_path / "models" / "x").manifest.input_spec)
    truncations = [None, 0.0, 0.3, 1.0] * 5
    alone = []
    for place, psi in enumerate(truncations):
        one = {key: values[place : place + 1] for key, values in rows.items()}
        alone.append(runtimes.generate_images(runtime, runtime.complete(one, psi)))
    mixed = [
        runtime.complete({key: values[place : place + 1] for key, values in rows.items()}, psi)
        for place, psi in enumerate(truncations)
    ]
    together = runtimes.generate_images(runtime, {"ws": np.concatenate([one["ws"] for one in mixed])})
    assert np.array_equal(together, np.concatenate(alone))
    assert np.array_equal(alone[1], alone[5])  # the mean style, whatever the seed


def rosinality(state):
    """The same tensors as rosinality's program names and shapes them, and the mean style beside them."""
    found = {"input.input": state["synthesis.b4.const"][None]}
    number = 0
    while f"mapping.fc{number}.weight" in state:
        for part in ("weight", "bias"):
            found[f"style.{number + 1}.{part}"] = state[f"mapping.fc{number}.{part}"]
        number += 1
    layers = ["b4.conv1", *(f"b{side}.conv{place}" for side in (8, 16, 32) for place in (0, 1))]
    for place, layer in enumerate(layers):
        name, at = ("conv1" if place == 0 else f"convs.{place - 1}"), f"synthesis.{layer}"
        found[f"{name}.conv.weight"] = state[f"{at}.weight"][None]
        found[f"{name}.conv.modulation.weight"] = state[f"{at}.affine.weight"]
        found[f"{name}.conv.modulation.bias"] = state[f"{at}.affine.bias"]
        found[f"{name}.activate.bias"] = state[f"{at}.bias"]
        found[f"{name}.noise.weight"] = state[f"{at}.noise_strength"].reshape(1)
        found[f"noises.noise_{place}"] = state[f"{at}.noise_const"][None, None]
        if layer.endswith("conv0"):
            found[f"{name}.conv.blur.kernel"] = state[f"{at}.resample_filter"] * 4
    for place, side in enumerate((4, 8, 16, 32)):
        name, at = ("to_rgb1" if place == 0 else f"to_rgbs.{place - 1}"), f"synthesis.b{side}.torgb"
        found[f"{name}.conv.weight"] = state[f"{at}.weight"][None]
        found[f"{name}.conv.modulation.weight"] = state[f"{at}.affine.weight"]
        found[f"{name}.conv.modulation.bias"] = state[f"{at}.affine.bias"]
        found[f"{name}.bias"] = state[f"{at}.bias"].reshape(1, -1, 1, 1)
        if place:
            found[f"{name}.upsample.kernel"] = state["synthesis.b8.resample_filter"] * 4
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in found.items()}


def official_state(tmp_path):
    (tmp_path / "official").write_bytes(pickled({"G_ema": stylegan2(clamp=None)}))
    (state,) = sources.states_in(sources.read(tmp_path / "official").content)
    return state.tensors


def torch_file(content):
    written = io.BytesIO()
    torch.save(content, written)
    return written.getvalue()


@torch.no_grad()
def test_rosinalitys_layout_draws_the_same(tmp_path, capsys):
    tensors = official_state(tmp_path)
    (tmp_path / "theirs").write_bytes(
        torch_file(
            {"g": rosinality(tensors), "g_ema": rosinality(tensors), "latent_avg": torch.from_numpy(tensors["mapping.w_avg"])}
        )
    )
    z = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    drawn = []
    for name in ("official", "theirs"):
        *_, state = sources.states_in(sources.read(tmp_path / name).content)  # beside g and g_ema, the mean style
        if name == "theirs":
            (state,) = (one for one in sources.states_in(sources.read(tmp_path / name).content) if one.path == "g_ema")
        found = kinds.recognise(state)
        assert torch.equal(found.generator.mapping.w_avg, torch.from_numpy(tensors["mapping.w_avg"]))
        drawn.append(found.generator(z))
    assert drawn[0].std() > 0.1
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-4)
    assert main([str(tmp_path / "theirs"), "--name", "x", "--models", str(tmp_path / "models")]) == 0
    assert "g_ema: StyleGAN2 of rosinality" in capsys.readouterr().out


@torch.no_grad()
def test_what_rosinalitys_file_lacks_is_said(tmp_path, capsys):
    state = {name: values for name, values in rosinality(official_state(tmp_path)).items() if not name.startswith("noises.")}
    folder = converted(tmp_path, torch_file({"g_ema": state}))
    said = capsys.readouterr().out
    assert "images are drawn without noise" in said
    assert "it does not say the mean style" in said
    runtime = runtimes.load(folder, "onnx", threads=1)
    w = runtime.complete(inputs_of_seeds(range(10_000), folder.manifest.input_spec))["ws"][:, 0]
    mean = runtime.complete(inputs_of_seeds([0], folder.manifest.input_spec), 0.0)["ws"][0, 0]
    np.testing.assert_allclose(mean, w.mean(0), atol=1e-5)


def test_a_state_dict_of_stylegan2_is_enough(tmp_path):
    (tmp_path / "a").write_bytes(pickled({"G_ema": stylegan2()}))
    tensors = {name: torch.from_numpy(values) for name, values in official_state(tmp_path).items()}
    (tmp_path / "b").write_bytes(torch_file(tensors))
    whole, alone = (kinds.recognise(*sources.states_in(sources.read(tmp_path / name).content)) for name in "ab")
    assert alone.arguments == whole.arguments
    theirs = whole.generator.state_dict()
    assert all(torch.equal(values, theirs[name]) for name, values in alone.generator.state_dict().items())


def test_classes_have_the_names_of_a_file(tmp_path, capsys):
    (tmp_path / "names").write_text("ash\nbirch\n\ncedar\ndate palm\nelm\n")
    content = pickled({"G_ema": stylegan2(c_dim=5)})
    assert converted(tmp_path, content, "--classes", str(tmp_path / "names")).manifest.classes[3] == "date palm"
    (tmp_path / "names").write_text("ash\nbirch\nash\n")
    flags = [str(tmp_path / "file"), "--name", "y", "--models", str(tmp_path / "models"), "--classes", str(tmp_path / "names")]
    assert main(flags) == 2
    assert "has 2 different names in 3 lines" in capsys.readouterr().err
    (tmp_path / "names").write_text("ash\nbirch\n")
    assert main(flags) == 2
    assert "there are 2 names, and the network has 5 classes" in capsys.readouterr().err


def said(tmp_path, capsys, content):
    (tmp_path / "file").write_bytes(content)
    assert main([str(tmp_path / "file"), "--name", "x", "--models", str(tmp_path / "models")]) == 2
    assert not (tmp_path / "models").exists()
    return capsys.readouterr().err


def without(network, path, kind, name):
    state = network.meta["state"]
    for step in path.split("."):
        state = state["_modules"][step].meta["state"]
    del state[kind][name]
    return network


def with_tensor(network, path, kind, name, values):
    state = network.meta["state"]
    for step in path.split("."):
        state = state["_modules"][step].meta["state"]
    state[kind][name] = torch.as_tensor(values)
    return network


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (lambda: stylegan2(architecture="resnet"), "has the architecture 'resnet'; only 'skip' can be drawn here"),
        (lambda: without(stylegan2(), "synthesis.b16.conv0", "_parameters", "bias"), "no tensor synthesis.b16.conv0.bias"),
        (lambda: with_tensor(stylegan2(), "synthesis.b16", "_buffers", "more", np.ones(3)), "does not: synthesis.b16.more"),
        (
            lambda: with_tensor(stylegan2(), "synthesis.b16.conv1", "_parameters", "bias", np.full(8, np.nan, np.float32)),
            "synthesis.b16.conv1.bias has values that are not finite",
        ),
        (
            lambda: with_tensor(stylegan2(), "synthesis.b16", "_buffers", "resample_filter", np.ones((4, 4), np.float32)),
            "is another filter than [1, 3, 3, 1]",
        ),
        (lambda: without(stylegan3(), "synthesis.L1_26_8", "_parameters", "weight"), "no weights of four dimensions"),
        (lambda: with_tensor(stylegan3(), "synthesis", "_buffers", "more", np.ones(3)), "does not: synthesis.more"),
    ],
)
def test_what_is_wrong_with_a_pickle_is_said(tmp_path, capsys, network, expected):
    assert expected in said(tmp_path, capsys, pickled({"G_ema": network()}))


def test_a_discriminator_is_named(tmp_path, capsys):
    judge = Persistent(
        "Discriminator",
        modules={
            "b32": Persistent("Block", modules={"fromrgb": Persistent("Conv", {"weight": np.ones((4, 3, 1, 1), np.float32)})})
        },
    )
    assert "these are the weights of a discriminator" in said(tmp_path, capsys, pickled({"D": judge}))


def test_a_snapshot_without_an_average_is_taken_as_it_is(tmp_path):
    (tmp_path / "file").write_bytes(pickled({"G": stylegan2(), "D": None, "G_ema": None}))
    source = sources.read(tmp_path / "file")
    state, found = cli.recognise(source, None, "auto")
    assert (state.path, found.family) == ("G", "stylegan2")
    assert "there is no average of its training (G_ema): G is taken, whose images are rougher" in found.notes
    (tmp_path / "file").write_bytes(pickled({"G": stylegan2(), "G_ema": stylegan2()}))
    assert cli.recognise(sources.read(tmp_path / "file"), None, "auto")[0].path == "G_ema"


def test_a_network_of_tensorflow_says_how_to_bring_it_over(tmp_path, capsys):
    def network(static):
        return b"cdnnlib.tflib.network\nNetwork\n)R}(S'version'\nI4\nS'static_kwargs'\n}S'name'\nS'" + static + b"'\nub"

    content = b"\x80\x02(" + network(b"G") + network(b"D") + network(b"Gs") + b"t."
    message = said(tmp_path, capsys, content)
    assert "it is a network of StyleGAN's TensorFlow program" in message
    assert "legacy.py" in message
