"""Twice and half the rows and columns of images by the filter [1, 3, 3, 1], as R3GAN has it (arXiv 2501.05441, section 3)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Border = Literal["edge", "zeros"]


class Upsample(nn.Module):
    """Twice the rows and columns, by bilinear interpolation, after a pointwise convolution where the channels change.

    The weights are those of the paper's filter, [1, 3, 3, 1] / 4 on each axis. Beyond the border the outermost values go on, where
    the paper has zeros, which take a quarter from the outermost results.
    """

    filter: Tensor

    def __init__(self, before: int, after: int, border: Border = "edge") -> None:
        super().__init__()
        self.change = _change(before, after)
        self._zeros, self._after = border == "zeros", after
        if self._zeros:
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
            self.register_buffer("filter", torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """float [n, before, rows, columns] -> float [n, after, 2 rows, 2 columns]."""
        changed = self.change(input)
        if self._zeros:
            filters = self.filter.expand(self._after, -1, -1, -1)
            return functional.conv_transpose2d(changed, filters, stride=2, padding=1, groups=self._after)
        return functional.interpolate(changed, scale_factor=2.0, mode="bilinear", align_corners=False)


class Downsample(nn.Module):
    """Half the rows and columns, by the paper's filter, [1, 3, 3, 1] / 8 on each axis with zeros beyond the border.

    A pointwise convolution follows where the channels change.
    """

    filter: Tensor

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.change = _change(before, after)
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("filter", torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """float [n, before, rows, columns] -> float [n, after, rows / 2, columns / 2]."""
        channels = input.shape[1]
        filters = self.filter.expand(channels, -1, -1, -1)
        return self.change(functional.conv2d(input, filters, stride=2, padding=1, groups=channels))  # type: ignore[no-any-return]


def _change(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else nn.Conv2d(before, after, kernel_size=1, bias=False)
