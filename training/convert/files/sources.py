"""What is in a file that somebody brings: its container is recognised by its bytes, and its tensors are read."""

import hashlib
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from training.convert.files import pickles
from training.convert.files.records import Module, Record
from training.errors import ConversionError

Tensors = dict[str, NDArray[Any]]

_WEIGHTS = (".pt", ".pth", ".tar", ".pkl", ".bin", ".ckpt", ".safetensors", ".onnx")  # endings of files inside wheels and zip files
_LEGACY_TORCH = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # the magic number that torch.save wrote before version 1.6
_LARGEST_MEMBER = 4 << 30  # bytes of a file in a zip file, unpacked


@dataclass(frozen=True)
class Source:
    """The content of a file."""

    title: str  # of the file, and of the file within it
    container: str  # for people
    content: Any  # dicts, lists and Module objects; tensors are NumPy arrays; the bytes of a graph
    graph: Literal["onnx", "torchscript"] | None = None  # a file that holds computation beside weights
    pickle: bytes | None = None  # that the content was read from
    digest: str = ""  # SHA-256 of the file


def read(path: Path) -> Source:
    """Read a file. Raises ConversionError for one that is missing, damaged, or of no kind that is known."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConversionError(f"{path}: it cannot be read ({error.strerror}); give a file of weights") from error
    return replace(_of_bytes(content, str(path)), digest=hashlib.sha256(content).hexdigest())


def _of_bytes(content: bytes, title: str) -> Source:
    if content[:4] == b"PK\x03\x04":
        return _of_zip(content, title)
    if _LEGACY_TORCH in content[:32]:
        return Source(title, "a file of torch.save before version 1.6", _legacy(content, title))
    if content[:1] == b"\x80" or content[:2] in (b"(d", b"(l", b"cc", b"c_"):
        return Source(title, "a pickle", pickles.load(BytesIO(content), title), pickle=content)
    if _is_safetensors(content):
        return Source(title, "a safetensors file", _safetensors(content, title))
    if content[:1] == b"\x08" and _is_onnx(content):
        return Source(title, "an ONNX file", content, "onnx")
    head = content[:64].lstrip().lower()
    if not content:
        raise ConversionError(f"{title}: it is empty; fetch it again")
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ConversionError(f"{title}: it is a web page, as a link to a file's page gives it; fetch the file itself")
    if head.startswith(b"version https://git-lfs"):
        raise ConversionError(f"{title}: it is a pointer of Git LFS; fetch the file itself (git lfs pull)")
    raise ConversionError(
        f"{title}: it is no file of weights that is known here: bring a file of torch.save, a pickle, a safetensors file, an ONNX "
        "or TorchScript file, or a zip file or wheel that holds one"
    )


def _of_zip(content: bytes, title: str) -> Source:
    with _damage_named(title), zipfile.ZipFile(BytesIO(content)) as archive:
        names = archive.namelist()
        folder = next((name.removesuffix("data.pkl") for name in names if PurePosixPath(name).name == "data.pkl"), None)
        if folder is not None:
            if f"{folder}constants.pkl" in names:
                return Source(title, "a TorchScript file", content, "torchscript")
            written = archive.read(f"{folder}data.pkl")
            if max(member.file_size for member in archive.infolist()) > _LARGEST_MEMBER:
                raise ConversionError(f"{title}: a part of it is larger than {_LARGEST_MEMBER >> 30} GiB")
            read = cache(lambda key: archive.read(f"{folder}data/{key}"))  # many tensors may lie in one storage
            found = pickles.load(BytesIO(written), title, read)
            return Source(title, "a file of torch.save", found, pickle=written)
        inside = [name for name in names if PurePosixPath(name).suffix.lower() in _WEIGHTS]
        if len(inside) != 1:
            said = f"these: {', '.join(inside[:10])}" if inside else "none"
            raise ConversionError(
                f"{title}: a zip file must hold one file of weights, and this holds {said}; unpack it and give one"
            )
        if archive.getinfo(inside[0]).file_size > _LARGEST_MEMBER:
            raise ConversionError(f"{title}: {inside[0]} is larger than {_LARGEST_MEMBER >> 30} GiB; unpack it by hand")
        return _of_bytes(archive.read(inside[0]), f"{title}, {inside[0]}")


def _legacy(content: bytes, title: str) -> Any:
    with _damage_named(title):
        try:
            found = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ConversionError(
                f"{title}: it is a whole network in the old format of torch.save; save its weights alone: "
                "torch.save(network.state_dict(), …)"
            ) from error
    return _as_arrays(found)


def _as_arrays(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        plain = found.detach()
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    if isinstance(found, Mapping):
        return {key: _as_arrays(value) for key, value in found.items()}
    return [_as_arrays(value) for value in found] if isinstance(found, list | tuple) else found


def described(value: onnx.ValueInfoProto) -> str:
    """An input or output of an ONNX graph, for people: name, shape and type."""
    tensor = value.type.tensor_type
    sides = [str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "n" for dim in tensor.shape.dim]
    return f"{value.name} [{', '.join(sides)}] {onnx.TensorProto.DataType.Name(tensor.elem_type).lower()}"


def _is_onnx(content: bytes) -> bool:
    try:
        return bool(onnx.load_model_from_string(content).graph.node)
    except Exception:  # protobuf's own, whose classes it does not name for use
        return False


def _is_safetensors(content: bytes) -> bool:
    length = int.from_bytes(content[:8], "little")
    return 2 <= length <= len(content) - 8 and content[8:9] == b"{"


def _safetensors(content: bytes, title: str) -> Tensors:
    with _damage_named(title):
        found: Tensors = _as_arrays(load_safetensors(content))
        return found


# What the libraries that read files raise for damaged ones
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, SafetensorError, struct.error, OSError, EOFError),
    *(RuntimeError, LookupError, ValueError, TypeError, AttributeError, NotImplementedError),
)


@contextmanager
def _damage_named(title: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConversionError(f"{title}: it is damaged ({reason}); fetch it again") from error


@dataclass(frozen=True)
class State:
    """A network's tensors in a file, and what stands beside them."""

    path: str  # its place in the file, with dots; empty at the top
    tensors: Tensors
    module: Module | None = None  # where the network itself was saved
    beside: Mapping[Any, Any] = field(default_factory=dict)  # what holds it

    @property
    def place(self) -> str:
        """Its place, for people."""
        return self.path or "at the top"


def states_in(
    content: Any, path: str = "", beside: Mapping[Any, Any] | None = None, seen: set[int] | None = None
) -> Iterator[State]:
    """State dicts in a file, outermost first, each once: dicts of tensors by name, and modules."""
    seen = set() if seen is None else seen
    if id(content) in seen:
        return
    seen.add(id(content))
    if isinstance(content, Module):
        yield State(path, content.tensors(), content, beside or {})
        return
    if not isinstance(content, Mapping):
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, np.ndarray)}
    if tensors:
        yield State(path, tensors, beside=beside or {})
    for name, value in content.items():
        yield from states_in(value, f"{path}.{name}" if path else str(name), content, seen)


def refuse_tensorflow(source: Source) -> None:
    """Raises ConversionError for a pickle of StyleGAN's TensorFlow program: networks that it has no numbers of in plain sight."""
    found = source.content
    networks = found.values() if isinstance(found, Mapping) else found if isinstance(found, list | tuple) else [found]
    if any(isinstance(one, Record) and one.name.startswith("dnnlib.tflib.") for one in networks):
        raise ConversionError(
            f"{source.title}: it is a network of StyleGAN's TensorFlow program: bring it into PyTorch first, by legacy.py of "
            "stylegan2-ada-pytorch (python legacy.py --source OLD.pkl --dest NEW.pkl), and convert what that writes"
        )


def describe(source: Source) -> str:
    """What a file holds, for people: its state dicts with the shapes of their tensors, and what a pickle would have had run."""
    lines = [f"{source.title}: {source.container}"]
    if source.pickle is not None:
        names = pickles.names_in(BytesIO(source.pickle), source.title)
        lines.append(f"it names, and nothing of it was run: {', '.join(names) or 'nothing'}")
    if source.graph == "onnx":
        model = onnx.load_model_from_string(source.content)
        constants = {one.name for one in model.graph.initializer}
        for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
            lines += [f"  {kind} {described(one)}" for one in values if one.name not in constants]
    if source.graph is not None:
        return "\n".join(lines)
    for state in states_in(source.content):
        lines.append(f"{state.place}: {len(state.tensors)} tensors")
        lines += [f"  {name} {list(values.shape)} {values.dtype}" for name, values in state.tensors.items()]
    return "\n".join(lines)
