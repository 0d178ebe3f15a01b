"""Measures of several samples of one model -> their mean and standard deviation, as rows of a manifest."""

from collections.abc import Sequence

import numpy as np

from gan.manifest import Metric

_PREFIX = "deviation/"  # no measure's own name begins with it


def deviation_name(measure: str) -> str:
    """The name of the row for the standard deviation of a measure."""
    return _PREFIX + measure


def mean_metric(name: str, values: Sequence[float], protocol: str, real: Sequence[float]) -> Metric:
    """The mean over samples; the protocol says how many. `real` has the values of samples of real images, if there are any."""
    yardstick = float(np.mean(real)) if real else None
    return Metric(name=name, value=float(np.mean(values)), protocol=_with_count("mean", values, protocol), real=yardstick)


def deviation_metric(name: str, values: Sequence[float], protocol: str, real: Sequence[float]) -> Metric:
    """The standard deviation over two or more samples; for real images too, where there are as many samples of them."""
    protocol, yardstick = (
        _with_count("standard deviation", values, protocol),
        _deviation(real) if len(real) == len(values) else None,
    )
    return Metric(name=deviation_name(name), value=_deviation(values), protocol=protocol, real=yardstick)


def with_deviations(rows: Sequence[Metric]) -> list[tuple[Metric, Metric | None]]:
    """The measures of a manifest, each with its standard deviation if it has one."""
    deviations = {row.name: row for row in rows if row.name.startswith(_PREFIX)}
    return [(row, deviations.get(deviation_name(row.name))) for row in rows if row.name not in deviations]


def format_value(value: float | None, deviation: float | None) -> str:
    """'2.192 ± 0.024', the value alone without a deviation, and '' without a value."""
    if value is None:
        return ""
    return f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"


def format_measure(measure: Metric, deviation: Metric | None) -> tuple[str, str]:
    """The values of generated and of real images, for people."""
    if deviation is None:
        return format_value(measure.value, None), format_value(measure.real, None)
    return format_value(measure.value, deviation.value), format_value(measure.real, deviation.real)


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


def _with_count(what: str, values: Sequence[float], protocol: str) -> str:
    return f"{protocol}; {what} of {len(values)} sets of pictures" if len(values) > 1 else protocol
