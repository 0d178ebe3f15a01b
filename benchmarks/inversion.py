"""How well held-out pictures are drawn again from the latent vectors found for them.

`OPENBLAS_NUM_THREADS=1 python -m benchmarks.inversion models/fashion-mnist`.

Beside it what needs no generator: the principal components of as many numbers as the latent vector has, and the nearest training
picture; and, for a model with an encoder (python -m training.encoder), the encoder alone and the search that begins where it says.
On one processor thread; times are processor time for one picture, with its label given.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from gan import model_folder
from gan.encoder import PictureEncoder
from gan.inversion import Candidate, Inversion, drive, invert
from gan.latents import Inputs
from gan.manifest import IMAGES
from gan.runtimes.base import run_in_batches
from gan.runtimes.network import generator_of
from gan.runtimes.onnx import OnnxEngine
from training import data

Floats = NDArray[np.float32]


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder with normal latents")
    parser.add_argument("--data", default="fashion-mnist", help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=256, help="held-out ones (default: %(default)s)")
    parser.add_argument("--spread", action="store_true", help="not the first ones, which may be of one class, but some of all")
    parser.add_argument("--iterations", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--after-encoder", type=int, default=5, help="iterations after the encoder (default: %(default)s)")
    chosen = parser.parse_args()
    folder = model_folder.read(chosen.model)
    manifest = folder.manifest
    dataset = data.load(chosen.data, (manifest.height, manifest.width), labelled=manifest.classes is not None)
    assert dataset.held_out is not None, "choose data with held-out pictures"
    many = min(chosen.pictures, len(dataset.held_out.images))
    places = np.linspace(0, len(dataset.held_out.images) - 1, many).round().astype(np.int64) if chosen.spread else np.arange(many)
    train, pictures = _values(dataset.images), _values(dataset.held_out.images[places])
    labels = None if dataset.held_out.labels is None else dataset.held_out.labels[places].astype(np.int64)
    engine = OnnxEngine(generator_of(folder), folder.content("generator.onnx"), 1)

    def draw(rows: Inputs) -> Floats:
        return run_in_batches(lambda some: engine.start(some)(), rows, engine.max_batch_size)[IMAGES]

    def candidate(place: int, start: Floats | None = None) -> Candidate:
        return Candidate({} if labels is None else {"label": labels[place : place + 1]}, start)

    def search(place: int, iterations: int, start: Floats | None = None) -> Inversion:
        return drive(invert(pictures[place], manifest.input_spec, [candidate(place, start)], iterations), draw)

    print(f"{len(pictures)} held-out pictures, one thread")
    _print(f"inverted, {chosen.iterations} iterations", len(pictures), lambda place: search(place, chosen.iterations))
    encoder = PictureEncoder.load(folder)
    if encoder is not None:

        def start(place: int) -> Floats:
            z: Floats = encoder.starts(pictures[place : place + 1], None if labels is None else labels[place : place + 1])[0]
            return z

        def alone(place: int) -> Inversion:
            fixed, z = candidate(place).fixed, encoder.encode(pictures[place : place + 1], candidate(place).fixed.get("label"))
            error = float(np.square(draw({"z": z, **fixed})[0] - pictures[place]).mean())
            return Inversion(z[0], fixed, error, 0, "iterations")

        _print("encoder alone", len(pictures), alone)
        for iterations in range(1, chosen.after_encoder + 1):
            name = f"encoder, then {iterations} iteration{'s' if iterations > 1 else ''}"
            _print(name, len(pictures), lambda place, some=iterations: search(place, some, start(place)))
    for name, images in (
        (f"PCA, {manifest.z_dim} components", _of_components(train, pictures, manifest.z_dim)),
        ("nearest training picture", _nearest(train, pictures)),
    ):
        print(f"{name}: mean {_psnr(images, pictures).mean():.2f} dB")


def _print(name: str, pictures: int, invert_one: Callable[[int], Inversion]) -> None:
    """Print a row for a way of finding the vector of the picture at a place."""
    psnr, seconds = [], []
    for place in range(pictures):
        started = time.process_time()
        psnr.append(invert_one(place).psnr)
        seconds.append(time.process_time() - started)
    worst = np.quantile(psnr, 0.1)
    print(f"{name}: mean {np.mean(psnr):.2f} dB, worst tenth below {worst:.2f}, median {np.median(seconds):.3f} s", flush=True)


def _values(images: NDArray[np.uint8]) -> Floats:
    """Pixel values in [-1, 1]."""
    return images.astype(np.float32) / 127.5 - 1


def _psnr(images: Floats, pictures: Floats) -> NDArray[np.float64]:
    return 10 * np.log10(4 / np.square(images - pictures).reshape(len(pictures), -1).mean(1, dtype=np.float64))


def _of_components(train: Floats, pictures: Floats, components: int) -> Floats:
    found = PCA(components, svd_solver="randomized", random_state=0).fit(train.reshape(len(train), -1))
    images: Floats = found.inverse_transform(found.transform(pictures.reshape(len(pictures), -1))).reshape(pictures.shape)
    return images


def _nearest(train: Floats, pictures: Floats) -> Floats:
    flat, targets = train.reshape(len(train), -1), pictures.reshape(len(pictures), -1)
    distances = np.square(flat).sum(1) - 2 * targets @ flat.T
    return train[distances.argmin(1)]


if __name__ == "__main__":
    main()
