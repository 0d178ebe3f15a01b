"""How well a model of avatars covers what avatars are made of: `python -m benchmarks.avatars models/avatars`.

A judge, a network that reads the options in options.csv (style, background, glasses, colours …) off real avatars, reads them off
generated ones: whether the style is the one asked for, and how often each value of each option occurs beside how often in the
data. Options that it reads right less than 95 % of the time from held-out avatars are left out. Precision and recall are in its
features. It is trained once, in some ten minutes, and kept in the cache.
"""

import argparse
import csv
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds, seed_range
from training.config.schema import TrainingConfig
from training.data.decode_cache import cache_root
from training.evaluation import metrics
from training.evaluation.real_images import FIRST_SEED
from training.evaluation.subsets import fixed_subset
from training.hardware import Hardware

_SURE, _NEAR = 0.95, 0.2  # accuracy of the judge that counts, and how far a share may be from the data's, relative to it
_MOST_COLOURS = 6
_MAY_BE_ABSENT = ("glasses", "accessories", "hat", "earrings", "freckles", "hairAccessories", "beard")  # parts with a colour
_EPOCHS, _BATCH, _LEARNING_RATE, _WIDTH = 6, 128, 2e-3, 32
_IGNORED = -100  # the option is not part of this avatar
_COMPARED = 4_000  # avatars on each side, for precision and recall


@dataclass(frozen=True)
class Option:
    """An option of one style, or the style itself, and the values that it has."""

    name: str
    values: tuple[str, ...]
    groups: dict[str, int]  # value in options.csv -> index in `values`


@dataclass(frozen=True)
class Avatars:
    """Real avatars with their options."""

    images: NDArray[np.uint8]  # [n, 3, height, width]
    targets: NDArray[np.int64]  # [n, options], indices in their values; -100 where an avatar has no such option


class Judge(nn.Module):
    """Strided convolutions on 64x64, a layer of features, and a linear head for each option."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in (_WIDTH, 2 * _WIDTH, 4 * _WIDTH, 8 * _WIDTH):
            layers += [nn.Conv2d(before, width, 3, stride=1 if before == 3 else 2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            if before == 3:
                layers.append(nn.MaxPool2d(2))
            before = width
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * 16, 256), nn.ReLU(inplace=True))
        self.heads = nn.ModuleList(nn.Linear(256, size) for size in sizes)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """float32 [n, 3, 64, 64] in [-1, 1] -> features [n, 256] and the logits of each option."""
        features = self.trunk(images)
        return features, [head(features) for head in self.heads]


def read_options(data: Path) -> tuple[list[dict[str, str]], list[Option]]:
    """The rows of options.csv, and the options that vary: the style, and each style's own."""
    with (data / "options.csv").open() as file:
        rows = list(csv.DictReader(file))
    styles = sorted({row["style"] for row in rows})
    options = [Option("style", tuple(styles), {style: index for index, style in enumerate(styles)})]
    for style in styles:
        of_style = [row for row in rows if row["style"] == style]
        for name in list(rows[0])[3:]:
            values = {row[name] for row in of_style if _applies(row, name)}
            if len(values) > 1:
                options.append(_grouped(f"{style}/{name}", sorted(values)))
    return rows, options


def _applies(row: dict[str, str], name: str) -> bool:
    """Whether an avatar shows this option: the colour of glasses means nothing without glasses."""
    part = name.removesuffix("Color")
    return part not in _MAY_BE_ABSENT or part == name or bool(row[part])


def _grouped(name: str, values: list[str]) -> Option:
    """An option whose colours, if it has more than six, are in groups of similar ones; else each value is one of its own."""
    if len(values) <= _MOST_COLOURS or not all(value.startswith("#") for value in values):
        return Option(name, tuple(values), {value: index for index, value in enumerate(values)})
    colours = np.array([[int(value[start : start + 2], 16) for start in (1, 3, 5)] for value in values], float)
    group = fcluster(linkage(colours, "average"), _MOST_COLOURS, "maxclust") - 1
    groups = {value: int(index) for value, index in zip(values, group, strict=True)}
    names = tuple("+".join(value for value in values if groups[value] == index) for index in range(max(groups.values()) + 1))
    return Option(name, names, groups)


def read_avatars(data: Path, rows: list[dict[str, str]], options: list[Option]) -> Avatars:
    """Decode the avatars of these rows."""
    with ThreadPoolExecutor() as pool:
        decode = lambda row: np.asarray(Image.open(data / row["file"]).convert("RGB")).transpose(2, 0, 1)  # noqa: E731
        images = np.stack(list(tqdm(pool.map(decode, rows), total=len(rows), desc="decoding", disable=None)))
    targets = np.full((len(rows), len(options)), _IGNORED, np.int64)
    for column, option in enumerate(options):
        style, _, name = option.name.rpartition("/")
        for place, row in enumerate(rows):
            if not style or (row["style"] == style and _applies(row, name)):
                targets[place, column] = option.groups[row[name]]
    return Avatars(images, targets)


def judge_of(data: Path, rows: list[dict[str, str]], options: list[Option], train: Avatars, hardware: Hardware) -> Judge:
    """The judge of these avatars, from the cache or trained and kept there."""
    about = json.dumps([rows, [option.values for option in options], _EPOCHS, _BATCH, _LEARNING_RATE, _WIDTH])
    file = cache_root() / "judges" / f"{hashlib.sha256(about.encode()).hexdigest()[:16]}.safetensors"
    torch.manual_seed(0)
    judge = Judge([len(option.values) for option in options])
    if file.is_file():
        judge.load_state_dict(load_file(file))
        return judge.eval()
    judge.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(judge.parameters(), _LEARNING_RATE)
    steps = _EPOCHS * -(-len(train.images) // _BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=steps)
    with tqdm(total=steps, desc=f"training a judge of {data}", disable=None) as bar:
        for epoch in range(_EPOCHS):
            order = np.random.default_rng(epoch).permutation(len(train.images))
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                targets = torch.from_numpy(train.targets[batch]).to(hardware.device)
                with hardware.autocast():
                    _, logits = judge(_to_input(train.images[batch], hardware.device))
                losses = [
                    functional.cross_entropy(scores.float(), targets[:, column], ignore_index=_IGNORED)
                    for column, scores in enumerate(logits)
                    if (targets[:, column] != _IGNORED).any()
                ]
                optimiser.zero_grad()
                torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                cycle.step()
                bar.update()
    file.parent.mkdir(parents=True, exist_ok=True)
    judge.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    save_file(judge.state_dict(), file)
    return judge.eval()


def _to_input(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    values = torch.from_numpy(images.copy()).to(device).float().div_(127.5).sub_(1)
    values = functional.interpolate(values, (64, 64), mode="bilinear", antialias=True) if values.shape[2:] != (64, 64) else values
    return values.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def judged(judge: Judge, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features [n, 256] and the value that is read for each option, [n, options]."""
    found, values = [], []
    for start in range(0, len(images), 500):
        features, logits = judge(_to_input(images[start : start + 500], torch.device("cpu")))
        found.append(features.numpy())
        values.append(torch.stack([scores.argmax(1) for scores in logits], 1).numpy())
    return np.concatenate(found), np.concatenate(values)


def generated(model: Path, styles: tuple[str, ...], count: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """`count` avatars of each style, by test seeds."""
    folder = model_folder.read(model)
    runtime = runtimes.load(folder, "onnx")
    seeds = seed_range(FIRST_SEED["test"], count)
    classes = folder.manifest.classes or []
    for style in styles:
        made = []
        for start in range(0, count, 256):
            rows = inputs_of_seeds(seeds[start : start + 256], folder.manifest.input_spec, folder.manifest.sampling.truncation)
            rows["label"] = np.full(len(rows["z"]), classes.index(style), np.int64)
            made.append(runtimes.generate_images(runtime, rows).transpose(0, 3, 1, 2))
        yield style, np.concatenate(made)


def main() -> None:
    """Judge a model, and print the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.avatars", description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder whose classes are the styles")
    parser.add_argument("--data", type=Path, default=Path("data/avatars"), help="what render.mjs wrote (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=10_000, help="generated avatars of each style (default: %(default)s)")
    given = parser.parse_args()
    model_folder.read(given.model)  # before minutes are spent
    hardware = Hardware.choose(TrainingConfig())
    hardware.prepare()
    rows, options = read_options(given.data)
    sides = {side: [row for row in rows if row["file"].startswith(f"{side}/")] for side in ("train", "test")}
    train, test = (read_avatars(given.data, side, options) for side in sides.values())
    judge = judge_of(given.data, rows, options, train, hardware)
    features, read = judged(judge, test.images)
    accuracy = [
        float((read[:, column] == test.targets[:, column])[test.targets[:, column] != _IGNORED].mean())
        for column in range(len(options))
    ]

    styles, right, made = options[0].values, {}, []
    shares: dict[str, NDArray[np.float64]] = {}
    for style, images in generated(given.model, styles, given.samples):
        found, values = judged(judge, images)
        made.append(found[: _COMPARED // len(styles)])
        right[style] = float((values[:, 0] == styles.index(style)).mean())
        for column, option in enumerate(options):
            if option.name.startswith(f"{style}/"):
                shown = _shown(options, column, values)
                shares[option.name] = np.bincount(values[shown, column], minlength=len(option.values)) / max(int(shown.sum()), 1)

    half = features[fixed_subset(len(features), _COMPARED, seed=2)]
    fresh, _ = judged(judge, train.images[fixed_subset(len(train.images), _COMPARED, seed=3)])
    precision, recall = metrics.precision_recall(half, np.concatenate(made))
    real_precision, real_recall = metrics.precision_recall(half, fresh)
    print(f"style right: {np.mean(list(right.values())):.2%} ({', '.join(f'{name} {share:.1%}' for name, share in right.items())})")
    print(
        f"precision {precision:.3f} (real {real_precision:.3f}), recall {recall:.3f} (real {real_recall:.3f}); {len(half)} of each"
    )
    print(
        "\n| option | judge right | values within 20 % | value: generated, data (ratio) of those that are not |\n|---|---|---|---|"
    )
    total, near = 0, 0
    for column, option in enumerate(options[1:], 1):
        counts = train.targets[:, column]
        real = np.bincount(counts[counts != _IGNORED], minlength=len(option.values)) / max(int((counts != _IGNORED).sum()), 1)
        if accuracy[column] < _SURE:
            print(f"| {option.name} | {accuracy[column]:.1%} | not judged | |")
            continue
        ratios = shares[option.name] / np.maximum(real, 1e-9)
        far = [place for place in range(len(real)) if abs(ratios[place] - 1) > _NEAR]
        total, near = total + len(real), near + len(real) - len(far)
        text = "; ".join(
            f"{option.values[p] or 'none'}: {shares[option.name][p]:.2%}, {real[p]:.2%} ({ratios[p]:.2f})" for p in far[:8]
        )
        print(f"| {option.name} | {accuracy[column]:.1%} | {len(real) - len(far)} of {len(real)} | {text} |")
    print(f"\n{near} of {total} values have a share within {_NEAR:.0%} of the data's")


def _shown(options: list[Option], column: int, values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the judged avatars show an option: the colour of a part counts where the part is read."""
    style, _, name = options[column].name.rpartition("/")
    part = f"{style}/{name.removesuffix('Color')}"
    other = next((place for place, option in enumerate(options) if option.name == part and part != options[column].name), None)
    if other is None or "" not in options[other].groups:
        return np.ones(len(values), bool)
    return values[:, other] != options[other].groups[""]


if __name__ == "__main__":
    main()
