"""Losses of one step, from networks and a minibatch to the scalars that are minimised."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gan.networks.auxiliary_head import AuxiliaryHead
from gan.networks.families import Discriminator
from training.config.schema import TrainingConfig
from training.engine.minibatch import Minibatch
from training.losses.adversarial import OBJECTIVES, code_error
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


def has_gradient_penalty(config: TrainingConfig) -> bool:
    """Whether the discriminator's loss has a gradient penalty, which needs second derivatives."""
    return bool(config.r1 or config.r2 or config.gradient_penalty)


def discriminator_loss(
    discriminator: nn.Module,
    config: TrainingConfig,
    batch: Minibatch,
    fake: Tensor,  # [n, channels, height, width], what the generator draws for this batch
    penalise: bool,  # in this step; then to be called outside autocast
) -> dict[str, Tensor]:
    """`loss` and `penalty`, scalars to minimise; `adversarial`, the first without the errors of `labels` and `codes`.

    And `real` and `fake`, the logits [n].
    """
    real, fake = batch.real.requires_grad_(penalise), fake.detach().float().requires_grad_(penalise)
    change = _changes(config, batch)
    real_logits, real_aux_outputs = discriminator(change(real, 0), batch.label, aux=bool(config.aux_classifier_weight))
    fake_logits, fake_aux_outputs = discriminator(change(fake, 1), batch.label, aux=bool(config.codes))
    loss = OBJECTIVES[config.objective].discriminator(real_logits, fake_logits).mean()
    found = {"adversarial": loss, "real": real_logits, "fake": fake_logits}
    if config.aux_classifier_weight:
        found["labels"] = _label_error(real_aux_outputs, batch)
        loss = loss + config.aux_classifier_weight * found["labels"]
    if config.codes:
        found["codes"] = _code_error(fake_aux_outputs, config, batch)
        loss = loss + config.information * found["codes"]
    penalty = torch.zeros_like(loss)
    if penalise:
        if config.r1:
            penalty = penalty + config.r1 / 2 * squared_gradient_norm(real_logits, real).mean()
        if config.r2:
            penalty = penalty + config.r2 / 2 * squared_gradient_norm(fake_logits, fake).mean()
        if config.gradient_penalty:
            logits_of = partial(_logits, discriminator, batch.label)
            points = wasserstein_penalty(logits_of, change(real, 0).detach(), change(fake, 1).detach(), batch.interp_alpha)
            penalty = penalty + config.gradient_penalty * points.mean()
    return {"loss": loss, "penalty": penalty, **found}


def generator_loss(discriminator: nn.Module, config: TrainingConfig, batch: Minibatch, fake: Tensor, real_logits: Tensor) -> Tensor:
    """A scalar; `real_logits` [n] are the discriminator's own, for objectives that do not compare."""
    objective, change = OBJECTIVES[config.objective], _changes(config, batch)
    fake_logits, aux_outputs = discriminator(change(fake, 2), batch.label, aux=bool(config.aux_classifier_weight or config.codes))
    if objective.compares:
        real_logits, _ = discriminator(change(batch.real.detach(), 3), batch.label)
    loss = objective.generator(fake_logits, real_logits).mean()
    if config.aux_classifier_weight:
        loss = loss + config.aux_classifier_weight * _label_error(aux_outputs, batch)
    if config.codes:
        loss = loss + config.information * _code_error(aux_outputs, config, batch)
    return loss


def _changes(config: TrainingConfig, batch: Minibatch) -> Callable[[Tensor, int], Tensor]:
    return lambda images, turn: augment(images, batch.augment_params[turn], config.augment)


def _label_error(aux_outputs: list[Tensor], batch: Minibatch) -> Tensor:
    """-log P(label | image), from the head's first output (Odena et al. 2017, arXiv 1610.09585, equation 3)."""
    assert batch.label is not None, "an auxiliary classifier needs labels"
    return code_error(aux_outputs[:1], [batch.label]).mean()


def _code_error(aux_outputs: list[Tensor], config: TrainingConfig, batch: Minibatch) -> Tensor:
    """InfoGAN's loss of the codes, whose outputs come after the label's, and which are the generator's last inputs."""
    of_codes = aux_outputs[1:] if config.aux_classifier_weight else aux_outputs
    return code_error(of_codes, batch.inputs[-len(of_codes) :]).mean()


def _logits(discriminator: nn.Module, label: Tensor | None, images: Tensor) -> Tensor:
    logits: Tensor = discriminator(images, label)[0]
    return logits
