"""Pickles of networks, read without running any of the code that they name.

Loading a pickle as its authors do imports modules and runs source text that lies in it. Here every name that a pickle asks for is
looked up in a closed table of functions of this module, and any other becomes an inert record that keeps its arguments.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from training.convert.files.records import Module, Record
from training.errors import ConversionError


def load(file: BinaryIO, about: str, storage: Callable[[str], bytes] | None = None) -> Any:
    """The object in a pickle; `about` names the file in errors, and `storage` gives the bytes of a storage beside the pickle.

    Raises ConversionError for what is no pickle, or a hostile one.
    """
    with _named(about):
        return _as_modules(_Reader(file, storage).load(), set(), {})


def names_in(file: BinaryIO, about: str) -> list[str]:
    """The names that a pickle asks for, in their order, each an inert record here. Raises ConversionError for what is no pickle."""
    reader = _Lister(file)
    with _named(about):
        reader.load()
    return list(reader.names)


@contextmanager
def _named(about: str) -> Iterator[None]:
    """Raise what a damaged or hostile stream makes Python's reader raise as ConversionError."""
    try:
        yield
    except ConversionError as error:
        raise ConversionError(f"{about}: {error}") from error
    except RecursionError as error:
        raise ConversionError(f"{about}: it is nested too deeply to be a network") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConversionError(f"{about}: it cannot be read as a pickle ({reason}); fetch it again") from error


class _Reader(pickle._Unpickler):  # in Python: its memo is a dict, which no index can make huge
    """Reads a pickle by the closed table below."""

    def __init__(self, file: BinaryIO, storage: Callable[[str], bytes] | None = None) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name: one of our functions, or a maker of inert records."""
        full = f"{module}.{name}"
        return _TABLE.get(full) or _maker(full)

    def persistent_load(self, pid: Any) -> Any:
        """A storage that lies beside the pickle in a torch file, as a NumPy array of one dimension."""
        if self._storage is None:
            raise ConversionError("it refers to data outside of itself, as a part of a torch file that was taken out of it does")
        match pid:
            case ("storage", type() as kind, str() as key, _, int() as count) if key.isdecimal():
                dtype = _STORAGES.get(kind().name)
            case _:
                dtype = None
        if dtype is None:
            return None  # of a kind that no generator here has: its tensors become records
        content = self._storage(key)
        if dtype == "bfloat16":
            values = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(content, dtype)
        if len(values) < count:
            raise ConversionError(f"the storage {key} is cut off")
        return values


class _Lister(_Reader):
    """Notes the names that a pickle asks for; every one becomes an inert record."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.names: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Note a name."""
        self.names[f"{module}.{name}"] = None
        return _maker(f"{module}.{name}")

    def persistent_load(self, _: Any) -> Any:
        """Nothing is read of the storages that lie beside the pickle."""
        return None


def _maker(name: str) -> Any:
    """A class whose objects are inert records of this name, however a pickle makes them."""

    class Inert(Record):
        def __init__(self, *arguments: Any, **_: Any) -> None:
            super().__init__(name, arguments)

        def __new__(cls, *_: Any, **__: Any) -> "Inert":
            made = object.__new__(cls)
            Record.__init__(made, name)
            return made

    return Inert


def _rebuild_tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
    """A tensor that lies in a storage, as a NumPy array of its own."""
    if storage is None:
        return Record("a tensor of an unknown kind")
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise ConversionError("a tensor has no storage")
    sizes, strides = [int(side) for side in size], [int(step) for step in stride]
    if len(sizes) != len(strides) or min([int(offset), *sizes, *strides], default=0) < 0:
        raise ConversionError("a tensor has a size and strides that do not fit each other")
    count = int(np.prod(sizes, dtype=object)) if sizes else 1
    last = int(offset) + sum((side - 1) * step for side, step in zip(sizes, strides, strict=True))
    expanded = 0 in strides and count <= _MOST_EXPANDED
    if (count > len(storage) and not expanded) or (count and last >= len(storage)):
        raise ConversionError(f"a tensor of {count:,} numbers is said to lie in a storage of {len(storage):,}")
    item = storage.itemsize
    view = np.lib.stride_tricks.as_strided(storage[int(offset) :], sizes, [step * item for step in strides])
    return view.copy() if expanded else view


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _load_storage(content: bytes) -> NDArray[Any]:
    """A storage, which is a torch file inside the pickle."""
    found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if isinstance(found, torch.storage.TypedStorage):
        tensor = torch.empty(0, dtype=found.dtype).set_(found)
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    raise ConversionError("a storage holds something else than numbers")


def _scalar(dtype: Any, content: Any = b"") -> Any:
    kind = _dtype(dtype)
    if kind is None or not isinstance(content, bytes):
        raise ConversionError("a NumPy number has an unknown type")
    return np.frombuffer(content, kind, 1)[0].item()


def _array(*_: Any) -> Record:
    """A NumPy array, which gets its state later; see `_as_array`."""
    return Record(_ARRAY)


def _as_array(state: Any) -> Any:
    """The array of a state as NumPy writes it; None if it does not hold plain numbers. Raises ConversionError."""
    match state:
        case (int(), tuple(shape), Record() as kind, bool(fortran), bytes(content)) if (dtype := _dtype(kind)) is not None:
            pass
        case _:
            return None
    sides = [int(side) for side in shape]
    if min(sides, default=0) < 0 or int(np.prod(sides, dtype=object)) * dtype.itemsize != len(content):
        raise ConversionError("a NumPy array has another number of values than its shape says")
    values = np.frombuffer(content, dtype).reshape(sides, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="))


def _dtype(record: Any) -> np.dtype[Any] | None:
    """The type of a NumPy array's numbers, in the byte order that its record says; None if it is not one of plain numbers."""
    match record:
        case Record(arguments=(str(kind), *_), state=(int(), ">", *_)) if kind in _NUMBERS:
            return np.dtype(kind).newbyteorder(">")
        case Record(arguments=(str(kind), *_)) if kind in _NUMBERS:
            return np.dtype(kind).newbyteorder("<")
    return None


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "ascii", "utf-8"):
        raise ConversionError("bytes are written in an unknown way")
    return text.encode(encoding)


def _persistent(meta: Any) -> Record:
    """A module of NVIDIA's persistence: its class and state are kept, and its source text is not."""
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise ConversionError("a persistent object is none of a class")
    return Record(f"persistent.{meta.get('class_name')}", (), meta.get("state"))


_MOST_EXPANDED = 2**24  # numbers of a tensor that repeats those of its storage
_STORAGES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
_ARRAY = "numpy.ndarray"
_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

_TABLE: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "dnnlib.util.EasyDict": OrderedDict,
    "_codecs.encode": _encode,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy._core.multiarray._reconstruct": _array,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch.storage._load_from_bytes": _load_storage,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
}


def _as_modules(found: Any, path: set[int], done: dict[int, Any]) -> Any:
    """Replace the records of torch modules, in dicts, lists and tuples, by modules, each once.

    Raises ConversionError for a cycle.
    """
    if not isinstance(found, dict | list | tuple | Record):
        return found
    if id(found) in path:
        raise ConversionError("it contains itself")
    if id(found) not in done:  # many places may hold one object
        done[id(found)] = _replaced(found, path, done)
    return done[id(found)]


def _replaced(found: Any, path: set[int], done: dict[int, Any]) -> Any:
    inside = path | {id(found)}
    if isinstance(found, dict):
        return {key: _as_modules(value, inside, done) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_as_modules(value, inside, done) for value in found) if type(found) in (list, tuple) else found
    if found.name == _ARRAY and (array := _as_array(found.state)) is not None:
        return array
    if isinstance(found.state, dict) and {"_parameters", "_modules"} <= found.state.keys():
        return Module.of(found.name, _as_modules(found.state, inside, done))
    return found
