"""The charts of a run's report: which statistics share a scale, and how to read them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from training.evaluation.ranking import SPREAD


@dataclass(frozen=True)
class Chart:
    """Curves that share a scale, with one sentence on how to read them."""

    title: str
    axis: str
    labels: dict[str, str]  # key in stats.jsonl -> its name in the legend
    reading: str
    line: tuple[float, str] | None = None  # a level to compare with, and its name
    shows_distance: bool = False  # whether the legend gives the distance of the last value from that level
    shown: list[float] = field(default_factory=list)  # values that the axis always covers


CHARTS = [
    Chart(
        "Losses",
        "loss",
        {"loss_d": "discriminator", "loss_g": "generator"},
        "Steady is good, falling is not the aim: one near zero while the other climbs means that training has stalled.",
    ),
    Chart(
        "Gradient penalties",
        "penalty",
        {"penalty": "gradient penalty", "r1": "R1, at real images", "r2": "R2, at generated images"},
        "Small and steady is good: a growing penalty means that the discriminator's gradients are getting out of hand.",
    ),
    Chart(
        "Discriminator outputs",
        "probability of being real",
        {"d_real": "D(x), real images", "d_fake": "D(G(z)), generated images"},
        "At the Nash equilibrium both are 0.5: the discriminator cannot tell.",
        line=(0.5, "equilibrium"),
        shown=[0, 1],
    ),
    Chart(
        "Accuracy of the discriminator",
        "share it gets right",
        {"accuracy_held_out": "real images held out", "accuracy_fake": "generated images"},
        "At 0.5 it guesses. Far less on images held out than on those it trains on: it has memorised them.",
        line=(0.5, "guessing"),
        shown=[0, 1],
    ),
    Chart(
        "Value function",
        "V(D, G)",
        {"value": "V(D, G)"},
        "The discriminator raises it, the generator lowers it; at the Nash equilibrium it is -log 4 = -1.386.",
        line=(-math.log(4), "-log 4"),
        shows_distance=True,
    ),
    Chart(
        "Distance from the data",
        "Fréchet distance",
        {
            "frechet": "generated images",
            "frechet_real": "real images",
            "frechet_mosaic": "mosaics of real images",
            "fid": "FID",
            "fid_real": "FID of real images",
            "fid_mosaic": "FID of mosaics of real images",
        },
        "Less is better, and what mosaics of parts of real images have is bad; the best checkpoint is exported. Only measures "
        "taken alike compare.",
        shown=[0],
    ),
    Chart(
        "Distance from the data",
        "energy distance",
        {"energy": "generated points", "energy_real": "real points"},
        "Less is better: 0 if generated and real points are distributed alike.",
        shown=[0],
    ),
    Chart(
        "Modes covered",
        "modes",
        {"modes": "of generated points", "modes_real": "there are"},
        "A mode is covered if a good point is nearest to it; fewer than there are is mode collapse.",
        shown=[0],
    ),
    Chart(
        "Good points",
        "share",
        {"good": "generated points", "good_real": "real points"},
        "A point is good within three standard deviations of the middle of a mode.",
        shown=[0, 1],
    ),
    Chart(
        "Precision and recall",
        "share",
        {
            "precision": "precision, generated images that could be real",
            "recall": "recall, real images that could be generated",
            "precision_real": "precision of real images",
            "recall_real": "recall of real images",
            "precision_mosaic": "precision of mosaics of real images",
            "recall_mosaic": "recall of mosaics of real images",
        },
        "Precision is fidelity, recall is variety; recall that falls while precision stays is a generator that drops modes.",
        shown=[0, 1],
    ),
    Chart(
        "Diversity",
        "distance of two images",
        {"spread": "spread", "spread_within_classes": "least of the spreads within a class"},
        "Relative to that of real images; a fall is mode collapse: the same images for different latent vectors.",
        line=(1.0, "as real images"),
        shown=[0],
    ),
    Chart(
        "Labels",
        "-log P(label | x)",
        {"label_error": "error of the label head on real images"},
        "Falls as the discriminator learns to distinguish the classes, which it then requires of generated images too.",
        shown=[0],
    ),
    Chart(
        "Codes",
        "-log Q(c | x)",
        {"code_error": "error of the code heads"},
        "Falls as the images come to show the codes they were generated from.",
        shown=[0],
    ),
    Chart(
        "Logits",
        "logit",
        {
            "logit_real": "mean, real images",
            "logit_fake": "mean, generated images",
            "logit_mean": "mean of both",
            "logit_std": "their spread",
        },
        "A spread near zero means that the discriminator gives all images the same logit, from which nothing can be learned.",
        shown=[0],
    ),
    Chart(
        "Speed",
        "images per second",
        {"pictures_per_second": "images per second"},
        "Level is good; a dip is another program on the same machine, or the generation of samples.",
        shown=[0],
    ),
]
DISTANCES = {"frechet", "fid", "energy"}  # keys by which checkpoints are ranked
_KNOWN = {key for chart in CHARTS for key in chart.labels} | {"pictures", "seconds"}


def other_charts(keys: Iterable[str]) -> list[Chart]:
    """A separate chart for each key that no chart above has, since it is not known which of them share a scale."""
    others = [key for key in keys if key not in _KNOWN and not key.endswith(SPREAD)]
    return [Chart(key, key, {key: key}, "A further statistic of this run.") for key in others]


def of_points(chart: Chart) -> Chart:
    """The chart in the words of a run on points in the plane."""
    labels = {key: text.replace("images", "points") for key, text in chart.labels.items()}
    return replace(
        chart, labels=labels, reading=chart.reading.replace("images", "points"), axis=chart.axis.replace("images", "points")
    )
