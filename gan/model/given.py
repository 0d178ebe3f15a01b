"""What a program gives of a generator's inputs, checked against the model."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.class_names import ClassIndex
from gan.errors import GanServiceError
from gan.latents import Inputs, code_dtype
from gan.manifest import Manifest

Label = str | int  # a class by its name or its index


class UsageError(GanServiceError, ValueError):
    """Something was asked of a model that it does not have, or that does not fit together."""


def given_inputs(manifest: Manifest, n: int, label: Label | Sequence[Label] | None, codes: Mapping[str, Any] | None) -> Inputs:
    """The labels and codes that are given, [n], from one for all or one for each. Raises UsageError."""
    given: Inputs = {}
    if label is not None:
        labels: list[Any] = [label] * n
        if isinstance(label, Sequence | np.ndarray) and not isinstance(label, str):
            labels = list(label)
        given["label"] = _each("label", _classes(labels, manifest.classes), n, np.int64)
    of_model = {code.name: code for code in manifest.codes}
    for name, value in (codes or {}).items():
        if name not in of_model:
            raise UsageError(f"there is no code {name}: there is {', '.join(of_model) or 'none'}")
        values = [value] * n if np.ndim(value) == 0 else list(value)
        given[name] = _each(name, values, n, code_dtype(of_model[name]))
    return given


def with_latents(manifest: Manifest, noise: NDArray[np.float32], given: Inputs) -> Inputs:
    """Latent vectors, [n, z_dim], with labels and codes, which must all be given. Raises UsageError."""
    z = np.asarray(noise, np.float32)
    if not np.isfinite(z).all():
        raise UsageError("noise has values that are no numbers")
    if z.ndim != 2 or z.shape[1] != manifest.z_dim:
        raise UsageError(f"noise of this model is [n, {manifest.z_dim}], not {list(z.shape)}")
    missing = [name for name in manifest.input_spec.names[1:] if name not in given]
    if missing:
        raise UsageError(f"{missing[0]} must be given with noise, which has no seed to draw it from")
    return {"z": z, **given}


def _each(name: str, values: list[Any], n: int, dtype: Any) -> NDArray[Any]:
    if len(values) != n:
        raise UsageError(f"{name} has {len(values)} items for {n} images: give one for all, or one for each")
    return np.array(values, dtype)


def _classes(labels: list[Any], classes: list[str] | None) -> list[int]:
    if not labels:
        return []
    if classes is None:
        raise UsageError("this model has no labels: leave label out")
    by_name = ClassIndex(classes)
    return [_class(label, classes, by_name) for label in labels]


def _class(label: Label, classes: list[str], by_name: ClassIndex) -> int:
    if isinstance(label, str) and (found := by_name.find(label)) is not None:
        return found
    try:
        index = operator.index(label)  # type: ignore[arg-type]
    except TypeError:  # neither a class nor a whole number
        index = -1
    if not 0 <= index < len(classes):
        raise UsageError(f"there is no class {label!r}: there is {', '.join(map(repr, classes))[:1000]}")
    return index


def check_truncation(manifest: Manifest, truncation: float) -> None:
    """Raises UsageError for one that the model does not take."""
    if manifest.truncates == "z" and manifest.latent != "normal":
        raise UsageError("truncation is for normal latent vectors, and those of this model are uniform: leave it out")
    if not 0 <= truncation <= 1 or (truncation == 0 and manifest.truncates == "z"):
        least = "over 0, and at most 1" if manifest.truncates == "z" else "from 0 to 1"
        raise UsageError(f"truncation must be {least}, not {truncation}")
