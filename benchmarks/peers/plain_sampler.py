"""A plain loop that fills WebDataset shards: latent vectors, ONNX Runtime, PNG files by Pillow, tar files.

What somebody writes in an afternoon: no seed for each image, no restart, no manifest.
Arguments: an ONNX file, a folder, images, images of a shard, threads (0: as ONNX Runtime chooses), a first shard's number.
"""

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

_BATCH = 64

onnx, out = sys.argv[1], Path(sys.argv[2])
images, shard_size, threads, first = map(int, sys.argv[3:])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
inputs = {one.name: one for one in session.get_inputs()}
random = np.random.RandomState(first)
out.mkdir(parents=True, exist_ok=True)
for shard in range(images // shard_size):
    with tarfile.open(out / f"shard-{first + shard:06d}.tar", "w") as archive:
        for start in range(0, shard_size, _BATCH):
            size = min(_BATCH, shard_size - start)
            rows = {"z": random.standard_normal((size, inputs["z"].shape[1])).astype(np.float32)}
            if "label" in inputs:
                rows["label"] = random.randint(0, 10, size)
            (drawn,) = session.run(None, rows)
            pixels = np.clip((drawn + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
            for place, image in enumerate(pixels):
                buffer = io.BytesIO()
                Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(buffer, "PNG")
                member = tarfile.TarInfo(f"{start + place:06d}.png")
                member.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(member, buffer)
                if "label" in inputs:
                    content = str(rows["label"][place]).encode()
                    member = tarfile.TarInfo(f"{start + place:06d}.cls")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
