"""What training and serving share: networks, seeds, the model folder, runtimes and images.

Knows no HTTP and no training loop. Imports torch only in `networks/` and `torch_runtime`, so that the service runs without it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan.model import Model, load

__all__ = ["Model", "load"]

# ONNX Runtime reports what it runs to its maker, from 1.29 on, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """`gan.load` and `gan.Model`, imported when they are first asked for: the rest of this package does without them."""
    if name in __all__:
        return getattr(import_module("gan.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
