"""Every error of serving/ has the base of all errors that end in a sentence for people."""

import importlib
import inspect
import pkgutil

import serving
from gan.errors import GanServiceError


def test_all_exceptions_of_the_package_have_one_base():
    modules = [importlib.import_module(f"serving.{module.name}") for module in pkgutil.iter_modules(serving.__path__)]
    exceptions = {
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BaseException) and kind.__module__.startswith("serving.")
    }
    assert {kind.__name__ for kind in exceptions} >= {"RequestError", "DeviceLostError", "SameNameError", "KeyFileError"}
    assert [kind for kind in exceptions if not issubclass(kind, GanServiceError)] == []
