"""ONNX Runtime in a loop, 64 pictures at a time, without anything around it; prints pictures a second."""

import os
import sys
import time

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(os.environ["PEER_ONNX"], providers=["CPUExecutionProvider"])
z = np.random.RandomState(0).standard_normal((64, 100)).astype(np.float32)
session.run(None, {"z": z})
pictures, started = 0, time.perf_counter()
while time.perf_counter() < started + float(sys.argv[1]):
    session.run(None, {"z": z})
    pictures += 64
print(pictures / (time.perf_counter() - started))
