"""The two sides of a comparison: generated images, and the real ones that they are compared with."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics
from training.evaluation.subsets import fixed_subset

RealSide = Literal["held-out", "training"]
HeldOutHalf = Literal["selection", "test"]

FIRST_SEED: dict[HeldOutHalf, int] = {
    "selection": 0,
    "test": 2**31,
}  # so that no seed that chose a model is among those it is reported by

_SEED = 2020


def at_most(images: NDArray[np.uint8], size: int, set_index: int = 0) -> NDArray[np.uint8]:
    """A fixed random subset of the images, or all if there are no more than `size`.

    Subsets of different turns are disjoint; once too few images are left for a whole one it is empty.
    """
    if len(images) <= size:
        return images[: 0 if set_index else None]
    indices = fixed_subset(len(images), size, seed=_SEED, part=set_index)
    return images[indices if len(indices) == size else indices[:0]]


@dataclass(frozen=True)
class SampleSet:
    """Generated images."""

    images: NDArray[np.uint8]  # [n, c, h, w]
    labels: NDArray[np.int64] | None = None  # [n], the labels that a conditional model was given


@dataclass(frozen=True)
class RealImages:
    """The real images of a data set for one purpose: to choose models by, or to report how good one is."""

    train: NDArray[np.uint8]  # [n, c, h, w], the training images
    held_out: NDArray[np.uint8] | None = None  # [h, c, h, w], images it was not trained on; None if there are none
    held_out_labels: NDArray[np.int64] | None = None  # [h], if there are labels
    about: str = ""  # the data set, for the protocol
    part: HeldOutHalf = "selection"  # what the held-out images are for; nothing was chosen by those of the test part

    @property
    def default_side(self) -> RealSide:
        """The real images to compare with by default: held-out ones where there are any."""
        return "training" if self.held_out is None else "held-out"

    def reference_and_baseline(self, against: RealSide, n: int, set_index: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Reference images for `n` generated ones, and other real images as a yardstick: n of each, or all there are.

        The reference is the same each set_index; the yardsticks of different turns are disjoint, and empty once no images are left.
        Raises ValueError for held-out images where there are none.
        """
        if against == "held-out":
            if self.held_out is None:
                raise ValueError("there are no held-out images to compare with: compare with training images")
            return at_most(self.held_out, n), at_most(self.train, n, set_index)
        if self.held_out is not None:
            return at_most(self.train, n), at_most(self.held_out, n, set_index)
        order = np.random.RandomState(_SEED).permutation(len(self.train))
        half = min(n, max(len(order) // 2, metrics.FEWEST))
        others = order[half : half + n] if len(order) - half >= metrics.FEWEST else order[:0]
        return self.train[np.sort(order[:half])], self.train[np.sort(others[: 0 if set_index else None])]

    def describe_comparison(self, generated: int, references: int, side: RealSide, seeds: str = "") -> str:
        """The part of a protocol about the images; `seeds` says for people from which seeds the generated ones are."""
        about = f" of {self.about}" if self.about else ""
        return f"{generated} generated against {references} {side} pictures{about}, {self.describe_purpose(side, seeds)}"

    def describe_purpose(self, side: RealSide, seeds: str = "") -> str:
        """What a protocol says about the purpose, selection or test; against training images it is always selection."""
        part = self.part if side == "held-out" else "selection"
        return f"{part}, {seeds}" if seeds else part


def match_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey [n, 1, h, w] repeated to RGB where 3 are wanted. Raises ValueError for any other difference."""
    if images.shape[1] == channels:
        return images
    if (images.shape[1], channels) == (1, 3):
        return images.repeat(3, 1)
    raise ValueError(f"the images have {images.shape[1]} channels, the data has {channels}")
