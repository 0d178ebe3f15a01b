"""How a transposed convolution with stride 2 becomes ordinary ones: the same numbers, with engines' fast convolutions.

It writes output o = 2 i - pad + k for each input i and tap k, so an output of one parity only ever sees the taps of one parity. The
outputs of each of the four parities of row and column are therefore an ordinary convolution with a quarter of the taps, and the
four results are interleaved (Shi et al. 2016, arXiv 1609.07009). No product is wasted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class _Taps:
    """The convolution along one axis for the outputs of one parity."""

    start: int  # first tap of the kernel, of which every second one is used
    before: int  # zeros added before the input
    after: int  # and after it


@dataclass(frozen=True)
class Phase:
    """The convolution, with stride 1, for the outputs of one parity of row and of column."""

    kernel: NDArray[np.float32]  # [outputs, inputs, height, width], for a convolution that correlates, as those of libraries do
    pads_begin: tuple[int, int]  # zeros added before the rows and columns of the input
    pads_end: tuple[int, int]  # and after them


def phases_of(
    kernel: NDArray[
        np.float32
    ],  # [inputs, outputs, height, width] of the transposed convolution, of one group and without dilations
    pads: Sequence[int],  # before rows and columns
    inputs: Sequence[int],  # height and width of its input
    outputs: Sequence[int],  # and of its output
) -> list[Phase] | None:
    """The phases of even rows with even columns, even with odd, odd with even, and odd with odd.

    None if zeros would have to be taken away from the input. Of odd sizes of outputs, the last row or column that the phases give
    is to be cut off.
    """
    rows, columns = (
        [_taps(parity, pads[axis], kernel.shape[2 + axis], inputs[axis], outputs[axis]) for parity in (0, 1)] for axis in (0, 1)
    )
    found = []
    for row, column in product(rows, columns):
        if row is None or column is None:
            return None
        taps = kernel[:, :, row.start :: 2, column.start :: 2][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        found.append(Phase(np.ascontiguousarray(taps), (row.before, column.before), (row.after, column.after)))
    return found


def _taps(parity: int, pad: int, taps: int, inputs: int, outputs: int) -> _Taps | None:
    """The taps and the zeros around the input for outputs 2 q + parity; None if zeros would have to be taken away."""
    start = (parity + pad) % 2
    count = len(range(start, taps, 2))
    if count == 0:
        return None
    # Output q sees input q + (parity + pad - start) / 2 - t by its t-th tap, start + 2 t.
    before = count - 1 - (parity + pad - start) // 2
    after = (outputs + 1) // 2 - inputs - before + count - 1
    return _Taps(start, before, after) if before >= 0 and after >= 0 else None
