"""Curves of a run's statistics: thinned, and laid out where their points lie in SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.tracking.charts import Chart

MOST_POINTS = 600  # of a curve: about one for each pixel of its width
_LARGEST = 1e300  # beyond it the arithmetic of ticks and means overflows
SIDE = 1000  # of a plot in SVG units; the page stretches it to the width there is


@dataclass(frozen=True)
class Curve:
    """One statistic over the images seen, float64 [n] each, in the order of the images."""

    images: NDArray[np.float64]
    values: NDArray[np.float64]


def curves(rows: Sequence[dict[str, Any]]) -> dict[str, Curve]:
    """The thinned curve of every key that has a finite number in some row; other values are ignored."""
    points: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        seen = row["pictures"]
        for key, value in row.items():
            # `type`, since a bool is an int too; the comparison is false for NaN, and takes an integer of any length.
            if type(value) in (int, float) and -_LARGEST < value < _LARGEST:
                if key not in points:
                    points[key] = ([], [])
                images, values = points[key]
                images.append(seen)
                values.append(value)
    return {
        key: thin(Curve(np.array(images, np.float64), np.array(values, np.float64))) for key, (images, values) in points.items()
    }


def thin(curve: Curve) -> Curve:
    """Thin a curve to at most MOST_POINTS points, each the mean of the same number of consecutive points, give or take one."""
    count = len(curve.values)
    if count <= MOST_POINTS:
        return curve
    starts = np.arange(MOST_POINTS) * count // MOST_POINTS
    sizes = np.diff(starts, append=count)
    return Curve(np.add.reduceat(curve.images, starts) / sizes, np.add.reduceat(curve.values, starts) / sizes)


@dataclass(frozen=True)
class Plot:
    """The layout of a chart, for the template: positions of labels in percent of the plot, paths in SVG units."""

    chart: Chart
    images: tuple[float, float]  # range of the horizontal axis
    values: tuple[float, float]  # range of the vertical axis
    is_cut: bool  # whether values lie beyond the vertical axis
    rows: list[tuple[float, str]]  # percent from the top, label
    columns: list[tuple[float, str]]  # percent from the left, label
    grid: str  # path
    level: float | None  # SVG units from the top, of the chart's line
    curves: list[tuple[str, str, str]]  # key, path, the last value for people

    @property
    def line_text(self) -> str:
        """The value of the chart's line."""
        return number_text(self.chart.line[0]) if self.chart.line else ""


def plot(chart: Chart, curves: dict[str, Curve], images: tuple[float, float]) -> Plot:
    """Lay out those keys of a chart that `curves` has; `images` is the range of the horizontal axis.

    The template stretches the SVG and writes the text around it in HTML: so a chart fits any width, on paper too, without a script.
    """
    shown = {key: curves[key] for key in chart.labels if key in curves}
    values = np.concatenate([curve.values for curve in shown.values()])
    low, high, cut = _vertical_range(values, [*chart.shown, *([chart.line[0]] if chart.line else [])])
    left, right = images if images[0] < images[1] else (images[0] - 1, images[0] + 1)

    def x(seen: float) -> float:
        return (seen - left) / (right - left)

    def y(value: float) -> float:
        return (high - value) / (high - low)

    rows, columns = ticks(low, high), ticks(left, right)
    grid = [f"M0 {SIDE * y(tick):.1f}H{SIDE}" for tick in rows] + [f"M{SIDE * x(tick):.1f} 0V{SIDE}" for tick in columns]
    return Plot(
        chart,
        (left, right),
        (low, high),
        cut,
        rows=[(100 * y(tick), number_text(tick)) for tick in rows],
        columns=[(100 * x(tick), count_text(tick)) for tick in columns],
        grid="".join(grid),
        level=SIDE * y(chart.line[0]) if chart.line else None,
        curves=[(key, _path(curve, x, y), _last_value(chart, curve)) for key, curve in shown.items()],
    )


def _last_value(chart: Chart, curve: Curve) -> str:
    last = float(curve.values[-1])
    if chart.line and chart.shows_distance:
        return f"{number_text(last)} ({number_text(last - chart.line[0], sign=True)} from {chart.line[1]})"
    return number_text(last)


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, roughly `about` of them."""
    step: float = 10.0 ** math.floor(math.log10((high - low) / about))
    step *= next((factor for factor in (1, 2, 5) if step * factor * about >= high - low), 10)
    return [step * index for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def number_text(value: float, sign: bool = False) -> str:
    """Four digits, such as 0.6931 or 2.5e+06; with a minus sign, not a hyphen."""
    text = f"{value:{'+' if sign else ''}.4g}" if abs(value) > 1e-12 else "0"
    return text.replace("-", "\N{MINUS SIGN}")


def count_text(value: float) -> str:
    """A count for an axis: 500, 20k, 1.5M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{name}"
    return number_text(value)


def _vertical_range(values: NDArray[np.float64], covered: list[float]) -> tuple[float, float, bool]:
    """The range of the axis, with a margin, and whether outliers lie beyond it: a spike must not flatten all other values."""
    low, high, cut = float(values.min()), float(values.max()), False
    if len(values) >= 50:
        first, last = (float(bound) for bound in np.quantile(values, (0.01, 0.99)))
        if high - low > 5 * (last - first) > 0:
            margin = (last - first) / 2
            low, high, cut = max(low, first - margin), min(high, last + margin), True
    low, high = min([low, *covered]), max([high, *covered])
    # A constant curve gets a range too, wide enough to show its last digits.
    margin = max((high - low) * 0.04, abs(high) * 1e-6, 1e-9)
    return low - margin, high + margin, cut


def _path(curve: Curve, x: Any, y: Any) -> str:
    across, down = SIDE * x(curve.images), SIDE * np.clip(y(curve.values), -1, 2)
    if len(across) == 1:  # a path of no length draws nothing but its round ends
        return f"M{across[0]:.1f} {down[0]:.1f}h0"
    return "M" + "L".join(f"{a:.1f} {d:.1f}" for a, d in zip(across.tolist(), down.tolist(), strict=True))
