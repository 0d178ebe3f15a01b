"""ONNX Runtime in a loop, 64 images at a time, without a server; prints images a second."""

import os
import sys
import time

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(os.environ["PEER_ONNX"], providers=["CPUExecutionProvider"])
z = np.random.RandomState(0).standard_normal((64, 100)).astype(np.float32)
session.run(None, {"z": z})
images, started = 0, time.perf_counter()
while time.perf_counter() < started + float(sys.argv[1]):
    session.run(None, {"z": z})
    images += 64
print(images / (time.perf_counter() - started))
