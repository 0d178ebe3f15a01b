"""The two sides of a comparison: generated images, and the real ones that they are laid beside."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics

Against = Literal["held-out", "training"]
Part = Literal["selection", "test"]

FIRST_SEED: dict[Part, int] = {"selection": 0, "test": 2**31}  # so that no seed that chose a model is in a figure of it

_SEED = 2020


def some(images: NDArray[np.uint8], most: int, turn: int = 0) -> NDArray[np.uint8]:
    """So many of these images, or all there are; every turn others, until there are no more, which gives none."""
    if len(images) <= most:
        return images[: 0 if turn else None]
    places = np.random.RandomState(_SEED).permutation(len(images))[turn * most : (turn + 1) * most]
    return images[np.sort(places if len(places) == most else places[:0])]


@dataclass(frozen=True)
class SampleSet:
    """Generated images."""

    images: NDArray[np.uint8]  # [n, c, h, w]
    labels: NDArray[np.int64] | None = None  # [n], what a conditional model was asked for


@dataclass(frozen=True)
class RealImages:
    """The real images of a data set, as far as they serve one purpose: to choose models by, or to report how good one is."""

    train: NDArray[np.uint8]  # [n, c, h, w], what the model learnt from
    held_out: NDArray[np.uint8] | None = None  # [h, c, h, w], what it did not; None if there are none
    held_out_labels: NDArray[np.int64] | None = None  # [h], if there are labels
    about: str = ""  # which images these are, for the protocol
    part: Part = "selection"  # what the held-out ones are for; the test's have never chosen anything

    @property
    def side(self) -> Against:
        """What to compare with, unless something else is asked for."""
        return "training" if self.held_out is None else "held-out"

    def sides(self, against: Against, n: int, turn: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What to compare `n` generated images with, and others of the same data for the yardstick: n of each, or all there are.

        The first are the same every turn, the others are not, until there are no more. Raises ValueError for held-out images
        that are not there.
        """
        if against == "held-out":
            if self.held_out is None:
                raise ValueError("there are no held-out images to compare with: compare with training images")
            return some(self.held_out, n), some(self.train, n, turn)
        if self.held_out is not None:
            return some(self.train, n), some(self.held_out, n, turn)
        places = np.random.RandomState(_SEED).permutation(len(self.train))
        half = min(n, max(len(places) // 2, metrics.FEWEST))
        others = places[half : half + n] if len(places) - half >= metrics.FEWEST else places[:0]
        return self.train[np.sort(places[:half])], self.train[np.sort(others[: 0 if turn else None])]

    def against(self, generated: int, references: int, side: Against, seeds: str = "") -> str:
        """What a protocol says of the images; `seeds` is what the generated ones were drawn from, for people."""
        about = f" of {self.about}" if self.about else ""
        return f"{generated} generated against {references} {side} pictures{about}, {self.purpose(side, seeds)}"

    def purpose(self, side: Against, seeds: str = "") -> str:
        """What the comparison is for: training images are no test of anything."""
        part = self.part if side == "held-out" else "selection"
        return f"{part}, {seeds}" if seeds else part


def match_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey [n, 1, h, w] repeated to RGB where 3 are wanted. Raises ValueError for any other difference."""
    if images.shape[1] == channels:
        return images
    if (images.shape[1], channels) == (1, 3):
        return images.repeat(3, 1)
    raise ValueError(f"the images have {images.shape[1]} channels, the data has {channels}")
