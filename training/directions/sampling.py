"""Images of a model, drawn by the exported files as the service draws them, and what is measured on them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gan import runtimes
from gan.directions import DEVIATION
from gan.latents import Inputs, count, select
from gan.manifest import STYLES
from gan.model_folder import ModelFolder
from training.directions.attributes import Measure, Values

_AT_ONCE = 256  # images
_VALUES_AT_ONCE = 2**22  # of images that are measured at once, which bounds the memory that it takes

Latents = NDArray[np.float64]  # [n, size], of latent vectors or, where a model has them, styles


class Sampler:
    """A model on a runtime."""

    def __init__(self, folder: ModelFolder) -> None:
        """Raises ModelFolderError for files that cannot be run."""
        self.folder, self.manifest = folder, folder.manifest
        formats = self.manifest.networks["generator"].files
        self.runtime = runtimes.load(folder, "onnx" if "onnx" in formats else "torchscript", "cpu")
        values = self.manifest.channels * self.manifest.height * self.manifest.width
        self._at_once = max(1, min(_AT_ONCE, _VALUES_AT_ONCE // values))

    @property
    def labels(self) -> list[int] | list[None]:
        """The labels, by number; [None] without."""
        return [None] if self.manifest.classes is None else list(range(len(self.manifest.classes)))

    @property
    def size(self) -> int:
        """Components of a direction."""
        return self.manifest.z_dim if self.manifest.styles is None else self.manifest.styles.size

    def rows(self, seeds: Sequence[int], label: int | NDArray[np.int64] | None) -> Inputs:
        """Complete rows of these seeds, truncated as the model is by default; of one class, or of as many labels, if given."""
        given: Inputs = {} if label is None else {"label": np.full(len(seeds), label, np.int64)}
        return runtimes.inputs_of_seeds(self.runtime, self.manifest, seeds, self.manifest.sampling.truncation, given)

    def measure(self, rows: Inputs, measures: Sequence[Measure], count_images: Callable[[int], object] = lambda _: None) -> Values:
        """Draw the rows' images and measure the attributes of all measures, side by side; `count_images` is told of each part."""
        parts = []
        for start in range(0, count(rows), self._at_once):
            images = runtimes.generate_images(self.runtime, select(rows, slice(start, start + self._at_once)))
            parts.append(np.concatenate([measure.of(images) for measure in measures], 1))
            count_images(len(images))
        return np.concatenate(parts)

    def deviation(self, latents: Latents, direction: NDArray[np.float64]) -> float:
        """The unit of a move along a direction of length 1: a standard deviation. See `gan.directions`."""
        if self.manifest.styles is None:
            return DEVIATION[self.manifest.latent]
        return float((latents @ direction).std())


def latents_of(rows: Inputs) -> Latents:
    """What directions lie in: the rows' styles (those of the first layer, and all layers have the same), or latent vectors."""
    values = rows[STYLES][:, 0] if STYLES in rows else rows["z"]
    return values.astype(np.float64)
