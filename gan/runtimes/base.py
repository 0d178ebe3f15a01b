"""What every runtime offers: rows of a generator's inputs -> uint8 images."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

import numpy as np

from gan.images.encoding import Images
from gan.latents import Inputs, count

RuntimeName = Literal["onnx", "torchscript"]
DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["float32", "float16"]


T = TypeVar("T")


class OnDevice(Protocol):
    """Runs something where, and when, the device can be had alone; gives back what that gives, raises what that raises."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Blocks until the work is done."""
        ...


def at_once(work: Callable[[], T], /) -> T:
    """Run it here and now, as does for programs in which nothing else uses the device."""
    return work()


class Runtime(Protocol):
    """Draws images. The same row gives the same bytes whatever else is in the batch."""

    name: str  # which runtime, on which device
    batch_size: int  # the most rows that can be drawn at once
    in_flight: int  # batches that may be started before the first of them is waited for

    def start(self, rows: Inputs) -> Callable[[], Images]:
        """Begin to draw 1 to `batch_size` rows; what is returned waits for the images, uint8 [n, height, width, channels]."""
        ...


def padded(rows: Inputs, size: int) -> Inputs:
    """As many rows as `size`, the last ones zeros."""
    missing = size - count(rows)
    return {name: np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)]) for name, values in rows.items()}
