"""Generators as graphs, ONNX or TorchScript, which hold weights and computation alike: what they have in common here."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gan.latents import Distribution, Inputs, InputSpec, count, inputs_of_seeds, select
from gan.manifest_parts import Export
from training.errors import ConversionError, ExportError
from training.export.export import TOLERANCE

Range = tuple[float, float]

_MEASURED = 2**22  # values of images that the range is measured on, of at most 64 images and at least 4
_MOST, _FEWEST = 64, 4


@dataclass(frozen=True)
class GraphOptions:
    """What a graph does not say about itself."""

    input: str | None = None  # the latent vector: its name in an ONNX file, its shape without the batch for TorchScript
    output: str | None = None  # the images' name in an ONNX file
    range: Range | None = None  # of the images' values; None: measured
    distribution: Distribution = "normal"
    classes: int | None = None  # labels, where the graph does not say how many


@dataclass(frozen=True)
class Graph:
    """A generator as files of ours, in memory."""

    kind: str  # for people
    input_spec: InputSpec
    channels: int
    size: tuple[int, int]  # height and width
    range: Range
    files: dict[str, bytes]  # by format: "onnx", "torchscript"
    exports: dict[str, Export]  # by format
    batch: int | None  # rows that the files take at once; None: any number
    notes: list[str] = field(default_factory=list)


def measured_range(images: NDArray[np.float32], whole_numbers: bool) -> Range:
    """The range that the values of images must be of: -1 to 1, 0 to 1, or 0 to 255. Raises ConversionError if it is none."""
    low, high = float(images.min()), float(images.max())
    if not np.isfinite(images).all():
        raise ConversionError("it draws values that are not finite: training had diverged; bring an earlier one")
    if whole_numbers or (low >= -1 and 2 < high <= 256):
        return 0.0, 255.0
    if -1.1 <= low < -0.05 and high <= 1.1:
        return -1.0, 1.0
    if low >= -0.05 and high <= 1.05:
        return 0.0, 1.0
    raise ConversionError(f"its values go from {low:.3g} to {high:.3g}: say by --range which of them are black and white")


def probe(spec: InputSpec, draw: Callable[[Inputs], NDArray[np.float32]]) -> tuple[Inputs, NDArray[np.float32]]:
    """Some rows and their images, drawn one by one, float32 [n, channels, height, width] whatever the range.

    Raises ConversionError for a graph that draws something else than images, or another image the second time.
    """
    rows = inputs_of_seeds(range(_MOST), spec)
    first = draw(select(rows, slice(1)))
    if first.ndim != 4 or first.shape[0] != 1 or first.shape[1] not in (1, 3):
        raise ConversionError(f"it draws {list(first.shape)} of one latent vector, where [1, 1 or 3, height, width] is wanted")
    if not np.isfinite(first).all():
        raise ConversionError("it draws values that are not finite: training had diverged; bring an earlier one")
    if not np.array_equal(draw(select(rows, slice(1))), first):
        raise ConversionError(
            "it draws another image of the same latent vector each time: it has noise of its own; save it with constant noise"
        )
    rows = select(rows, slice(max(_FEWEST, min(_MOST, _MEASURED // first.size))))
    return rows, np.concatenate([draw(select(rows, slice(place, place + 1))) for place in range(count(rows))])


def takes_any_number(rows: Inputs, images: NDArray[np.float32], draw: Callable[[Inputs], NDArray[np.float32]]) -> bool:
    """Whether the graph draws the same images of several rows at once; graphs saved with one row often cannot."""
    scale = float(images.max() - images.min()) or 1.0
    for n in (2, 3):
        try:
            found = draw(select(rows, slice(n)))
        except Exception:  # an engine's own error, of whatever class
            return False
        if found.shape != images[:n].shape or np.abs(found - images[:n]).max() > 1e-3 * scale:
            return False
    return True


def notes(options: GraphOptions, limits: Range, latents: int, batch: int | None) -> list[str]:
    """What people should know of what was found out about a graph."""
    found = [] if options.range else [f"its values lie between {limits[0]:g} and {limits[1]:g}, as {latents} images show"]
    if batch is not None:
        found.append(f"it takes {batch} latent vector{'s' if batch > 1 else ''} at a time: one that takes any number is faster")
    return found


def difference(
    found: NDArray[np.float32], expected: NDArray[np.float32], limits: Range, latents: int, tolerance: float = TOLERANCE
) -> Export:
    """How far images are from those of the file that was brought, both cut off at their range, in units of [-1, 1].

    Raises ExportError if that is over the tolerance.
    """
    low, high = limits
    largest = float(np.abs(np.clip(found, low, high) - np.clip(expected, low, high)).max()) * 2 / (high - low)
    if not largest <= tolerance:
        raise ExportError(f"the file that would be served differs from the one brought by {largest:.2g}, more than {tolerance:.0e}")
    return Export(largest_difference=largest, tolerance=tolerance, latents=latents)
