"""How far pictures lie from real ones in features, in units of these features' own spread: one layer of a score."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

_SIDE = 8  # points on a side of a feature map at most, and half of it, at least 4, where a map has fewer
_COMPONENTS = 128
# What is added to the components' variances, of their mean: small directions count more than they do in plain distances, but are
# not divided by nothing. Chosen, with all other constants of the score, on digits, avatars and emoji; see docs/applications.md.
_SOFTNESS = 0.1
_NEIGHBOURS = 2


def pooled(maps: Tensor) -> Tensor:
    """A layer's maps, float [n, channels, rows, columns], or vectors [n, features], as vectors: halved unless they are small."""
    if maps.ndim == 2:
        return maps
    rows, columns = maps.shape[2:]
    return adaptive_avg_pool2d(maps, (rows // 2, columns // 2)).flatten(1) if min(rows, columns) >= _SIDE else maps.flatten(1)


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
        centred = (features - mean).double()
        covariance = centred.T @ centred / len(centred)
        variances, vectors = torch.linalg.eigh(covariance)  # ascending
        kept = min(_COMPONENTS, len(variances), max(len(features) - 1, 1))
        variances, vectors = variances.flip(0)[:kept].clamp_min(0), vectors.flip(1)[:, :kept]
        soft = (_SOFTNESS * covariance.diagonal().mean()).clamp_min(1e-12)
        return cls(mean, vectors.float(), (variances + soft).rsqrt().float(), soft.rsqrt().float())


class Neighbours(nn.Module):
    """Mean Euclidean distance of softly whitened features to the nearest of stored ones."""

    mean: Tensor
    basis: Tensor
    scale: Tensor
    rest: Tensor
    stored: Tensor

    def __init__(self, real: Tensor) -> None:
        """`real` are features of real pictures, float32 [n, features], which are stored as [n, components + 1] in float16."""
        super().__init__()
        whitening = Whitening.of(real)
        for name in ("mean", "basis", "scale", "rest"):
            self.register_buffer(name, getattr(whitening, name))
        self.register_buffer("stored", torch.cat([self.whitened(some) for some in torch.split(real, 1024)]).half())

    def whitened(self, features: Tensor) -> Tensor:
        """float [n, features] -> float [n, components + 1]."""
        centred = features - self.mean
        components = centred @ self.basis
        rest = (centred.square().sum(1, keepdim=True) - components.square().sum(1, keepdim=True)).clamp_min(1e-12).sqrt()
        return torch.cat([components * self.scale, rest * self.rest], 1)

    def forward(self, features: Tensor) -> Tensor:
        """float [n, features] -> float [n]."""
        found, stored = self.whitened(features), self.stored.float()
        squares = found.square().sum(1, keepdim=True) + stored.square().sum(1) - 2 * found @ stored.T
        nearest = squares.topk(min(_NEIGHBOURS, len(stored)), dim=1, largest=False).values
        return nearest.clamp_min(0).sqrt().mean(1)
