"""Several samples of one model -> the mean of a number and how far it varies, as rows of a manifest."""

from collections.abc import Sequence

import numpy as np

from gan.manifest import Metric

_PREFIX = "deviation/"  # no measure's own name begins with it


def name_of(measure: str) -> str:
    """The name of the row that has a measure's standard deviation."""
    return _PREFIX + measure


def mean(name: str, values: Sequence[float], protocol: str, real: Sequence[float]) -> Metric:
    """Of one value that value; the protocol says of how many samples. `real` are what samples of real images get, if any."""
    yardstick = float(np.mean(real)) if real else None
    return Metric(name=name, value=float(np.mean(values)), protocol=_of("mean", values, protocol), real=yardstick)


def deviation(name: str, values: Sequence[float], protocol: str, real: Sequence[float]) -> Metric:
    """The standard deviation of two or more samples, one of another; of the real ones too, where there are as many."""
    protocol, yardstick = _of("standard deviation", values, protocol), _deviation(real) if len(real) == len(values) else None
    return Metric(name=name_of(name), value=_deviation(values), protocol=protocol, real=yardstick)


def figures(rows: Sequence[Metric]) -> list[tuple[Metric, Metric | None]]:
    """A manifest's measures, each with its standard deviation if it has one."""
    deviations = {row.name: row for row in rows if row.name.startswith(_PREFIX)}
    return [(row, deviations.get(name_of(row.name))) for row in rows if row.name not in deviations]


def text(value: float | None, deviation: float | None) -> str:
    """'2.192 ± 0.024', or the value alone, or nothing where there is none."""
    if value is None:
        return ""
    return f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"


def texts(measure: Metric, deviation: Metric | None) -> tuple[str, str]:
    """What generated and what real images get, for people."""
    if deviation is None:
        return text(measure.value, None), text(measure.real, None)
    return text(measure.value, deviation.value), text(measure.real, deviation.real)


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


def _of(what: str, values: Sequence[float], protocol: str) -> str:
    return f"{protocol}; {what} of {len(values)} sets of pictures" if len(values) > 1 else protocol
