"""How far pictures lie from real ones in features, in units of these features' own spread: one layer of a score."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

_SIDE = 8  # points on the shorter side of a feature map at most
_COMPONENTS = 128
_EXACTLY = 2048  # features of which all components are worked out; of more, the largest alone, in less memory and time
_MORE, _ITERATIONS = 64, 8  # components and passes more than are asked for, with which the largest are found
# What is added to the components' variances, of their mean: small directions count more than they do in plain distances, but are
# not divided by nothing. Chosen, with all other constants of the score, on digits, avatars and emoji; see docs/applications.md.
_SOFTNESS = 0.1
_NEIGHBOURS = 2


def pooled(maps: Tensor) -> Tensor:
    """A layer's maps, float [n, channels, rows, columns], or vectors [n, features], as vectors.

    Maps are averaged over squares: of 2x2 unless they are small, and of more until the shorter side has at most 8 points. So a
    layer of large images has no more features than one of small images.
    """
    if maps.ndim == 2:
        return maps
    rows, columns = maps.shape[2:]
    shorter, by = min(rows, columns), 1 if min(rows, columns) < _SIDE else 2
    while shorter // by > _SIDE:
        by *= 2
    return adaptive_avg_pool2d(maps, (rows // by, columns // by)).flatten(1) if by > 1 else maps.flatten(1)


@dataclass(frozen=True)
class Whitening:
    """Principal components of features, each divided by its soft standard deviation; what they leave is one number more."""

    mean: Tensor  # [features]
    basis: Tensor  # [features, components]
    scale: Tensor  # [components]
    rest: Tensor  # scalar, for the length of what the components leave

    @classmethod
    def of(cls, features: Tensor) -> "Whitening":
        """Fit to float [n, features]."""
        mean = features.mean(0)
        kept = min(_COMPONENTS, features.shape[1], max(len(features) - 1, 1))
        find = _components if features.shape[1] <= _EXACTLY else _largest_components
        variances, vectors, total = find(features - mean, kept)
        soft = (_SOFTNESS * total / features.shape[1]).clamp_min(1e-12)
        return cls(mean, vectors.float(), (variances + soft).rsqrt().float(), soft.rsqrt().float())


def _components(centred: Tensor, kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components of float [n, features] of mean 0: variances [kept], vectors [features, kept], all variances' sum."""
    centred = centred.double()
    covariance = centred.T @ centred / len(centred)
    variances, vectors = torch.linalg.eigh(covariance)  # ascending
    return variances.flip(0)[:kept].clamp_min(0), vectors.flip(1)[:, :kept], covariance.trace()


def _largest_components(centred: Tensor, kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `_components`, by iterations on a random subspace (Halko et al. 2011, doi 10.1137/090771806, algorithm 4.4).

    A covariance of 16,384 features alone would take 2 GB, and its decomposition some times that.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, lengths, vectors = torch.svd_lowrank(centred, min(kept + _MORE, *centred.shape), niter=_ITERATIONS)
    variances = lengths[:kept].double().square() / len(centred)
    return variances, vectors[:, :kept], centred.square().mean(0).sum().double()


class Neighbours(nn.Module):
    """Mean Euclidean distance of softly whitened features to the nearest of stored ones."""

    mean: Tensor
    basis: Tensor
    scale: Tensor
    rest: Tensor
    stored: Tensor

    def __init__(self, real: Tensor) -> None:
        """`real` are features of real pictures, float32 [n, features], which are stored as [n, components + 1]."""
        super().__init__()
        whitening = Whitening.of(real)
        for name in ("mean", "basis", "scale", "rest"):
            self.register_buffer(name, getattr(whitening, name))
        self.register_buffer("stored", torch.cat([self.whitened(some) for some in torch.split(real, 1024)]))

    def whitened(self, features: Tensor) -> Tensor:
        """float [n, features] -> float [n, components + 1]."""
        centred = features - self.mean
        components = centred @ self.basis
        rest = (centred.square().sum(1, keepdim=True) - components.square().sum(1, keepdim=True)).clamp_min(1e-12).sqrt()
        return torch.cat([components * self.scale, rest * self.rest], 1)

    def forward(self, features: Tensor) -> Tensor:
        """float [n, features] -> float [n]."""
        found, stored = self.whitened(features), self.stored
        squares = found.square().sum(1, keepdim=True) + stored.square().sum(1) - 2 * found @ stored.T
        nearest = squares.topk(min(_NEIGHBOURS, len(stored)), dim=1, largest=False).values
        return nearest.clamp_min(0).sqrt().mean(1)
