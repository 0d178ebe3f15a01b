"""What a pickle holds beside plain values: records of objects whose classes are not ours, and network modules."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import ConversionError


@dataclass(eq=False)
class Record:
    """An object of a class that is not ours: its name, the arguments that it was made from, and its state."""

    name: str  # module and class, as in the pickle
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)  # what was appended to it, or pairs that were set in it

    # What pickle does to objects; nothing is done with it but kept.

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """Keep an item."""
        self.items.append(item)

    def extend(self, items: Any) -> None:
        """Keep some items."""
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))


@dataclass(eq=False)
class Module:
    """A network module: the name of its class, its attributes, parameters, buffers and inner modules."""

    name: str
    attributes: dict[str, Any]

    @classmethod
    def of(cls, name: str, state: Any) -> "Module":
        """From the `__dict__` of a torch module. Raises ConversionError if it is none."""
        if not isinstance(state, dict):
            raise ConversionError(f"the module {name} has no attributes: it is damaged, or of another kind")
        return cls(name, {str(key): value for key, value in state.items()})

    def attribute(self, name: str, default: Any = None) -> Any:
        """A plain attribute."""
        return self.attributes.get(name, default)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All parameters and buffers, by their names with dots between modules."""
        found: dict[str, NDArray[Any]] = {}
        for kind in ("_parameters", "_buffers"):
            for name, value in dict(self.attributes.get(kind) or {}).items():
                if isinstance(value, np.ndarray):
                    found[str(name)] = value
        for name, inner in dict(self.attributes.get("_modules") or {}).items():
            if isinstance(inner, Module):
                found |= {f"{name}.{key}": value for key, value in inner.tensors().items()}
        return found

    def module(self, path: str) -> "Module | None":
        """An inner module by its name with dots; None if there is none."""
        found: Any = self
        for name in path.split("."):
            found = dict(found.attributes.get("_modules") or {}).get(name) if isinstance(found, Module) else None
        return found if isinstance(found, Module) else None
