"""What training and serving share: networks, seeds, the model folder, runtimes and images.

Knows no HTTP and no training loop. Imports torch only in `networks/` and `torch_runtime`, so that the service runs without it.
"""

import os

# ONNX Runtime reports what it runs to its maker, from 1.29 on, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
