"""Random subsets that are the same each time."""

import numpy as np
from numpy.typing import NDArray


def fixed_subset(n: int, size: int, *, seed: int, part: int = 0) -> NDArray[np.int64]:
    """Indices of `size` of n items in ascending order, drawn from the seed; int64 [size], or fewer where fewer are left.

    Parts 0, 1, 2 … of one size and seed have no index in common.
    """
    return np.sort(np.random.RandomState(seed).permutation(n)[part * size : (part + 1) * size])
