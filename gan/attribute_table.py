"""Attributes of images, and how often each of their values occurs: what a generator trained with them shows as often.

The first components of the latent vector choose them, one component for each attribute, by the quantiles of its distribution, so
that what is drawn from a seed stays a latent vector and a label.
"""

from collections.abc import Callable
from math import inf
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gan.latents import Distribution

_QUANTILES: dict[Distribution, Callable[[float], float]] = {
    "normal": NormalDist().inv_cdf,
    "uniform": lambda share: 2 * share - 1,
}


class AttributeTable(BaseModel):
    """The attributes, and the shares of their values in each class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: list[str] = Field(min_length=1)  # names, in the order of the components that choose them
    # Of each class (one for a model without labels) and each column: the values and their shares, from the lowest quantile on
    shares: list[list[dict[str, float]]] = Field(min_length=1)
    embedding: int = Field(128, gt=0)  # components of the vector that stands for a value

    @model_validator(mode="after")
    def _is_whole(self) -> "AttributeTable":
        if any(len(of_class) != len(self.columns) or not all(of_class) for of_class in self.shares):
            raise ValueError("attributes: every class has shares of every column, of one value or more")
        return self

    @property
    def counts(self) -> NDArray[np.int64]:
        """[classes, columns]: how many values there are."""
        return np.array([[len(of_column) for of_column in of_class] for of_class in self.shares], np.int64)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """[classes, columns]: the index of the first value, where those of all classes and columns stand one after another."""
        ends = self.counts.cumsum()
        return (ends - self.counts.ravel()).reshape(self.counts.shape)

    @property
    def size(self) -> int:
        """The number of values of all classes and columns together."""
        return int(self.counts.sum())

    def thresholds(self, distribution: Distribution) -> NDArray[np.float32]:
        """[classes, columns, most values - 1]: what a component must exceed to choose the next value; inf where there is none."""
        quantile = _QUANTILES[distribution]
        found = np.full((*self.counts.shape, int(self.counts.max()) - 1), inf, np.float32)
        for label, of_class in enumerate(self.shares):
            for column, of_column in enumerate(of_class):
                shares = np.array(list(of_column.values()))
                ends = (shares / shares.sum()).cumsum()[:-1]
                found[label, column, : len(ends)] = [quantile(float(end)) for end in ends]
        return found

    def midpoints(self, distribution: Distribution) -> NDArray[np.float32]:
        """[size]: the component in the middle of those that choose each value, those of all classes and columns after another."""
        found = []
        for of_class in self.shares:
            for of_column in of_class:
                shares = np.array(list(of_column.values()))
                shares = shares / shares.sum()
                found += [_QUANTILES[distribution](float(middle)) for middle in shares.cumsum() - shares / 2]
        return np.array(found, np.float32)


def chosen(z: NDArray[np.float32], labels: NDArray[np.int64] | None, thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
    """The places of the values that latent vectors, [n, z_dim], choose: [n, columns], each from 0 in its class and column."""
    of_rows = thresholds[np.zeros(len(z), np.int64) if labels is None else labels]
    ranks: NDArray[np.int64] = (z[:, : of_rows.shape[1], None] > of_rows).sum(-1)
    return ranks
