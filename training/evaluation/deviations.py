"""Measures of several samples of one model -> their mean and standard deviation, as a row of a manifest."""

from collections.abc import Sequence

import numpy as np

from gan.manifest_parts import Metric, Protocol


def mean_metric(name: str, values: Sequence[float], real: Sequence[float], text: str, fields: Protocol) -> Metric:
    """The mean over samples, with the standard deviation where there are two or more; `text` and `fields` are the protocol.

    `real` has the values of samples of real images, if there are any; they have a deviation where there are as many of them.
    """
    several = len(values) > 1
    return Metric(
        name=name,
        value=float(np.mean(values)),
        protocol=f"{text}; mean of {len(values)} sets of pictures" if several else text,
        real=float(np.mean(real)) if real else None,
        deviation=_deviation(values) if several else None,
        real_deviation=_deviation(real) if several and len(real) == len(values) else None,
        measured=fields.model_copy(update={"sets": len(values)}),
    )


def format_value(value: float | None, deviation: float | None) -> str:
    """'2.192 ± 0.024', the value alone without a deviation, and '' without a value."""
    if value is None:
        return ""
    return f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"


def format_measure(measure: Metric) -> tuple[str, str]:
    """The values of generated and of real images, for people."""
    return format_value(measure.value, measure.deviation), format_value(measure.real, measure.real_deviation)


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))
