"""Generation that every serving peer shares: seed -> one image of the shipped model's ONNX file -> PNG."""

import io
import os

import numpy as np
import onnxruntime
from PIL import Image

_session = onnxruntime.InferenceSession(os.environ["PEER_ONNX"], providers=["CPUExecutionProvider"])


def draw(seeds: list[int]) -> list[bytes]:
    """One PNG for each seed, generated in one batch."""
    z = np.stack([np.random.RandomState(seed).standard_normal(100).astype(np.float32) for seed in seeds])
    (images,) = _session.run(None, {"z": z})
    return [_png(image[0]) for image in ((images + 1) * 127.5 + 0.5).clip(0, 255).astype(np.uint8)]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
