"""Which objects live on when nobody needs them any more."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FunctionType, ModuleType

_PACKAGES = {"gan", "serving", "onnxruntime", "openvino", "torch"}


def parts_of(whole: object, *others: object) -> list[weakref.ref[object]]:
    """The objects of these packages that can be reached from one, itself included, and not from the others."""
    besides = {id(found) for found in _reachable(others)}
    parts = []
    for found in _reachable([whole]):
        if type(found).__module__.partition(".")[0] in _PACKAGES and id(found) not in besides:
            with suppress(TypeError):  # not every type has weak references
                parts.append(weakref.ref(found))
    return parts


def alive(parts: list[weakref.ref[object]]) -> list[str]:
    """The names of the types of those that live."""
    return [type(found).__name__ for part in parts if (found := part()) is not None]


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Objects are freed only once nothing refers to them, and so not where they refer to each other."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _reachable(roots: object) -> list[object]:
    found: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) in found or isinstance(one, type | ModuleType):
            continue
        found[id(one)] = one
        waiting += [] if isinstance(one, FunctionType) else gc.get_referents(one)
        if isinstance(one, FunctionType):  # and not its module's names
            waiting += one.__closure__ or ()
    return list(found.values())
