"""A small network that reads attributes off images: trained on real pictures that people described, to score generated ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from gan.images.encoding import Images
from training.directions.attributes import Attribute, Measure, Values
from training.directions.regression import Figures, figures
from training.directions.scores import Target
from training.evaluation.classifier import Network, to_input

MOST_PICTURES = 12_000  # more would take long and add little
FEWEST_PICTURES = 40
_EPOCHS, _FEWEST_STEPS = 6, 80  # more epochs where those of few pictures are fewer steps
_BATCH, _WIDTH, _LEARNING_RATE = 64, 16, 3e-3
_ONE_IN = 8  # pictures that it is not trained on, to measure it by
_AT_ONCE = 500


@dataclass(frozen=True)
class Predictor:
    """A trained network: an output for each attribute, a logit of yes, or a number in the pictures' standard deviations."""

    network: Network
    attributes: tuple[Attribute, ...]
    quality: tuple[Figures, ...]  # on held-out pictures

    def measure(self, kept: Sequence[int]) -> Measure:
        """These of its attributes as what is measured on images.

        A logit l becomes tanh(l / 2), the probability of yes less that of no. Logits go on growing where nothing more is to be
        seen: lines that were fitted to them told yes from no less well (AUROC 0.94 where this has 0.99, on avatars' backgrounds).
        """
        columns = list(kept)
        attributes = tuple(self.attributes[place] for place in columns)
        yes_or_no = np.array([attribute.yes_or_no for attribute in attributes])

        def of(images: Images) -> Values:
            outputs = scores(self.network, images.transpose(0, 3, 1, 2))[:, columns]
            return np.where(yes_or_no, np.tanh(outputs / 2), outputs)

        return Measure(attributes, of)


def train(pictures: NDArray[np.uint8], targets: Sequence[Target], seed: int) -> Predictor:
    """Train on pictures, uint8 [n, channels, height, width], of which the targets know what there is to know.

    Which pictures are held out, the start weights and the order are drawn from the seed: the same arguments and number of threads
    give the same network. Each epoch shows every picture once; unknown values have no part in the loss.
    """
    known = np.stack([target.values for target in targets], 1)
    numbers = [place for place, target in enumerate(targets) if not target.attribute.yes_or_no]
    order = np.random.default_rng(seed).permutation(len(pictures))
    aside, used = order[: len(order) // _ONE_IN], order[len(order) // _ONE_IN :]
    for place in numbers:
        column = known[used, place]
        known[:, place] = (known[:, place] - np.nanmean(column)) / max(float(np.nanstd(column)), 1e-12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(pictures.shape[1], len(targets), _WIDTH)
    _fit(network, pictures, known, used, np.isin(np.arange(len(targets)), numbers), seed)
    predicted = scores(network, pictures[aside])
    quality = []
    for place, target in enumerate(targets):
        there = ~np.isnan(known[aside, place])
        true = known[aside, place][there]
        quality.append(figures(predicted[there, place], true, true > 0 if target.attribute.yes_or_no else None))
    return Predictor(network, tuple(target.attribute for target in targets), tuple(quality))


def _fit(
    network: Network, pictures: NDArray[np.uint8], known: Values, used: NDArray[np.int64], is_number: NDArray[np.bool_], seed: int
) -> None:
    optimiser = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    of_epoch = -(-len(used) // _BATCH)
    epochs = max(_EPOCHS, -(-_FEWEST_STEPS // of_epoch))
    steps = epochs * of_epoch
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=steps)
    numbers, mask = torch.from_numpy(is_number), torch.from_numpy(~np.isnan(known)).float()
    wanted = torch.from_numpy(np.nan_to_num(known)).float()
    with tqdm(total=steps, desc="training a predictor", unit="step", leave=False, disable=None) as bar:
        for epoch in range(epochs):
            order = np.random.default_rng([seed, epoch]).permutation(used)
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                _, outputs = network(to_input(pictures[batch], pictures.shape[1]))
                errors = torch.where(
                    numbers,
                    (outputs - wanted[batch]).square(),
                    functional.binary_cross_entropy_with_logits(outputs, wanted[batch], reduction="none"),
                )
                # A mean for each attribute, so that one which few pictures tell of counts as much as the others
                loss = ((errors * mask[batch]).sum(0) / mask[batch].sum(0).clamp_min(1)).sum()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                cycle.step()
                bar.update()
    network.eval().requires_grad_(False)


@torch.inference_mode()
def scores(network: Network, images: NDArray[np.uint8]) -> Values:
    """The outputs for images, uint8 [n, channels, height, width] -> [n, attributes]."""
    parts = [
        network(to_input(images[start : start + _AT_ONCE], images.shape[1]))[1].double().numpy()
        for start in range(0, len(images), _AT_ONCE)
    ]
    return np.concatenate(parts)
