"""The losses of one step, from networks and a batch to what the players minimise."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gan.networks.auxiliary_head import AuxiliaryHead
from gan.networks.family import Discriminator
from training.config.schema import TrainingConfig
from training.engine.minibatch import Batch
from training.losses.adversarial import OBJECTIVES, code_error
from training.losses.diffaugment import augment
from training.losses.gradient_penalty import squared_gradient_norm, wasserstein_penalty


class DiscriminatorWithHeads(nn.Module):
    """The discriminator and, in a game with codes or a label reader, who reads them off its features (InfoGAN's Q, AC-GAN's C)."""

    def __init__(self, discriminator: Discriminator, reader: AuxiliaryHead | None = None) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.reader = reader

    def forward(self, images: Tensor, label: Tensor | None = None, read: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Images float [n, channels, height, width] -> logits float32 [n]; and the readings of label and codes if asked for."""
        logits, features = self.discriminator.forward_features(images, label)
        readings = self.reader(features) if read and self.reader is not None else []
        return logits.float(), [reading.float() for reading in readings]


def has_gradient_penalty(config: TrainingConfig) -> bool:
    """Whether the game has a gradient penalty, whose steps need gradients of gradients."""
    return bool(config.r1 or config.r2 or config.gradient_penalty)


def discriminator_loss(
    judge: nn.Module,
    config: TrainingConfig,
    batch: Batch,
    fake: Tensor,  # [n, channels, height, width], what the generator draws for this batch
    penalise: bool,  # in this step; then to be called outside autocast
) -> dict[str, Tensor]:
    """`loss` and `penalty`, scalars to minimise; `game`, the loss but for the errors of `labels` and `codes`, which are there too.

    And `real` and `fake`, the logits [n].
    """
    real, fake = batch.real.requires_grad_(penalise), fake.detach().float().requires_grad_(penalise)
    change = _changes(config, batch)
    real_logits, real_readings = judge(change(real, 0), batch.label, read=bool(config.aux_classifier_weight))
    fake_logits, readings = judge(change(fake, 1), batch.label, read=bool(config.codes))
    loss = OBJECTIVES[config.objective].discriminator(real_logits, fake_logits).mean()
    found = {"game": loss, "real": real_logits, "fake": fake_logits}
    if config.aux_classifier_weight:
        found["labels"] = _label_error(real_readings, batch)
        loss = loss + config.aux_classifier_weight * found["labels"]
    if config.codes:
        found["codes"] = _code_error(readings, config, batch)
        loss = loss + config.information * found["codes"]
    penalty = torch.zeros_like(loss)
    if penalise:
        if config.r1:
            penalty = penalty + config.r1 / 2 * squared_gradient_norm(real_logits, real).mean()
        if config.r2:
            penalty = penalty + config.r2 / 2 * squared_gradient_norm(fake_logits, fake).mean()
        if config.gradient_penalty:
            logits_of = partial(_logits, judge, batch.label)
            points = wasserstein_penalty(logits_of, change(real, 0).detach(), change(fake, 1).detach(), batch.share)
            penalty = penalty + config.gradient_penalty * points.mean()
    return {"loss": loss, "penalty": penalty, **found}


def generator_loss(judge: nn.Module, config: TrainingConfig, batch: Batch, fake: Tensor, real_logits: Tensor) -> Tensor:
    """A scalar; `real_logits` [n] are the discriminator's own, for objectives that do not compare."""
    objective, change = OBJECTIVES[config.objective], _changes(config, batch)
    fake_logits, readings = judge(change(fake, 2), batch.label, read=bool(config.aux_classifier_weight or config.codes))
    if objective.compares:
        real_logits, _ = judge(change(batch.real.detach(), 3), batch.label)
    loss = objective.generator(fake_logits, real_logits).mean()
    if config.aux_classifier_weight:
        loss = loss + config.aux_classifier_weight * _label_error(readings, batch)
    if config.codes:
        loss = loss + config.information * _code_error(readings, config, batch)
    return loss


def _changes(config: TrainingConfig, batch: Batch) -> Callable[[Tensor, int], Tensor]:
    return lambda images, turn: augment(images, batch.augment_params[turn], config.augment)


def _label_error(readings: list[Tensor], batch: Batch) -> Tensor:
    """-log P(label | image), of the first reading (Odena et al. 2017, arXiv 1610.09585, equation 3)."""
    assert batch.label is not None, "an auxiliary classifier needs labels"
    return code_error(readings[:1], [batch.label]).mean()


def _code_error(readings: list[Tensor], config: TrainingConfig, batch: Batch) -> Tensor:
    """Of the readings of the codes, which come after that of the label and are the last inputs of the generator."""
    readings = readings[1:] if config.aux_classifier_weight else readings
    return code_error(readings, batch.inputs[-len(readings) :]).mean()


def _logits(judge: nn.Module, label: Tensor | None, images: Tensor) -> Tensor:
    logits: Tensor = judge(images, label)[0]
    return logits
