"""Losses of one step, from networks and a minibatch to the scalars that are minimised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gan.networks.auxiliary_head import AuxiliaryHead
from gan.networks.family import Discriminator
from training.config.schema import TrainingConfig
from training.engine.minibatch import AttributeTargets, Minibatch
from training.losses.adversarial import OBJECTIVES, code_error
from training.losses.attributes import attribute_error
from training.losses.diffaugment import augment
from training.losses.gradient_penalty import squared_gradient_norm, wasserstein_penalty


class DiscriminatorWithHeads(nn.Module):
    """The discriminator and, on its features, the auxiliary head for label and codes if there are any (AC-GAN's C, InfoGAN's Q).

    One module, since DistributedDataParallel counts forward calls of modules.
    """

    def __init__(self, discriminator: Discriminator, aux_head: AuxiliaryHead | None = None) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.aux_head = aux_head

    def forward(self, images: Tensor, label: Tensor | None = None, aux: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Images float [n, channels, height, width] -> logits float32 [n] and, if `aux`, the auxiliary head's outputs, float32."""
        logits, features = self.discriminator.forward_features(images, label)
        aux_outputs = self.aux_head(features) if aux and self.aux_head is not None else []
        return logits.float(), [output.float() for output in aux_outputs]


class Loss(Protocol):
    """Loss of one network in one step."""

    @property
    def total(self) -> Tensor:
        """Scalar to minimise."""

    def statistics(self, config: TrainingConfig) -> dict[str, Tensor]:
        """Scalars to log, by their names in stats.jsonl."""


@dataclass(frozen=True)
class DiscriminatorLoss:
    """Scalars, means over the minibatch, and the logits float32 [n]."""

    total: Tensor  # `unpenalised`, and `penalty` times its weight in this step
    unpenalised: Tensor  # adversarial, label and code loss, weighted
    adversarial: Tensor
    penalty: Tensor  # sum of the gradient penalties; 0 in a step without them
    real_logits: Tensor
    fake_logits: Tensor
    label_loss: Tensor | None  # of real images; None without an auxiliary classifier
    code_loss: Tensor | None  # of generated images; None without codes
    attribute_loss: Tensor | None  # of real images; None without attributes

    def statistics(self, config: TrainingConfig) -> dict[str, Tensor]:
        """Losses, and means of the discriminator's output.

        D(x), D(G(z)) and V(D, G) = E log D(x) + E log(1 - D(G(z))) only where a logit is the log-odds of being real. At the Nash
        equilibrium D is 1/2 everywhere and V is -log 4; the report shows how far from that it is.
        """
        real, fake = self.real_logits.detach(), self.fake_logits.detach()
        both = torch.cat([real, fake])
        found = {"loss_d": self.unpenalised}
        if OBJECTIVES[config.objective].is_log_odds:
            found |= {"d_real": real.sigmoid().mean(), "d_fake": fake.sigmoid().mean(), "value": -self.adversarial}
        else:
            found |= {"logit_real": real.mean(), "logit_fake": fake.mean()}
        found |= {"logit_mean": both.mean(), "logit_std": both.std()}
        if has_gradient_penalty(config):
            found["penalty"] = self.penalty
        errors = {"label_error": self.label_loss, "code_error": self.code_loss, "attribute_error": self.attribute_loss}
        for name, loss in errors.items():
            if loss is not None:
                found[name] = loss
        return found


@dataclass(frozen=True)
class GeneratorLoss:
    """A scalar, mean over the minibatch."""

    total: Tensor  # adversarial, label and code loss, weighted

    def statistics(self, _: TrainingConfig) -> dict[str, Tensor]:
        """The loss."""
        return {"loss_g": self.total}


def joined(losses: Sequence[Any]) -> Any:
    """The loss of a minibatch from those of its equal parts, all of one class: the means of scalars, and all values per image."""
    first = losses[0]
    if len(losses) == 1:
        return first
    found = {field.name: [getattr(loss, field.name) for loss in losses] for field in fields(first)}
    tensors = {name: [value.detach() for value in values] for name, values in found.items() if isinstance(values[0], Tensor)}
    return replace(
        first, **{name: torch.cat(each) if each[0].dim() else torch.stack(each).mean() for name, each in tensors.items()}
    )


def has_gradient_penalty(config: TrainingConfig) -> bool:
    """Whether the discriminator's loss has a gradient penalty, which needs second derivatives."""
    return bool(config.r1 or config.r2 or config.gradient_penalty)


def discriminator_loss(
    discriminator: nn.Module,  # a DiscriminatorWithHeads, perhaps wrapped
    config: TrainingConfig,
    batch: Minibatch,
    fake: Tensor,  # [n, channels, height, width], generated from the minibatch's inputs
    penalty_weight: float | None,  # None: a step without gradient penalties; else to be called outside autocast
) -> DiscriminatorLoss:
    """The discriminator's loss, which trains its auxiliary head too: the label's on real images, the codes' on generated ones."""
    penalise = penalty_weight is not None
    real, fake = batch.real.requires_grad_(penalise), fake.detach().float().requires_grad_(penalise)
    augmented = _augmentation(config, batch)
    real_logits, real_aux_outputs = discriminator(augmented(real, 0), batch.label, aux=_learns_from_real(config))
    fake_logits, fake_aux_outputs = discriminator(augmented(fake, 1), batch.label, aux=bool(config.codes))
    adversarial = loss = OBJECTIVES[config.objective].discriminator(real_logits, fake_logits).mean()
    label_loss = code_loss = attribute_loss = None
    if config.aux_classifier_weight:
        label_loss = _label_loss(real_aux_outputs, batch)
        loss = loss + config.aux_classifier_weight * label_loss
    if batch.attributes is not None:
        attribute_loss = _attribute_loss(real_aux_outputs, batch.attributes, batch.attributes.real)
        loss = loss + config.attributes_weight * attribute_loss
    if config.codes:
        code_loss = _code_loss(fake_aux_outputs, config, batch)
        loss = loss + config.information * code_loss
    penalty = torch.zeros_like(loss)
    if penalise:
        if config.r1:
            penalty = penalty + config.r1 / 2 * squared_gradient_norm(real_logits, real).mean()
        if config.r2:
            penalty = penalty + config.r2 / 2 * squared_gradient_norm(fake_logits, fake).mean()
        if config.gradient_penalty:
            logits_of = partial(_logits, discriminator, batch.label)
            sides = augmented(real, 0).detach(), augmented(fake, 1).detach()
            penalty = penalty + config.gradient_penalty * wasserstein_penalty(logits_of, *sides, batch.interp_alpha).mean()
    total = loss + (penalty_weight or 0.0) * penalty
    return DiscriminatorLoss(total, loss, adversarial, penalty, real_logits, fake_logits, label_loss, code_loss, attribute_loss)


def generator_loss(discriminator: nn.Module, config: TrainingConfig, batch: Minibatch, fake: Tensor) -> GeneratorLoss:
    """The generator's loss; arguments as of `discriminator_loss`."""
    objective, augmented = OBJECTIVES[config.objective], _augmentation(config, batch)
    has_aux = bool(_learns_from_real(config) or config.codes)
    fake_logits, aux_outputs = discriminator(augmented(fake, 2), batch.label, aux=has_aux)
    if objective.generator_uses_real_logits:
        real_logits, _ = discriminator(augmented(batch.real.detach(), 3), batch.label)
    else:
        real_logits = torch.zeros_like(fake_logits)  # which the objective does not use
    loss = objective.generator(fake_logits, real_logits).mean()
    if config.aux_classifier_weight:
        loss = loss + config.aux_classifier_weight * _label_loss(aux_outputs, batch)
    if config.codes:
        loss = loss + config.information * _code_loss(aux_outputs, config, batch)
    if batch.attributes is not None:
        loss = loss + config.attributes_weight * _attribute_loss(aux_outputs, batch.attributes, batch.attributes.fake)
    return GeneratorLoss(loss)


def _augmentation(config: TrainingConfig, batch: Minibatch) -> Callable[[Tensor, int], Tensor]:
    """Function of images and their row in `batch.augment_params`."""
    return lambda images, row: augment(images, batch.augment_params[row], config.augment)


def _learns_from_real(config: TrainingConfig) -> bool:
    """Whether the auxiliary head learns from real images, what their label is or their attributes are."""
    return bool(config.aux_classifier_weight) or config.attributes is not None


def _label_loss(aux_outputs: list[Tensor], batch: Minibatch) -> Tensor:
    """-log P(label | image), from the head's first output (Odena et al. 2017, arXiv 1610.09585, equation 3)."""
    assert batch.label is not None, "an auxiliary classifier needs labels"
    return code_error(aux_outputs[:1], [batch.label]).mean()


def _code_loss(aux_outputs: list[Tensor], config: TrainingConfig, batch: Minibatch) -> Tensor:
    """InfoGAN's loss of the codes, whose outputs come after the label's, and which are the generator's last inputs."""
    count = len(config.input_spec(None).codes)
    first = bool(config.aux_classifier_weight)
    return code_error(aux_outputs[first : first + count], batch.inputs[-count:]).mean()


def _attribute_loss(aux_outputs: list[Tensor], attributes: AttributeTargets, shown: Tensor) -> Tensor:
    """The loss of attributes, whose output is the auxiliary head's last."""
    return attribute_error(aux_outputs[-1], attributes.first, attributes.values, attributes.most, shown)


def _logits(discriminator: nn.Module, label: Tensor | None, images: Tensor) -> Tensor:
    logits: Tensor = discriminator(images, label)[0]
    return logits
