"""One step in the midst of a run, under settings that are not the defaults, beside the same step written out by hand.

What is compared are the gradients that reached the optimisers, which Adam's first moments keep exactly: where a weight comes to
after Adam's first step says no more than a gradient's sign, whatever the loss was multiplied by.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softplus

from gan.attribute_table import AttributeTable
from tests.conftest import SMALL_DATA
from training import data
from training.config.schema import TrainingConfig
from training.data.dataset import Attributes
from training.engine import loop
from training.engine.state import TrainingState
from training.hardware import Hardware
from training.losses.diffaugment import augment

BATCH, SEED = 8, 3
_OPINIONATED = 4.0  # times the start weights
COMMON = {
    "data": str(SMALL_DATA),
    "width": 4,
    "batch_size": BATCH,
    "seed": SEED,
    "device": "cpu",  # what is worked out by hand is worked out there
    "precision": "float32",
    "threads": 1,
    "measure": 100,
    "checkpoint_every": 10**9,
    "sample_every": 10**9,
    "discriminator_norm": "none",
    "beta1": 0.3,
}
SCHEDULES = {"anneal_images": 320, "learning_rate_end": 1e-5, "penalty_end": 0.2, "beta2_end": 0.9}
PENALTIES = {"r1": 0.7, "r2": 1.3, "gradient_penalty": 2.1}
HEADS = {"conditional": True, "aux_classifier_weight": 0.3, "codes": "kind=5,slant", "information": 0.6}

# Of two columns, one of which is the same in all images of four classes
ATTRIBUTES = {"conditional": True, "attributes": "table.csv", "attributes_weight": 0.7}
SHARES = [[{"": 0.5, "round": 0.3, "square": 0.2}, {"x": 1.0} if label < 4 else {"x": 0.1, "y": 0.9}] for label in range(10)]

# Settings, and the images seen before the step
CASES = {
    "learning rates that fall": ({**SCHEDULES, "generator_learning_rate": 5e-4}, 160),
    "schedules that are over": ({**SCHEDULES, "generator_learning_rate": 5e-4, **PENALTIES}, 400),
    "penalties that fall": ({**SCHEDULES, **PENALTIES}, 96),
    "a penalty in every third step, in one that has it": ({"r1": 0.7, "penalty_every": 3}, 6 * BATCH),
    "a penalty in every third step, in one that has none": ({"r1": 0.7, "penalty_every": 3}, 7 * BATCH),
    "every other penalty, falling": ({**SCHEDULES, **PENALTIES, "penalty_every": 2}, 160),
    "mirrored": ({"mirror": True}, 80),
    "augmented": ({"augment": "diffaugment"}, 80),
    "moved": ({"augment": "translation"}, 80),
    "augmented and compared": ({"augment": "diffaugment", "objective": "relativistic"}, 80),
    "augmented and penalised": ({"augment": "translation-cutout", **PENALTIES}, 80),
    "auxiliary heads of small weight": (HEADS, 80),
    "code heads alone": ({"codes": "kind=5,slant", "information": 0.25}, 80),
    "an auxiliary classifier alone": ({"conditional": True, "aux_classifier_weight": 0.25}, 80),
    "attributes alone": (ATTRIBUTES, 80),
    "attributes by uniform latents": ({**ATTRIBUTES, "latent": "uniform", "z_dim": 20}, 80),
    "attributes without labels": ({**ATTRIBUTES, "conditional": False}, 80),
    "attributes beside all other heads": ({**HEADS, **ATTRIBUTES}, 80),
    "uniform latents": ({"latent": "uniform", "z_dim": 20}, 80),
    "the third of three steps": ({"discriminator_steps": 3, "learning_rate": 1e-30, "beta1": 0.0, "mirror": True}, 80),
    "a clip": ({"weight_clip": 0.05, "objective": "wgan"}, 80),
    "everything": (
        {
            **SCHEDULES,
            **PENALTIES,
            **HEADS,
            **ATTRIBUTES,
            "penalty_every": 2,
            "mirror": True,
            "augment": "diffaugment",
            "objective": "relativistic",
        },
        160,
    ),
}


class Stepped:
    """A run before and after one step, and by hand what it was given."""

    def __init__(self, folder, settings, seen):
        step = BATCH * settings.get("discriminator_steps", 1)
        self.config = TrainingConfig(**{**COMMON, "images": seen + step, **settings})
        config = self.config
        dataset = data.load(config.data, config.size, labelled=config.conditional)
        hardware = Hardware.choose(config)
        start = (config, 1, len(dataset.classes) or None, hardware)
        if config.attributes is not None:
            shares = SHARES if config.conditional else SHARES[-1:]
            table = AttributeTable(columns=["glasses", "hat"], shares=shares)
            random = np.random.default_rng(0)
            counts = table.counts[dataset.labels if config.conditional else np.zeros(len(dataset.images), int)]
            places = (random.random((len(dataset.images), 2)) * counts).astype(np.int16)
            dataset = replace(dataset, attributes=Attributes(table, places))
            start = (*start, table)
        self.before, self.after = TrainingState.start(*start), TrainingState.start(*start)
        self.after.seen = seen
        # A discriminator with opinions: where all logits are next to 0, a relativistic loss does not show what it compares.
        with torch.no_grad():
            for weight in (
                *self.before.discriminator.discriminator.parameters(),
                *self.after.discriminator.discriminator.parameters(),
            ):
                weight.mul_(_OPINIONATED)
        self.start = {
            name: {part: weight.detach().clone() for part, weight in getattr(self.before, name).named_parameters()}
            for name in ("discriminator", "generator")
        }
        loop.train(self.after, dataset, config, hardware, folder, None, lambda: False)
        assert self.after.seen == seen + step

        self.last = seen + step - BATCH  # the images seen before the last of the discriminator's steps
        images, labels = dataset.batch(SEED, self.last, BATCH)
        random = np.random.default_rng([SEED, self.last, 2])
        augment_params, interp_alpha = random.random((4, BATCH, 7), np.float32), random.random(BATCH, np.float32)
        self.augment_params, self.interp_alpha = torch.from_numpy(augment_params), torch.from_numpy(interp_alpha).view(-1, 1, 1, 1)
        if config.mirror:
            mirrored = random.random(BATCH) < 0.5
            assert 0 < mirrored.sum() < BATCH
            images = np.where(mirrored[:, None, None, None], images[..., ::-1], images)
        self.real = torch.from_numpy(images.copy()).float() / 127.5 - 1
        self.label = None if labels is None else torch.from_numpy(labels)
        self.codes = []
        random = np.random.default_rng([SEED, self.last, 1])
        if config.latent == "uniform":
            z = random.uniform(-1, 1, (BATCH, config.z_dim)).astype(np.float32)
        else:
            z = random.standard_normal((BATCH, config.z_dim), np.float32)
        if config.codes:
            self.codes.append(torch.from_numpy(random.integers(5, size=BATCH)))
        if "slant" in config.codes:
            self.codes.append(torch.from_numpy(random.uniform(-1, 1, BATCH).astype(np.float32)))
        self.classes = [0] * BATCH if labels is None else labels.tolist()
        if dataset.attributes is not None:
            self.shares = shares
            self.shown = dataset.attributes.places[dataset.indices(SEED, self.last, BATCH)]
            chance = (z[:, :2] + 1) / 2 if config.latent == "uniform" else norm.cdf(z[:, :2])
            ends = [[np.cumsum(list(of_column.values()))[:-1] for of_column in shares[label]] for label in self.classes]
            self.chosen = [
                [np.searchsorted(end, at) for end, at in zip(*image, strict=True)] for image in zip(ends, chance, strict=True)
            ]
        given = [torch.from_numpy(z), *([] if labels is None else [self.label]), *self.codes]
        self.fake = self.before.generator.train()(*given)

    def augmented(self, images, use):
        return augment(images, self.augment_params[use], self.config.augment)

    def forward(self, discriminator, images):
        return discriminator.discriminator.forward_features(images, self.label)

    def gradient_norms(self, discriminator, x, change):
        """Length of each logit's gradient by its image."""
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.forward(discriminator, change(x))[0].sum(), x, create_graph=True)
        return gradient.flatten(1).norm(dim=1)

    def annealed(self, start, end, seen):
        """Along a half cosine, over the images of the schedule."""
        if end is None:
            return start
        return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(seen / self.config.anneal_images, 1)))

    def label_error(self, discriminator, features):
        return cross_entropy(discriminator.aux_head(features)[0], self.label)

    def code_error(self, discriminator, features):
        outputs = discriminator.aux_head(features)[1:] if self.config.aux_classifier_weight else discriminator.aux_head(features)
        total = cross_entropy(outputs[0], self.codes[0])
        return total + ((outputs[1].flatten() - self.codes[1]) ** 2).mean() / 2

    def attribute_error(self, discriminator, features, shown):
        """The mean over images and columns with several values, of which each class has its own."""
        outputs = discriminator.aux_head(features)[-1]
        sizes = [[len(of_column) for of_column in of_class] for of_class in self.shares]
        errors = []
        for image, label in enumerate(self.classes):
            first = sum(map(sum, sizes[:label]))
            for column, size in enumerate(sizes[label]):
                if size > 1:
                    errors.append(cross_entropy(outputs[image, first : first + size], torch.tensor(int(shown[image][column]))))
                first += size
        return torch.stack(errors).mean()

    def discriminator_loss(self):
        """What the discriminator minimises in its last step."""
        config, discriminator = self.config, self.before.discriminator.train()
        real, features = self.forward(discriminator, self.augmented(self.real, 0))
        fake, fake_features = self.forward(discriminator, self.augmented(self.fake.detach(), 1))
        if config.objective == "relativistic":
            loss = softplus(fake - real).mean()
        elif config.objective == "wgan":
            loss = fake.mean() - real.mean()
        else:
            ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
            loss = binary_cross_entropy_with_logits(real, ones) + binary_cross_entropy_with_logits(fake, zeros)
        if config.aux_classifier_weight:
            loss = loss + config.aux_classifier_weight * self.label_error(discriminator, features)
        if config.codes:
            loss = loss + config.information * self.code_error(discriminator, fake_features)
        if config.attributes is not None:
            loss = loss + config.attributes_weight * self.attribute_error(discriminator, features, self.shown)
        if self.last // BATCH % config.penalty_every:
            return loss
        weight = config.penalty_every * self.annealed(1.0, config.penalty_end, self.last)
        if config.r1:
            loss = (
                loss
                + weight
                * config.r1
                / 2
                * (self.gradient_norms(discriminator, self.real, lambda x: self.augmented(x, 0)) ** 2).mean()
            )
        if config.r2:
            loss = (
                loss
                + weight
                * config.r2
                / 2
                * (self.gradient_norms(discriminator, self.fake, lambda x: self.augmented(x, 1)) ** 2).mean()
            )
        if config.gradient_penalty:
            between = (1 - self.interp_alpha) * self.augmented(self.real, 0) + self.interp_alpha * self.augmented(
                self.fake.detach(), 1
            )
            lengths = (self.gradient_norms(discriminator, between, lambda x: x) ** 2 + 1e-4).sqrt()
            loss = loss + weight * config.gradient_penalty * ((lengths - 1) ** 2).mean()
        return loss

    def generator_loss(self):
        """What the generator minimises, against the discriminator as it is after its steps."""
        config, discriminator = self.config, self.before.discriminator
        discriminator.load_state_dict(self.after.discriminator.state_dict())
        fake, features = self.forward(discriminator, self.augmented(self.fake, 2))
        if config.objective == "relativistic":
            loss = softplus(self.forward(discriminator, self.augmented(self.real, 3))[0] - fake).mean()
        elif config.objective == "wgan":
            loss = -fake.mean()
        else:
            loss = binary_cross_entropy_with_logits(fake, torch.ones(BATCH))
        if config.aux_classifier_weight:
            loss = loss + config.aux_classifier_weight * self.label_error(discriminator, features)
        if config.codes:
            loss = loss + config.information * self.code_error(discriminator, features)
        if config.attributes is not None:
            loss = loss + config.attributes_weight * self.attribute_error(discriminator, features, self.chosen)
        return loss

    def check(self, name, loss, rate, seen):
        """Gradients, moments and weights of one network; `seen` is what its schedules go by."""
        config = self.config
        network, stepped = getattr(self.before, name), dict(getattr(self.after, name).named_parameters())
        optimiser = self.after.generator_optimiser if name == "generator" else self.after.discriminator_optimiser
        start = self.start[name]
        parameters = dict(network.named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        beta2 = self.annealed(config.beta2, config.beta2_end, seen)
        compared = 0
        for part, gradient in zip(parameters, gradients, strict=True):
            moments = optimiser.state[stepped[part]]
            if gradient is None or gradient.abs().max() < 1e-7:  # what a loss does not reach
                assert moments["exp_avg"].abs().max() < 1e-6
                continue
            scale = gradient.abs().max().item()
            found = moments["exp_avg"] / (1 - config.beta1)
            torch.testing.assert_close(found, gradient, rtol=2e-3, atol=2e-3 * scale, msg=lambda text, at=part: f"{at}: {text}")
            if name == "generator" or config.discriminator_steps == 1:
                torch.testing.assert_close(moments["exp_avg_sq"], (1 - beta2) * found**2, rtol=1e-3, atol=0)
            clear = gradient.abs() > max(1e-6, 1e-2 * scale)
            expected = start[part] - rate * gradient.sign()
            if config.weight_clip and part.startswith("discriminator"):
                expected = expected.clamp(-config.weight_clip, config.weight_clip)
            # A weight near 1 holds no smaller steps than 1e-7.
            torch.testing.assert_close(stepped[part][clear], expected[clear], rtol=0, atol=rate / 50 + 1.2e-7)
            compared += int(clear.sum())
        assert compared > 100


@pytest.mark.parametrize("case", CASES)
def test_one_step_in_the_midst_of_a_run(tmp_path, case):
    settings, seen = CASES[case]
    step = Stepped(tmp_path, settings, seen)
    config = step.config
    factor = step.annealed(1.0, config.learning_rate_end and config.learning_rate_end / config.learning_rate, seen)
    step.check("discriminator", step.discriminator_loss(), factor * config.learning_rate, seen)
    step.check("generator", step.generator_loss(), factor * (config.generator_learning_rate or config.learning_rate), seen)


@pytest.mark.parametrize(("half_life", "seen"), [(30, 4000), (10_000, 4000)])
def test_the_average_in_the_midst_of_a_run(tmp_path, half_life, seen):
    step = Stepped(tmp_path, {"ema_half_life": half_life}, seen)
    weight = 1 - 0.5 ** (BATCH / min(half_life, (seen + BATCH) / 20))
    for name, averaged in step.after.average.named_parameters():
        before, after = (dict(state.generator.named_parameters())[name] for state in (step.before, step.after))
        torch.testing.assert_close(averaged, before + weight * (after - before))
