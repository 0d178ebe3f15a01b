"""A runtime in a loop, 64 images at a time, without a server; prints images a second.

ONNX Runtime by itself; OpenVINO as `gan.runtimes` compiles it, in its largest batches, without the step to uint8.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from gan import model_folder, runtimes
from gan.runtimes.base import run_inline
from gan.runtimes.network import generator_of

model = Path(os.environ["PEER_ONNX"])
rows = {"z": np.random.RandomState(0).standard_normal((64, 100)).astype(np.float32)}
if os.environ.get("GAN_RUNTIME", "onnx") == "onnx":
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run() -> None:  # noqa: D103
        session.run(None, rows)

else:
    kind = runtimes.ENGINES[os.environ["GAN_RUNTIME"]]
    precision = os.environ.get("GAN_PRECISION", "float32")
    engine = kind.load(generator_of(model_folder.read(model.parent)), "cpu", precision, os.cpu_count(), run_inline)  # type: ignore[arg-type]

    def run() -> None:  # noqa: D103
        for start in range(0, 64, engine.max_batch_size):
            engine.start({"z": rows["z"][start : start + engine.max_batch_size]})()


run()
images, started = 0, time.perf_counter()
while time.perf_counter() < started + float(sys.argv[1]):
    run()
    images += 64
print(images / (time.perf_counter() - started))
