"""Whether held-out pictures become another class when their latent vectors are drawn with another label.

`python -m benchmarks.label_switch models/fashion-mnist`.

Each picture is inverted with its own label given, and its latent vector drawn with every other one. The judge is the classifier
that models are evaluated with, trained on the data itself.
"""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gan import inversion, model_folder, runtimes
from gan.images.encoding import to_uint8_range
from gan.inversion import Candidate, drive, invert
from gan.latents import Inputs
from gan.manifest import IMAGES
from gan.runtimes.base import in_batches
from training import data
from training.evaluation import classifier


def main() -> None:
    """Print what part of the images the judge gives the label that they were drawn with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a conditional model folder with normal latents")
    parser.add_argument("--data", default="fashion-mnist", help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=256, help="held-out ones (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=10, help="default: %(default)s")
    chosen = parser.parse_args()
    folder = model_folder.read(chosen.model)
    manifest = folder.manifest
    assert manifest.classes is not None, "choose a conditional model"
    dataset = data.load(chosen.data, (manifest.height, manifest.width), labelled=True)
    assert dataset.held_out is not None, "choose data with held-out pictures"
    assert dataset.held_out.labels is not None
    assert dataset.labels is not None
    classes = len(manifest.classes)
    judge = classifier.load_or_train(
        dataset.images,
        dataset.labels,
        classes=classes,
        fingerprint=dataset.fingerprint,
        held_out=(dataset.held_out.images, dataset.held_out.labels),
    )
    runtime = runtimes.load(folder, "onnx", threads=1)

    def values(rows: Inputs) -> inversion.Floats:
        return in_batches(runtime.values, rows)[IMAGES]

    right, own = np.zeros((classes, classes), int), 0
    asked = np.zeros((classes, classes), int)
    pictures = dataset.held_out.images[: chosen.pictures].astype(np.float32) / 127.5 - 1
    for picture, label in zip(tqdm(pictures, unit=" pictures"), dataset.held_out.labels[: chosen.pictures], strict=True):
        candidate = Candidate({"label": np.array([label], np.int64)})
        found = drive(invert(picture, manifest.input_spec, [candidate], chosen.iterations), values)
        labels = np.arange(classes, dtype=np.int64)
        levels = to_uint8_range(values({"z": np.repeat(found.z[None], classes, 0), "label": labels})).astype(np.uint8)
        said = _predicted(judge, levels)
        own += int(said[label] == label)
        others = labels != label
        asked[label, others] += 1
        right[label, others] += said[others] == labels[others]
    print(f"judge: {judge}")
    print(f"{len(pictures)} held-out pictures, {chosen.iterations} iterations: their own label {own / len(pictures):.1%}")
    print(f"another label: {right.sum() / asked.sum():.1%} of {asked.sum()} images")
    for label, name in enumerate(manifest.classes):
        print(f"  as {name}: {right[:, label].sum() / asked[:, label].sum():.1%}")


def _predicted(judge: classifier.Classifier, levels: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        _, logits = judge.network(classifier.to_input(levels, judge.record.channels))
    return logits.argmax(1).numpy()


if __name__ == "__main__":
    main()
