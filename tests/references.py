"""Which objects live on when nobody needs them any more."""

import gc
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType, ModuleType
from typing import Any

_PACKAGES = {"gan", "serving", "onnxruntime", "openvino", "torch"}


def parts_of(whole: object, *others: object) -> list[weakref.ref[Any]]:
    """The objects of these packages that can be reached from one, itself included, and not from the others."""
    besides = {id(found) for found in _reachable(others)}
    parts = []
    for found in _reachable([whole]):
        if type(found).__module__.partition(".")[0] in _PACKAGES and id(found) not in besides:
            with suppress(TypeError):  # not every type has weak references
                parts.append(weakref.ref(found))
    return parts


def alive(parts: Iterable[weakref.ref[Any]]) -> list[str]:
    """The names of the types of those that live."""
    return [type(found).__name__ for part in parts if (found := part()) is not None]


def lasting(parts: Iterable[weakref.ref[Any]], seconds: float = 5) -> list[str]:
    """The same, after the moment in which a thread may still be on its way from its last work."""
    deadline = time.monotonic() + seconds
    while (found := alive(parts)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Objects are freed only once nothing refers to them, and so not where they refer to each other."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _reachable(roots: Iterable[object]) -> list[object]:
    found: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) in found or isinstance(one, type | ModuleType):
            continue
        found[id(one)] = one
        # Not by way of a function to all the names of its module
        waiting += (one.__closure__ or ()) if isinstance(one, FunctionType) else gc.get_referents(one)
    return list(found.values())
