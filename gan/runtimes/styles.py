"""Styles, which lie between the two networks of a StyleGAN: made of latent vectors and labels, and moved before images are drawn.

Truncation and interpolation are arithmetic on the rows between the networks, so images of any truncation share a batch.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gan.latents import Inputs
from gan.manifest import STYLES
from gan.model_folder import ModelFolder
from gan.runtimes import onnx
from gan.runtimes.base import Runtime, generate, run_inline
from gan.runtimes.network import ExportedNetwork, TensorOutput, rows_of_seeds

STYLE, MEAN_STYLE = "w", "w_avg"  # outputs of a mapping network: a row's style, and in every row the mean of all styles


class StyleMapping:
    """The mapping network of a model, which runs on the processor whatever draws the images: it is small."""

    def __init__(self, folder: ModelFolder) -> None:
        """Raises ModelFolderError, as engines do."""
        manifest = folder.manifest
        assert manifest.styles is not None, "the caller has seen that there are styles"
        self._layers = manifest.styles.layers
        outputs = tuple(TensorOutput(name, manifest.styles.size) for name in (STYLE, MEAN_STYLE))
        network = ExportedNetwork(folder, "mapping", manifest.input_spec.names, outputs, rows_of_seeds(manifest.input_spec))
        self._runtime = Runtime(onnx.load(network, "cpu", "float32", 1, run_inline), network)
        self.file = self._runtime.file

    def feeding(self, network: ExportedNetwork) -> ExportedNetwork:
        """The network as one that takes styles instead of what this one takes."""
        return replace(network, inputs=[STYLES], rows=lambda n: {STYLES: self.with_styles(network.rows(n))[STYLES]})

    def with_styles(self, rows: Inputs, truncation: float | None = None) -> Inputs:
        """The rows, and beside them `ws`, float32 [n, layers, size]: the truncated style of each, the same for every layer.

        With a truncation psi in [0, 1] a style is mean + psi (style - mean) (Karras et al. 2019, arXiv 1812.04948, appendix B).
        """
        found = generate(self._runtime, rows)
        styles: NDArray[np.float32] = found[STYLE]
        if truncation is not None and truncation != 1:
            mean = found[MEAN_STYLE][0]
            styles = mean + np.float32(truncation) * (styles - mean)
        return rows | {STYLES: np.repeat(styles[:, None], self._layers, axis=1)}
