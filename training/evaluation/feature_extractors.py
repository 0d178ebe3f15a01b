"""Feature extractors: images -> the features that quality is measured by, from one of three networks."""

import copy
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.hub import get_dir, load_state_dict_from_url
from torch.nn import functional
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from tqdm import tqdm

from training.errors import FeaturesUnavailableError
from training.evaluation.classifier import CPU, SIDE, Classifier, to_input

FeatureName = Literal["inception", "classifier", "random"]

_RANDOM_SEED = 0  # of the random network's weights; another one makes all earlier numbers incomparable
_RANDOM_WIDTHS, _RANDOM_STRIDES = (32, 64, 128), (1, 2, 2)


@dataclass(frozen=True)
class Features:
    """The outputs of a feature network."""

    values: NDArray[np.float32]  # [n, d]
    logits: NDArray[np.float32] | None  # [n, classes], of the network's own classes; None if it has none


@dataclass(frozen=True)
class Extractor:
    """A feature network: calling it gives the features of any number of images."""

    name: FeatureName
    protocol: str  # which features these are and how images are resized, for people
    forward: Callable[[Tensor], tuple[Tensor, Tensor | None]]  # uint8 [n, c, h, w] -> features, logits
    batch_size: int = 250  # at most; features are the same for any to within rounding

    def __call__(self, images: NDArray[np.uint8], *, progress: bool = False) -> NDArray[np.float32]:
        """uint8 [n, c, h, w], grey or RGB, n over 0 -> float32 [n, d]."""
        return self.extract(images, progress=progress).values

    def extract(self, images: NDArray[np.uint8], *, progress: bool = False) -> Features:
        """Features and logits, where the network has some. Images may be a memory map: only a batch is read at a time."""
        values, logits = [], []
        with (
            torch.inference_mode(),
            tqdm(
                total=len(images), desc=f"{self.name} features", unit="pic", leave=False, disable=None if progress else True
            ) as bar,
        ):
            for start in range(0, len(images), self.batch_size):
                batch = torch.from_numpy(np.array(images[start : start + self.batch_size]))
                found, scores = self.forward(batch)
                values.append(found.cpu().numpy())
                if scores is not None:
                    logits.append(scores.cpu().numpy())
                bar.update(len(batch))
        return Features(np.concatenate(values), np.concatenate(logits) if logits else None)


def choose(
    preferred: FeatureName | None,  # taken as it is if given
    *,
    labelled: bool,  # whether the data has labels to train a classifier on
    inception_weights: Path | None = None,
) -> tuple[FeatureName, str]:
    """Choose the features to measure by, and say why in a sentence.

    Inception's features are comparable with published numbers, a classifier's with other models of the same set, random ones only
    within one project. Inception's weights are never downloaded unless they are asked for by name.
    """
    if preferred is not None:
        return preferred, f"{preferred} features, as asked for"
    if inception_weights is not None or _inception_file().is_file():
        return "inception", "inception features, since their weights are here: numbers compare with published ones"
    if labelled:
        return "classifier", (
            "classifier features, since the data has labels and Inception's weights are not here: "
            "numbers compare between models of this set only"
        )
    return "random", (
        "features of a random network, since the data has no labels and Inception's weights are not here: "
        "numbers only say which of two models is nearer to the data"
    )


def random_network(device: torch.device = CPU) -> Extractor:
    """Features of a fixed network with random weights: 384 numbers, a relative measure only.

    Three 3x3 convolutions with ReLU and He et al.'s (2015) scale; features are the mean and the standard deviation
    over positions of the last two. More layers are less sensitive to small differences, which the sampling error of a thousand
    images then hides. Untrained convolutions distinguish sets of images (Naeem et al. 2020), but a difference says little about
    what people would notice. The weights are from NumPy's legacy stream, which NumPy has frozen (NEP 19).
    """
    random = np.random.RandomState(_RANDOM_SEED)
    weights, channels = [], 3
    for width in _RANDOM_WIDTHS:
        scale = np.sqrt(2 / (9 * channels))
        weights.append(torch.from_numpy((scale * random.standard_normal((width, channels, 3, 3))).astype(np.float32)).to(device))
        channels = width

    def forward(images: Tensor) -> tuple[Tensor, None]:
        x = to_input(images.numpy(), 3, device=device).contiguous(memory_format=torch.channels_last)
        found = []
        for weight, stride in zip(weights, _RANDOM_STRIDES, strict=True):
            x = functional.relu(functional.conv2d(x, weight, stride=stride, padding=1))
            if weight is not weights[0]:
                mean = x.mean((2, 3), keepdim=True)
                # torch's own std takes five times as long on a processor, longer than the convolution.
                found += [mean.flatten(1), (x - mean).square().mean((2, 3)).sqrt()]
        return torch.cat(found, 1), None

    return Extractor("random", f"features of a fixed random network, pictures at {SIDE}x{SIDE} as RGB", forward)


def classifier_network(classifier: Classifier) -> Extractor:
    """The penultimate layer of a classifier, 128 numbers, and its logits."""
    channels, device = classifier.record.channels, classifier.device
    # A processor pools nearly twice as fast in this layout.
    network = copy.deepcopy(classifier.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        pictures = to_input(images.numpy(), channels, device=device).contiguous(memory_format=torch.channels_last)
        found: tuple[Tensor, Tensor] = network(pictures)
        return found

    colours = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    return Extractor("classifier", f"classifier features ({classifier}), pictures at {SIDE}x{SIDE}, {colours}", forward)


def inception_network(weights: Path | None = None, device: torch.device = CPU) -> Extractor:
    """The 2048 features and the logits of Inception V3 in the version of FID's authors (Heusel et al. 2017), by torch-fidelity.

    Grey is repeated to RGB; scaled to 299x299 as TensorFlow 1 does. Without a file of `weights` torch-fidelity's own are taken
    from torch's cache or downloaded there, and their SHA-256 is compared. Raises FeaturesUnavailableError.
    """
    path = weights or _inception_file()
    try:
        # torch-fidelity reads the file without a restriction on what it may contain, so it is first read here with one.
        if weights is None:
            load_state_dict_from_url(URL_INCEPTION_V3, check_hash=True, weights_only=True, progress=sys.stderr.isatty())
        else:
            torch.load(weights, weights_only=True)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path)).to(device)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0] or "it is empty or no file of weights"
        raise FeaturesUnavailableError(
            f"the weights of Inception V3 are not available from {weights or URL_INCEPTION_V3} ({reason}): download that file "
            "elsewhere and give it with --inception-weights, or take --features classifier or random"
        ) from error

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = network(images.expand(-1, 3, -1, -1).to(device))
        return found

    return Extractor(
        "inception", "Inception V3 features (torch-fidelity's weights), pictures at 299x299 as RGB", forward, batch_size=50
    )


def _inception_file() -> Path:
    name: str = URL_INCEPTION_V3.rpartition("/")[2]
    return Path(get_dir()) / "checkpoints" / name
