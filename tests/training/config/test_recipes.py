"""Every recipe trains on a small real set, and does in one step what its paper says."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy, cross_entropy, one_hot

from gan import model_folder
from tests.conftest import QUICKLY_MEASURED, SMALL_DATA, train
from training import data
from training.config.recipes import RECIPES
from training.config.schema import TrainingConfig
from training.engine import loop, minibatch
from training.engine.state import TrainingState
from training.hardware import Hardware
from training.run import main

NAMED = [name for name in RECIPES if name != "auto"]
SMALL = {"mlp": 40, "dcgan": 8, "resnet": 8, "r3gan": 16}  # widths


def small(recipe, **given):
    """Settings of a recipe with networks small enough to test."""
    return {"recipe": recipe, "width": SMALL[RECIPES[recipe].get("arch", "dcgan")], **given}


@pytest.mark.parametrize("recipe", NAMED)
def test_every_recipe_trains_and_exports(tmp_path, recipe):
    width = str(small(recipe)["width"])
    encoder = ["--encoder-images", "64"] if "encoder_images" in RECIPES[recipe] else []
    found = train(tmp_path, "--recipe", recipe, "--images", "256", "--width", width, "--batch-size", "32", *encoder)
    rows = [json.loads(row) for row in (found.run / "stats.jsonl").read_text().splitlines()]
    assert rows[-1]["pictures"] >= 256
    assert all(np.isfinite(value) for row in rows for name, value in row.items() if name != "protocol")
    assert {"frechet", "recall", "spread"} <= rows[-1].keys()
    manifest = model_folder.read(found.model).manifest
    assert manifest.name == f"fashion-mnist-{recipe}"
    assert {"encoder", "scorer"} & manifest.networks.keys() == ({"encoder", "scorer"} if recipe == "f-anogan" else set())
    assert manifest.origin.config["recipe"] == recipe
    assert (manifest.classes is not None) == (recipe in ("cgan", "acgan"))
    assert [code.name for code in manifest.codes] == (["category", "first", "second"] if recipe == "infogan" else [])
    assert manifest.architecture.name == RECIPES[recipe].get("arch", "dcgan")
    assert ("value" in rows[0]) == (recipe in ("gan", "dcgan", "cgan", "acgan", "infogan", "f-anogan"))
    if "value" in rows[0] and recipe != "infogan":
        assert rows[0]["value"] == pytest.approx(rows[0].get("label_error", 0) - rows[0]["loss_d"])


def test_a_flag_overrides_its_recipe_and_a_recipe_the_defaults():
    assert TrainingConfig(recipe="wgan-gp").gradient_penalty == 10
    assert TrainingConfig(recipe="wgan-gp", gradient_penalty=3).gradient_penalty == 3
    assert TrainingConfig(recipe="wgan-gp", gradient_penalty=3).discriminator_steps == 5
    assert TrainingConfig().gradient_penalty == 0


def test_recipes_have_their_papers_numbers():
    """As their last versions have them; what is left as it is stands in docs/design.md."""
    penalised = TrainingConfig(recipe="wgan-gp")
    assert (penalised.beta1, penalised.beta2, penalised.learning_rate, penalised.discriminator_steps) == (0.0, 0.9, 1e-4, 5)
    relativistic = TrainingConfig(recipe="r3gan")
    assert relativistic.ema_half_life == 5_000_000
    assert (relativistic.beta1, relativistic.beta2, relativistic.beta2_end) == (0.0, 0.9, 0.99)


def test_a_run_keeps_the_recipe_that_it_began_with(tmp_path):
    """Its configuration has every setting, so what a later version makes of the recipe does not reach it."""
    from training.config import files

    began = TrainingConfig(recipe="wgan-gp", beta1=0.5, ema_half_life=10_000)
    files.write_config(tmp_path, began)
    assert files.read_config(tmp_path) == began


def test_networks_bring_their_own_defaults_unless_the_recipe_says_otherwise():
    assert (TrainingConfig(recipe="gan").width, TrainingConfig(recipe="gan").discriminator_norm) == (1200, "none")
    assert (TrainingConfig(arch="resnet").discriminator_norm, TrainingConfig(arch="resnet").z_dim) == ("spectral", 128)
    assert TrainingConfig(recipe="r3gan").z_dim == 64
    assert TrainingConfig(recipe="infogan").z_dim == 62


class Step:
    """One step in float32 of a recipe, and what it was given."""

    def __init__(self, folder, **settings):
        given = {"data": str(SMALL_DATA), "batch_size": 8, "images": 8, "precision": "float32", "threads": 1, "measure": 100}
        self.config = TrainingConfig(**{**given, "discriminator_steps": 1, **settings})
        self.dataset = data.load(self.config.data, self.config.size, labelled=self.config.conditional)
        hardware = Hardware.choose(self.config)
        start = (self.config, 1, len(self.dataset.classes) or None, hardware)
        self.before, self.after = TrainingState.start(*start), TrainingState.start(*start)
        loop.train(self.after, self.dataset, self.config, hardware, folder, None, lambda: False)
        images, labels = self.dataset.batch(self.config.seed, 0, 8)
        self.real = torch.from_numpy(images).float() / 127.5 - 1
        self.label = None if labels is None else torch.from_numpy(labels)
        z, *self.codes = (torch.from_numpy(values) for values in minibatch.sample_latents(self.config, self.before.input_spec, 0))
        self.inputs = [z, *([] if labels is None else [self.label]), *self.codes]
        self.fake = self.before.generator.train()(*self.inputs)

    def logits(self, discriminator, images):
        logits, features = discriminator.discriminator.forward_features(images, self.label)
        return logits, features


def adam(weight, gradient, rate):
    """Adam's first step: its moments, corrected for their start, are the gradient and its square."""
    return weight - rate * gradient / (gradient.abs() + 1e-8)


def assert_moved(found, network, loss, rate, clip=math.inf):
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    moved = 0
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        if gradient is None:  # what a loss does not reach stays where it was
            assert torch.equal(found[name], parameter)
            continue
        # Where it is next to nothing, rounding decides the direction of Adam's first step.
        clear = gradient.abs() > max(1e-12, 1e-3 * gradient.abs().max().item())
        expected = adam(parameter.detach(), gradient, rate).clamp(-clip, clip)
        torch.testing.assert_close(found[name][clear], expected[clear], rtol=0, atol=rate / 50)
        moved += int(clear.sum())
    assert moved > 100


def slope(step, discriminator, x):
    """Length of each logit's gradient by its image."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(step.logits(discriminator, x)[0].sum(), x, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


ONES, ZEROS = torch.ones(8), torch.zeros(8)


def entropy(real, fake):
    return binary_cross_entropy(real.sigmoid(), ONES) + binary_cross_entropy(fake.sigmoid(), ZEROS)


# Recipe -> what the networks minimise, with torch's own losses: (real, fake) -> discriminator's; (fake, real) -> generator's
LOSSES = {
    **dict.fromkeys(
        ("gan", "dcgan", "cgan", "acgan", "infogan", "f-anogan"),
        (entropy, lambda fake, _: binary_cross_entropy(fake.sigmoid(), ONES)),
    ),
    "lsgan": (
        lambda real, fake: (nn.MSELoss()(real, ONES) + nn.MSELoss()(fake, ZEROS)) / 2,
        lambda fake, _: nn.MSELoss()(fake, ONES) / 2,
    ),
    **dict.fromkeys(("wgan", "wgan-gp"), (lambda real, fake: fake.mean() - real.mean(), lambda fake, _: -fake.mean())),
    "sngan": (
        lambda real, fake: (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(),
        lambda fake, _: -fake.mean(),
    ),
    "r3gan": (
        lambda real, fake: -(real - fake).sigmoid().log().mean(),
        lambda fake, real: -(fake - real).sigmoid().log().mean(),
    ),
}


def information(step, discriminator, features):
    """-log Q(c | x) of one category of ten and two numbers."""
    kind, first, second = discriminator.aux_head(features)
    by_hand = -(kind.log_softmax(1) * one_hot(step.codes[0], 10)).sum(1).mean()
    torch.testing.assert_close(by_hand, cross_entropy(kind, step.codes[0]))
    return by_hand + ((first - step.codes[1]) ** 2 + (second - step.codes[2]) ** 2).mean() / 2


def label_error(step, discriminator, features):
    """-log P(label | x), of the label that a image has or was asked for."""
    (label_logits,) = discriminator.aux_head(features)
    return -(label_logits.log_softmax(1) * one_hot(step.label, 10)).sum(1).mean()


@pytest.mark.parametrize("recipe", NAMED)
def test_one_step_of_every_recipe(tmp_path, recipe):
    step = Step(tmp_path, **small(recipe, augment="none"))
    config, fake, discriminator = step.config, step.fake, step.before.discriminator.train()
    discriminators, generators = LOSSES[recipe]

    real_logits, real_features = step.logits(discriminator, step.real)
    fake_logits = step.logits(discriminator, fake.detach())
    loss = discriminators(real_logits, fake_logits[0])
    if recipe == "acgan":
        loss = loss + label_error(step, discriminator, real_features)
    if recipe == "infogan":
        loss = loss + information(step, discriminator, fake_logits[1])
    if recipe == "r3gan":
        loss = (
            loss
            + 0.025 * (slope(step, discriminator, step.real) ** 2).mean()
            + 0.025 * (slope(step, discriminator, fake) ** 2).mean()
        )
    if recipe == "f-anogan":
        loss = loss + 4 / 2 * (slope(step, discriminator, step.real) ** 2).mean()  # of every fourth step, the first among them
    if recipe == "wgan-gp":
        random = np.random.default_rng([0, 0, 2])
        random.random((4, 8, 7), np.float32)  # what an augmentation would take
        interp_alpha = torch.from_numpy(random.random(8, np.float32)).view(-1, 1, 1, 1)
        lengths = (slope(step, discriminator, (1 - interp_alpha) * step.real + interp_alpha * fake) ** 2 + 1e-4).sqrt()
        loss = loss + 10 * ((lengths - 1) ** 2).mean()
    clip = config.weight_clip or math.inf
    assert_moved(
        dict(step.after.discriminator.discriminator.named_parameters()),
        discriminator.discriminator,
        loss,
        config.learning_rate,
        clip,
    )

    # The generator's loss is taken with the discriminator as it is after its step.
    after = discriminator  # whose buffers are those after two batches, as they were then
    after.load_state_dict(dict(step.after.discriminator.named_parameters()), strict=False)
    logits, features = step.logits(after, fake)
    loss = generators(logits, step.logits(after, step.real)[0].detach())
    if recipe == "infogan":
        loss = loss + information(step, after, features)
    if recipe == "acgan":
        loss = loss + label_error(step, after, features)
    rate = config.generator_learning_rate or config.learning_rate
    assert_moved(dict(step.after.generator.named_parameters()), step.before.generator, loss, rate)


def test_code_heads_learn_with_the_discriminator(tmp_path):
    step = Step(tmp_path, **small("infogan"))
    discriminator = step.before.discriminator.train()
    loss = information(step, discriminator, step.logits(discriminator, step.fake.detach())[1])
    assert_moved(
        dict(step.after.discriminator.aux_head.named_parameters()), discriminator.aux_head, loss, step.config.learning_rate
    )


def test_an_auxiliary_classifier_learns_from_real_images_alone(tmp_path):
    step = Step(tmp_path, **small("acgan"))
    discriminator = step.before.discriminator.train()
    loss = label_error(step, discriminator, step.logits(discriminator, step.real)[1])
    assert_moved(
        dict(step.after.discriminator.aux_head.named_parameters()), discriminator.aux_head, loss, step.config.learning_rate
    )


def test_an_auxiliary_classifier_needs_labels_that_the_discriminator_is_not_given():
    with pytest.raises(ValueError, match="--aux-classifier-weight: an auxiliary classifier learns labels: add --conditional"):
        TrainingConfig(aux_classifier_weight=1.0)
    with pytest.raises(ValueError, match="--aux-classifier-weight: mlp's discriminator is given the label"):
        TrainingConfig(aux_classifier_weight=1.0, conditional=True, arch="mlp")


def test_label_and_code_heads_work_side_by_side(tmp_path):
    step = Step(tmp_path, **small("infogan", conditional=True, aux_classifier_weight=1.0))
    discriminator = step.before.discriminator.train()
    label, kind, *_ = discriminator.aux_head(step.logits(discriminator, step.fake.detach())[1])
    assert (label.shape, kind.shape) == ((8, 10), (8, 10))
    rows = [json.loads(row) for row in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert rows[0]["label_error"] > 1
    assert rows[0]["code_error"] > 1


def test_one_step_of_wgan_leaves_no_weight_over_the_clip(tmp_path):
    after = Step(tmp_path, **small("wgan")).after
    assert max(weight.abs().max().item() for weight in after.discriminator.parameters()) == pytest.approx(0.01)


def test_the_average_begins_at_the_generator_and_lags_behind(tmp_path):
    step = Step(tmp_path, width=8)
    weight = 1 - 0.5 ** (8 / (0.05 * 8))  # a half-life of a twentieth of the images seen
    for name, averaged in step.after.average.named_parameters():
        before, after = (dict(state.generator.named_parameters())[name] for state in (step.before, step.after))
        torch.testing.assert_close(averaged, before + weight * (after - before))


def test_a_setting_may_be_given_by_the_name_that_it_had_before(tmp_path, capsys):
    flags = ["--data", str(SMALL_DATA), "--out", str(tmp_path / "runs"), "--conditional", "--dry-run", *QUICKLY_MEASURED]
    flags += ["--width", "4", "--features", "random"]
    (tmp_path / "settings.yaml").write_text("label-reader: 0.5\n")
    for given in (["--label-reader", "0.5"], ["--label-reader=0.5"], ["--config", str(tmp_path / "settings.yaml")]):
        assert main([*flags, *given]) == 0
        said = capsys.readouterr()
        assert "aux_classifier_weight: 0.5" in said.out
        assert "label_reader is called aux_classifier_weight now" in said.err
    (tmp_path / "settings.yaml").write_text("label-reader: 0.5\naux_classifier_weight: 1\n")
    assert main([*flags, "--config", str(tmp_path / "settings.yaml")]) == 2
    assert "has aux_classifier_weight twice" in capsys.readouterr().err


def test_a_run_of_before_goes_on_with_what_its_settings_were_called(tmp_path, capsys):
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), *QUICKLY_MEASURED]
    flags = ["--data", str(SMALL_DATA), "--recipe", "acgan", "--width", "4", "--images", "128"]
    assert main([*flags, *where]) == 0
    (config,) = tmp_path.glob("runs/*/config.yaml")
    config.write_text(config.read_text().replace("aux_classifier_weight", "label_reader"))
    again = ["--resume", "latest", "--images", "256", "--label-reader", "0.5", "--change", "label-reader"]
    assert main([*where, *again]) == 0
    assert "aux_classifier_weight: 0.5" in config.read_text()
