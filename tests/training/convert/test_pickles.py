"""Pickles are read without running anything that they name."""

import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from training.convert.files import pickles
from training.convert.files.records import Module, Record
from training.errors import ConversionError


def read(content):
    return pickles.load(io.BytesIO(content), "x.pkl")


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def glob(module, name):
    return f"c{module}\n{name}\n".encode()


def test_plain_values_and_tensors_are_what_they_were():
    weights = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    content = {
        "a": [1, 2.5, "x", None, True, (3, {"y"})],
        "w": weights.t(),
        "p": torch.nn.Parameter(weights),
        "o": OrderedDict(k=1),
    }
    found = read(pickle.dumps(content))
    assert found["a"] == content["a"]
    assert found["o"] == {"k": 1}
    assert np.array_equal(found["w"], weights.t().numpy())
    assert np.array_equal(found["p"], weights.numpy())


def test_a_torch_module_becomes_its_tensors_by_name():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.BatchNorm1d(2)))
    found = read(pickle.dumps(network))
    assert isinstance(found, Module)
    assert found.name == "torch.nn.modules.container.Sequential"
    state = network.state_dict()
    assert found.tensors().keys() == state.keys()
    assert all(np.array_equal(found.tensors()[name], tensor.numpy()) for name, tensor in state.items())
    assert found.module("1.0").attribute("eps") == 1e-5
    assert found.module("1.5") is None


def test_numpy_numbers_are_numbers():
    assert read(pickle.dumps(np.float64(2.5))) == 2.5
    assert read(pickle.dumps(np.int64(-3))) == -3


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """Whatever a hostile pickle would run leaves a file here."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


HOSTILE = {
    "os.system": pickle.dumps(Calls(os.system, "touch ran")),
    "builtins.eval": glob("builtins", "eval") + b'(S\'open("ran", "w")\'\ntR.',
    "builtins.exec": glob("builtins", "exec") + b'(S\'open("ran", "w")\'\ntR.',
    "python 2's names": glob("__builtin__", "eval") + b'(S\'open("ran", "w")\'\ntR.',
    "open": pickle.dumps(Calls(open, "ran", "w")),
    "subprocess": glob("subprocess", "Popen") + b"((S'touch'\nS'ran'\nltR.",
    "getattr": glob("builtins", "getattr") + b"(" + glob("os", "path") + b"S'join'\ntR.",
    "an attribute of numpy": glob("numpy", "core.multiarray.os.system") + b"(S'touch ran'\ntR.",
    "numpy's own loader": glob("numpy", "load") + b"(S'ran'\ntR.",
    "numpy.testing": glob("numpy.testing._private.utils", "runstring") + b'(S\'open("ran", "w")\'\n}tR.',
    "an instance": b"(" + b"S'touch ran'\n" + b"ios\nsystem\n.",
    "obj": b"(" + glob("os", "system") + b"S'touch ran'\no.",
    "newobj": b"\x80\x02" + glob("os", "system") + b"(S'touch ran'\nt\x81.",
    "a stack of globals": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",
    "a state that is called": glob("os", "system") + b")\x81}S'__setstate__'\n" + glob("os", "system") + b"sb.",
    "source text": pickle.dumps({"G_ema": Calls(eval, "open('ran', 'w')")}),
    "persistence": b"\x80\x04"
    + glob("torch_utils.persistence", "_reconstruct_persistent_obj")
    + pickle.dumps({"type": "class", "module_src": "open('ran', 'w')", "class_name": "X", "state": {}}, 2)[2:-1]
    + b"\x85R.",
    "a nested torch file": glob("torch.storage", "_load_from_bytes")
    + b"("
    + pickle.dumps(pickle.dumps(Calls(os.system, "touch ran")), 2)[2:-1]
    + b"tR.",
    "copyreg": glob("copyreg", "_reconstructor") + b"(" + glob("os", "system") + glob("builtins", "object") + b"NtR.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pos.system\n.",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_pickles_are_refused_or_inert(content, marks):
    try:
        found = read(content)
    except ConversionError:
        pass
    else:
        assert isinstance(found, Record | dict), found
    assert not (marks / "ran").exists()


BOMBS = {
    "a tensor larger than its storage": None,
    "a length beyond the end": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "cut off": pickle.dumps(list(range(1000)))[:-100],
    "nothing": b"",
    "text": b"<!doctype html><title>404</title>",
    "deep": b"(" * 200_000 + b"l" * 200_000 + b".",
    "itself": b"]q\x00h\x00a.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name, marks):
    content = BOMBS[name] if BOMBS[name] is not None else pickle_of_a_large_tensor()
    with pytest.raises(ConversionError):
        read(content)


def pickle_of_a_large_tensor():
    storage = io.BytesIO()
    torch.save(torch.arange(4.0).storage(), storage, _use_new_zipfile_serialization=False)

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, (10**9,), (0,), False, OrderedDict())

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (storage.getvalue(),)

    return pickle.dumps(Tensor())


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (5,), (1,)), (-1, (2,), (1,)), (0, (2, 2), (3, 1)), (0, (2,), (-1,)), (0, (2,), (1, 1)), (3, (2,), (1,))],
)
def test_a_tensor_stays_within_its_storage(offset, size, stride):
    with pytest.raises(ConversionError):
        pickles._rebuild_tensor(np.arange(4.0), offset, size, stride)


def test_the_names_in_a_file_are_told_without_loading_it(marks):
    for protocol in range(6):
        content = pickle.dumps([Calls(os.system, "touch ran"), Calls(os.system, "touch ran"), OrderedDict(a=1)], protocol)
        assert pickles.names_in(io.BytesIO(content), "x") == ["posix.system", "collections.OrderedDict"]
    with pytest.raises(ConversionError, match=r"^x: it cannot be read as a pickle"):
        pickles.names_in(io.BytesIO(b"no"), "x")


def test_a_large_memo_index_takes_no_memory():
    assert read(b"\x80\x02]r\xff\xff\xff\x7f.") == []
