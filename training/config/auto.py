"""What --recipe auto chooses: settings that suit the images, and the time that this machine has for them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan.networks.layers.base_grid import Size, base_grid
from training.config.points import POINTS_SEEN, is_points
from training.config.values import parse_count

if TYPE_CHECKING:
    from training.data import Survey

Candidate = tuple[str, int | None]  # resolution and width; None for the family's own
SecondsPerImage = Callable[[dict[str, Any]], float]  # of training with such settings on this machine

_SMALL_SET, _TINY_SET = 10_000, 2_000  # images
_WIDTHS = (64, 32)  # of dcgan's networks, whose own is 128
_LARGEST_SIDE = 64  # that two cores learn in hours
_SMALLER_SIDE = 32  # where there is no time for that
_LONG = 1.25  # times the shorter side: images that a square would cut too much off
_WORTH_LOOKING_AT = 300_000  # images to be seen until most generated ones are recognised, see docs/lab-book.md
UNBOUNDED = 10**9  # images of a run that the clock ends
_IMAGES = 800_000  # of one that it does not
_MINUTES = 120.0  # that a run may take which was given no --minutes
_CLEARLY = 1.2  # times as fast: less may be chance


@dataclass(frozen=True)
class Choice:
    """A setting that --recipe auto chooses, and why."""

    field: str
    value: Any
    reason: str


def choose(found: "Survey", asked: Mapping[str, Any], seconds_per_image: SecondsPerImage, processors: int) -> Iterator[Choice]:
    """Settings for the images that were found, beside those that were asked for; a setting that was asked for is not chosen.

    Training for some seconds shows whether one thread is faster than one for each of the `processors`, as it is where other
    programs keep these busy, and then how large images and networks can be.
    """
    if is_points(asked.get("data")):
        yield from (choice for choice in _for_points(asked) if choice.field not in asked)
        return
    chosen: dict[str, Any] = {}
    for choice in _by_images(found, asked):
        if choice.field not in asked:
            chosen[choice.field] = choice.value
            yield choice
    settings = {**chosen, **asked}
    sizes = _sizes(found) if "resolution" not in asked else [str(asked["resolution"])]
    has_width = settings.get("arch", "dcgan") == "dcgan" and "width" not in asked
    candidates = [(size, width) for size in sizes for width in (_WIDTHS if has_width else (asked.get("width"),))]
    if processors > 1 and "threads" not in asked and settings.get("device") != "cuda":
        quickest = _with(settings, candidates[-1])
        with_all, with_one = seconds_per_image(quickest), seconds_per_image({**quickest, "threads": 1})
        if with_all > _CLEARLY * with_one:
            settings["threads"] = 1
            yield Choice(
                "threads",
                1,
                f"{1 / with_one:,.0f} images/s, and {1 / with_all:,.0f} with {processors}, which wait for each other while other "
                "programs have the processors",
            )
    (size, width), images, reason = candidates[0], 0.0, ""
    if len(candidates) > 1 or settings.get("minutes") is not None:  # else there is nothing to decide by the time
        (size, width), images, reason = _affordable(candidates, settings, seconds_per_image)
    if "resolution" not in asked:
        yield Choice("resolution", size, f"the images are about {found.width}x{found.height}{reason and '; '}{reason}")
    if has_width:
        yield Choice("width", width, "dcgan's own is 128" if "resolution" not in asked else reason)
    yield from _length(images, settings, asked)


def _for_points(asked: Mapping[str, Any]) -> Iterator[Choice]:
    """What covered all modes of ring and grid, see docs/training.md."""
    yield Choice("objective", "relativistic", "as in R3GAN, which covers all modes of these sets")
    yield Choice("r1", 1e-3, "gentle slopes at real points, and no gentler: modes are narrow")
    yield Choice("r2", 1e-3, "the same at generated points")
    yield Choice("learning_rate_end", 5e-5, "small steps at the end bring points to the middle of their modes")
    yield Choice("anneal_images", parse_count(asked.get("images", POINTS_SEEN)), "what this run sees")


def _length(images: float, settings: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[Choice]:
    """The length of the run, of which `images` are seen in its minutes, and the learning rate over it."""
    if settings.get("minutes") is None:
        images = float(parse_count(asked.get("images", _IMAGES)))
    elif "images" not in asked:
        yield Choice("images", UNBOUNDED, "which --minutes ends before")
    else:
        images = min(images, float(parse_count(asked["images"])))
    rates = ("learning_rate", "learning_rate_end", "anneal_images")
    if settings.get("arch", "dcgan") == "dcgan" and not any(name in asked for name in rates):
        yield Choice("learning_rate", 4e-4, "twice the usual, since it falls")
        yield Choice("learning_rate_end", 2e-5, "small steps at the end take the grain out of the images")
        yield Choice("anneal_images", _rounded(images), "what this run sees")


def _by_images(found: "Survey", asked: Mapping[str, Any]) -> Iterator[Choice]:
    count = found.count
    if count < _SMALL_SET:
        why = f"of {count:,} images, fewer than {_SMALL_SET:,}, the discriminator would learn each by heart"
        yield Choice("augment", "translation" if found.channels == 1 else "diffaugment", why)
    if count < _TINY_SET:
        yield Choice("batch_size", min(32, max(count // 2, 2)), f"{count:,} images make few steps otherwise")
    if asked.get("arch", "dcgan") != "dcgan":
        return
    if asked.get("conditional") in (True, "true", "True"):
        yield Choice("aux_classifier_weight", 1.0, "an auxiliary classifier, since images are to show what their label says")
    if count < _TINY_SET:
        yield Choice("r1", 0.1, f"so few as {count:,} images are learned sooner by a discriminator with gentle slopes")
        yield Choice("penalty_every", 4, "which costs less than a penalty in every step")
    else:
        yield Choice("r1", 1.0, "without a penalty on the discriminator's gradients one image soon stands for each class")
        yield Choice("penalty_every", 16, "now and then is enough, and costs little")


def _sizes(found: "Survey") -> list[str]:
    """Sizes to train at, the best first."""
    whole = _suitable_size(found.height, found.width)
    sizes = [whole]
    if max(whole) > _SMALLER_SIDE:
        share = _SMALLER_SIDE / max(whole)
        smaller = _suitable_size(round(whole[0] * share), round(whole[1] * share))
        sizes += [smaller] if smaller != whole else []
    return [str(size[0]) if size[0] == size[1] else f"{size[1]}x{size[0]}" for size in sizes]


def _affordable(
    candidates: list[Candidate], settings: Mapping[str, Any], seconds_per_image: SecondsPerImage
) -> tuple[Candidate, float, str]:
    """The first candidate that sees enough images in the time there is, or else the last; how many it sees; and why."""
    limit = settings.get("minutes")
    minutes = _MINUTES if limit is None else float(limit)
    refused = ""
    for candidate in candidates:
        seconds = seconds_per_image(_with(settings, candidate))
        images, about = 60 * minutes / seconds, _size_and_width(*candidate)
        if images >= _WORTH_LOOKING_AT or candidate == candidates[-1]:
            time = f"in {minutes:g} minutes" + (" (--minutes sets another time)" if limit is None else "")
            verdict = "" if images >= _WORTH_LOOKING_AT else f", of {_WORTH_LOOKING_AT:,} that most images take: expect blobs"
            return candidate, images, f"{about} sees {_rounded(images):,} images {time}{verdict}{refused}"
        if not refused:
            enough = _duration(_WORTH_LOOKING_AT * seconds / 60)
            refused = f"; {about} would see {_rounded(images):,}, too few: for that give {enough}, or a GPU"
    raise AssertionError("there is a candidate")


def _with(settings: Mapping[str, Any], candidate: Candidate) -> dict[str, Any]:
    size, width = candidate
    return {**settings, "resolution": size, **({} if width is None else {"width": width})}


def _size_and_width(size: str, width: int | None) -> str:
    return (size if "x" in size else f"{size}x{size}") + ("" if width is None else f" with --width {width}")


def _rounded(images: float) -> int:
    """To two digits: as many as a few steps can tell."""
    digits = max(len(str(round(images))) - 2, 0)
    return max(round(round(images), -digits), 1)


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def _suitable_size(height: int, width: int) -> Size:
    """Height and width to train at: as the images are, but no larger than _LARGEST_SIDE and halving often enough."""
    short, long = min(height, width), max(height, width)
    if long < max(_LONG * short, 40):
        side = max(16, min(short, _LARGEST_SIDE))
        while not _halves(side, side):
            side -= 1
        return side, side
    longer = min(long, _LARGEST_SIDE) // 8 * 8
    shorter = max(32, round(longer * short / long / 8) * 8)
    longer = max(longer, shorter)
    return (longer, shorter) if height > width else (shorter, longer)


def _halves(height: int, width: int) -> bool:
    try:
        base_grid((height, width))
    except ValueError:
        return False
    return True
