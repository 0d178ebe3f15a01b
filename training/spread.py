"""Several samples of one model -> the mean of a number and how far it varies, as rows of a manifest."""

from collections.abc import Sequence

import numpy as np

from gan.artifact import Metric

_PREFIX = "deviation/"  # no measure's own name begins with it


def name_of(measure: str) -> str:
    """The name of the row that has a measure's standard deviation."""
    return _PREFIX + measure


def mean(name: str, values: Sequence[float], protocol: str, real: float | None) -> Metric:
    """Of one value that value; the protocol says of how many samples."""
    return Metric(name=name, value=float(np.mean(values)), protocol=_over("mean", values, protocol), real=real)


def deviation(name: str, values: Sequence[float], protocol: str) -> Metric:
    """The standard deviation of two or more samples: how far one more such sample may be off."""
    protocol = _over("standard deviation", values, protocol)
    return Metric(name=name_of(name), value=float(np.std(values, ddof=1)), protocol=protocol)


def figures(rows: Sequence[Metric]) -> list[tuple[Metric, float | None]]:
    """A manifest's measures, each with its standard deviation if it has one."""
    deviations = {row.name: row.value for row in rows if row.name.startswith(_PREFIX)}
    return [(row, deviations.get(name_of(row.name))) for row in rows if row.name not in deviations]


def text(value: float, deviation: float | None) -> str:
    """'2.192 ± 0.024', or the value alone."""
    return f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"


def _over(what: str, values: Sequence[float], protocol: str) -> str:
    return f"{protocol}; {what} over {len(values)} such sets" if len(values) > 1 else protocol
