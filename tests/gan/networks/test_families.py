"""What all families promise alike."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch

from gan.latents import Code, InputSpec, inputs_of_seeds
from gan.networks import families
from gan.networks.families import discriminator, generator, initialise
from gan.networks.layers.conditioning import inputs_as_tensors
from training.export.export import export_onnx, export_torchscript
from training.losses.adversarial import OBJECTIVES
from training.losses.gradient_penalty import squared_gradient_norm

NAMES = families.names()
SPACE = InputSpec(12, classes=3, codes=(Code("kind", 4), Code("slant")))
SIZES = [(16, 16), (28, 28), (32, 32), (64, 48), (64, 64)]


def make(name, input_spec=SPACE, channels=1, size=(16, 16), norm=None, seed=0, width=16):
    drawing = generator(name, input_spec, channels, size, {"width": width})
    judging = discriminator(name, channels, size, input_spec.classes, norm or families.get(name).norms[0], {"width": width})
    random = torch.Generator().manual_seed(seed)
    for network in (drawing, judging):
        initialise(name, network, random)
    return drawing, judging


def test_a_name_is_taken_once_and_an_unknown_one_is_told_of_the_others():
    with pytest.raises(ValueError, match="there is a network family dcgan already"):
        families.register(families.get("dcgan"))
    with pytest.raises(ValueError, match="there is no network family unet: take mlp, dcgan, resnet or r3gan"):
        families.get("unet")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("channels", "input_spec"), [(1, SPACE), (3, InputSpec(12)), (3, InputSpec(12, codes=SPACE.codes))])
def test_images_of_any_size_and_their_gradients(name, size, channels, input_spec):
    drawing, judging = make(name, input_spec, channels, size)
    values = inputs_as_tensors(range(4), input_spec)
    label = values[1] if input_spec.classes else None
    images = drawing(*values)
    assert images.shape == (4, channels, *size)
    logits, features = judging.forward_features(images, label)
    assert logits.shape == (4,)
    assert features.shape == (4, judging.feature_count)
    logits.sum().backward()
    for network in (drawing, judging):
        gradients = [parameter.grad for parameter in network.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)
    judging.eval()
    assert torch.equal(judging(images, label), judging.forward_features(images, label)[0])
    bounded = drawing.eval()(*values)
    assert bounded.abs().max() <= 1
    assert bounded.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_each_input_of_a_generator_matters(name):
    drawing, _ = make(name)
    with torch.no_grad():
        for parameter in drawing.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    drawing.eval()
    values = [torch.zeros(1, 12), torch.tensor([0]), torch.tensor([0]), torch.tensor([0.0])]
    changed = [torch.ones(1, 12), torch.tensor([2]), torch.tensor([3]), torch.tensor([1.0])]
    for index, other in enumerate(changed):
        assert not torch.equal(drawing(*values), drawing(*values[:index], other, *values[index + 1 :]))


@pytest.mark.parametrize("name", NAMES)
def test_a_discriminator_sees_the_label(name):
    _, judging = make(name)
    logits = judging.eval()(torch.ones(3, 1, 16, 16), torch.arange(3))
    assert len(set(logits.tolist())) == 3


@pytest.mark.parametrize("name", NAMES)
def test_start_weights_are_a_function_of_the_seed_alone(name):
    states = []
    for global_seed, seed in ((0, 5), (1, 5), (0, 6)):
        torch.manual_seed(global_seed)
        states.append([network.state_dict() for network in make(name, seed=seed)])
    for one, other, third in zip(*states, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert any(not torch.equal(one[key], third[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_a_network_of_its_own(name):
    drawing, judging = make(name)
    for network in (drawing, judging):
        twin = copy.deepcopy(network)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.add_(1)
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_a_gradient_penalty_are_right(name):
    _, judging = make(name, norm="none")
    judging.double()
    random = torch.Generator().manual_seed(3)
    images = torch.randn(2, 1, 16, 16, dtype=torch.float64, generator=random).requires_grad_()
    parameters = list(judging.parameters())
    with torch.no_grad():
        for parameter in parameters:  # away from the zeros of R3GAN's last layers
            parameter.add_(0.02 * torch.randn(parameter.shape, dtype=torch.float64, generator=random))

    def penalty():
        return squared_gradient_norm(judging(images, torch.tensor([0, 2])), images).sum()

    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    directions = [torch.randn(parameter.shape, dtype=torch.float64, generator=random) for parameter in parameters]
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)
    assert abs(expected) > 1e-6
    step, values = 1e-7, []
    for sign in (1, -2):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(sign * step * direction)
        values.append(penalty())
    assert ((values[0] - values[1]) / (2 * step)).item() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_exports_draw_what_the_network_draws_in_any_batch(name, tmp_path):
    drawing, _ = make(name, channels=3, size=(28, 28))
    with torch.no_grad():
        drawing(*inputs_as_tensors(range(64), SPACE))  # running statistics that are not the start's
        for parameter in drawing.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    drawing.eval()
    with torch.no_grad():
        export_onnx(drawing, tmp_path / "generator.onnx", inputs_of_seeds(range(2), drawing.input_spec))
        export_torchscript(drawing, tmp_path / "generator.pt", inputs_of_seeds(range(2), drawing.input_spec))
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx", providers=["CPUExecutionProvider"])
    traced = torch.jit.load(tmp_path / "generator.pt")
    for n in (1, 5):
        rows = inputs_of_seeds(range(n), SPACE)
        values = [torch.from_numpy(column) for column in rows.values()]
        with torch.no_grad():
            expected = drawing(*values)
            assert (traced(*values) - expected).abs().max() <= 1e-4
        assert np.abs(session.run(None, rows)[0] - expected.numpy()).max() <= 1e-4
        assert expected.std() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_of_adam_teach_both_networks_and_explode_nothing(name):
    # The first GAN's start weights, which do not depend on the width, are for wide layers: narrow ones hardly move at first.
    drawing, judging = make(name, width=320 if name == "mlp" else 16)
    game = OBJECTIVES["nonsaturating"]
    values = inputs_as_tensors(range(16), SPACE)
    real = torch.linspace(-1, 1, 256).view(1, 1, 16, 16).expand(16, -1, -1, -1)

    def discriminator_loss():
        return game.discriminator(judging(real, values[1]), judging(drawing(*values).detach(), values[1])).mean()

    def generator_loss():
        return game.generator(judging(drawing(*values), values[1]), torch.zeros(16)).mean()

    for network, loss_of in ((judging, discriminator_loss), (drawing, generator_loss)):
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.99))
        losses = []
        for _ in range(40):
            loss = loss_of()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert max(losses) < 1.5 * losses[0]
        assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_both_networks_work_in_bfloat16(name):
    drawing, judging = make(name)
    values = inputs_as_tensors(range(8), SPACE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = drawing(*values)
        logits = judging(images, values[1])
    logits.float().sum().backward()
    assert logits.isfinite().all()
    assert (images.float() - drawing(*values)).abs().max() < 0.1


def test_arguments_that_a_family_does_not_take_are_refused():
    with pytest.raises(ValueError, match="dcgan networks take no blocks: they take width"):
        generator("dcgan", SPACE, 1, (16, 16), {"width": 16, "blocks": 2})
    with pytest.raises(ValueError, match="mlp networks take no blocks"):
        discriminator("mlp", 1, (16, 16), None, "none", {"width": 16, "blocks": 2})
    blocks = list(generator("r3gan", SPACE, 1, (16, 16), {"width": 16, "blocks": 2}).parameters())
    assert len(blocks) > len(list(generator("r3gan", SPACE, 1, (16, 16), {"width": 16}).parameters()))
