"""How well unusual pictures are told from usual ones.

`python -m benchmarks.anomaly --out runs/anomaly` trains ten models by the recipe f-anogan, each on one class of Fashion-MNIST, and
scores the whole test set by each: the pictures of the nine other classes are the anomalies (the protocol of Ruff et al. 2018,
proceedings.mlr.press/v80/ruff18a.html). Beside it stand distances in pixels, which need no network. Every figure is the area under
the ROC curve in percent, of the last checkpoint. It takes an hour of one core; a class that is done is not done again.

`python -m benchmarks.anomaly --model models/fashion-mnist` takes a model that has a score, and pictures of other things as the
anomalies: digits, emoji, and garments where it draws something else.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from gan import model_folder
from gan.atomic import write_bytes_atomically
from gan.scoring import Scorer
from training import data
from training.cli.train import main as train

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Rows = dict[str, list[float]]  # way -> percent, in the order of the classes

_GARMENTS = "fashion-mnist"
_SIZE = 32  # pixels, of which 28 are Fashion-MNIST's and the others a margin
_OURS = "f-anogan"


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/anomaly"), help="gets a folder for each class (default: %(default)s)"
    )
    parser.add_argument("--classes", type=int, nargs="*", default=range(10), help="default: all")
    parser.add_argument("--images", default="60k", help="that each generator sees (default: %(default)s)")
    parser.add_argument("--encoder-images", default="30k", help="and each encoder (default: %(default)s)")
    parser.add_argument("--model", type=Path, help="score other things by this model instead")
    parser.add_argument("--emoji", type=Path, help="a folder of emoji, as one more kind of other things")
    parser.add_argument("--pictures", type=int, default=2000, help="held-out ones beside other things (default: %(default)s)")
    parser.add_argument("--data", default=_GARMENTS, help="what the model was trained on (default: %(default)s)")
    parser.add_argument(
        "--spread", action="store_true", help="not the last held-out ones, which may be of one class, but some of all"
    )
    parser.add_argument("--others", type=int, default=4000, help="of each kind at most (default: %(default)s)")
    chosen = parser.parse_args()
    if chosen.model is not None:
        _other_things(chosen)
        return
    dataset = data.load(_GARMENTS, (_SIZE, _SIZE), labelled=True)
    assert dataset.labels is not None
    assert dataset.held_out is not None
    assert dataset.held_out.labels is not None
    rows: Rows = {}
    for normal in chosen.classes:
        folder = chosen.out / f"class-{normal}"
        anomalous = dataset.held_out.labels != normal
        found = _of_class(folder, dataset.images[dataset.labels == normal], dataset.held_out.images, anomalous, chosen)
        for way, value in found.items():
            rows.setdefault(way, []).append(value)
        print(f"{normal} {dataset.classes[normal]}: {', '.join(f'{way} {value:.1f}' for way, value in found.items())}", flush=True)
    for way, values in rows.items():
        print(f"| {way} | {' | '.join(f'{value:.1f}' for value in values)} | {np.mean(values):.2f} |")


def _of_class(
    folder: Path, normal: Bytes, test: Bytes, anomalous: NDArray[np.bool_], chosen: argparse.Namespace
) -> dict[str, float]:
    """Percent by each way. `normal` is uint8 [n, 1, 32, 32], the test set [m, 1, 32, 32]."""
    result = folder / "result.json"
    if result.is_file():
        return dict(json.loads(result.read_text()))
    found = {way: _auroc(scores, anomalous) for way, scores in _without_network(_values(normal), _values(test))}
    model = _trained(folder, normal, chosen)
    scorer = Scorer.load(model_folder.read(model))
    assert scorer is not None, "the recipe makes a score"
    scores, _, drawn, _ = scorer.score(_values(test))
    found["its residual alone"] = _auroc(np.square(drawn - _values(test)).mean((1, 2, 3)), anomalous)
    found[_OURS] = _auroc(scores, anomalous)
    write_bytes_atomically(result, json.dumps(found).encode())
    return found


def _trained(folder: Path, normal: Bytes, chosen: argparse.Namespace) -> Path:
    """The model of a class, trained if it is not yet."""
    pictures, models, runs = folder / "pictures", folder / "models", folder / "runs"
    if not pictures.is_dir():
        pictures.mkdir(parents=True)
        for place, image in enumerate(normal):
            Image.fromarray(image[0]).save(pictures / f"{place:05d}.png")
    flags = ["--data", str(pictures), "--recipe", _OURS, "--name", "normal", "--out", str(runs), "--models", str(models)]
    flags += ["--images", chosen.images, "--checkpoint-every", chosen.images, "--sample-every", chosen.images, "--threads", "1"]
    flags += ["--encoder-images", chosen.encoder_images, "--measure", "500", "--measure-final", "500", "--measure-sets", "1"]
    flags += ["--features", "random"]
    if runs.is_dir():
        flags += ["--resume", "latest"]
    assert train(flags) == 0, f"the run in {runs} was stopped"
    return models / "normal"


def _without_network(normal: Floats, test: Floats) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Scores by pixels alone: the mean distance to the two nearest pictures, and what 32 principal components leave."""
    stored, asked = normal.reshape(len(normal), -1), test.reshape(len(test), -1)
    squares = np.square(asked).sum(1)[:, None] + np.square(stored).sum(1) - 2 * asked @ stored.T
    yield "2 nearest neighbours, pixels", np.sqrt(np.maximum(np.partition(squares, 1, 1)[:, :2], 0)).mean(1)
    mean = stored.mean(0)
    _, vectors = np.linalg.eigh(np.cov(stored, rowvar=False))
    centred = asked - mean
    left = centred - (centred @ vectors[:, -32:]) @ vectors[:, -32:].T
    yield "PCA, 32 components, residual", np.square(left).sum(1)


def _other_things(chosen: argparse.Namespace) -> None:
    """Score held-out pictures of a model's own data, and other things."""
    folder = model_folder.read(chosen.model)
    scorer = Scorer.load(folder)
    assert scorer is not None, f"{chosen.model} has no score: python -m training.encoder {chosen.model}"
    size, colours = (folder.manifest.height, folder.manifest.width), folder.manifest.channels
    held_out = data.load(chosen.data, size).held_out
    assert held_out is not None
    usual = _spread(held_out.images, chosen.pictures) if chosen.spread else held_out.images[-chosen.pictures :]
    scores, shares, drawn, _ = scorer.score(_values(usual))
    print(f"{len(usual)} held-out pictures: {(shares < 0.05).mean():.1%} have a share under 5 %")
    for name, whole in _others(chosen, size, colours):
        others = _spread(whole, chosen.others)
        found, their_shares, theirs, _ = scorer.score(_values(others))
        truth = np.arange(len(usual) + len(others)) >= len(usual)
        residuals = [np.square(one - _values(two)).mean((1, 2, 3)) for one, two in ((drawn, usual), (theirs, others))]
        ours, residual = _auroc(np.concatenate([scores, found]), truth), _auroc(np.concatenate(residuals), truth)
        row = f"| {name} | {len(others)} | {ours:.2f} | {residual:.2f} | {(their_shares < 0.01).mean():.1%} |"
        print(row, flush=True)


def _spread(images: Bytes, most: int) -> Bytes:
    """So many images, or all, from equally far apart."""
    return images[np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(np.int64)]


def _others(chosen: argparse.Namespace, size: tuple[int, int], colours: int) -> Iterator[tuple[str, Bytes]]:
    """Pictures of a size and so many channels, uint8 [n, channels, height, width], by their names."""
    digits = (load_digits().images * (255 / 16)).round().astype(np.uint8)
    for share, margin in ((7 / 8, "with a margin"), (1, "without")):
        height, width = (round(share * side) for side in size)
        found = np.stack([np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in digits])
        above, left = (size[0] - height) // 2, (size[1] - width) // 2
        padded = np.pad(found, ((0, 0), (above, size[0] - height - above), (left, size[1] - width - left)))
        yield f"digits, {width}x{height}, {margin}", np.repeat(padded[:, None], colours, 1)
    if chosen.data != _GARMENTS:
        garments = data.load(_GARMENTS, size).held_out
        assert garments is not None
        yield "Fashion-MNIST", np.repeat(garments.images, colours, 1)
    for background in ("white", "black") if chosen.emoji is not None else ():
        emoji = data.load(str(chosen.emoji), size, background=background).images
        yield f"emoji on {background}", emoji if colours > 1 else emoji.mean(1, keepdims=True).round().astype(np.uint8)


def _values(images: Bytes) -> Floats:
    """Pixel values in [-1, 1]."""
    return images.astype(np.float32) / 127.5 - 1


def _auroc(scores: NDArray[np.floating], anomalous: NDArray[np.bool_]) -> float:
    return float(100 * roc_auc_score(anomalous, scores))


if __name__ == "__main__":
    main()
