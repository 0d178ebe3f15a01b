"""Directions of attributes: found on images of a model's seeds, and measured on others of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gan.directions import Directions
from gan.latents import seed_range
from gan.manifest_parts import Direction
from training.directions.attributes import Attribute, Measure, Values
from training.directions.regression import Figures, Floats, Line, figures, fit_line, varies
from training.directions.sampling import Sampler, latents_of
from training.tracking.progress_bar import Progress

_NOISE = 0.2  # of the largest part of a direction
MOVES = (-2.0, 1.0, 2.0)  # units by which images are moved to see what a direction does; the manifest has the effect of 1
_ONE_IN = 4  # images that no line is fitted to
_LEAST_SHIFT = 0.5  # of the attribute by the largest of these: less would not be seen, however well a line fits
_MOVED, _FEWEST_MOVED = 400, 50  # images that are moved, of all classes together and of each


@dataclass(frozen=True)
class Options:
    """How attributes are followed."""

    samples: int  # images of each class, or in all without classes
    first_seed: int
    shared: bool  # one direction for all classes
    least_r2: float  # held-out R^2 below which a direction is dropped
    least_auroc: float  # and area under the ROC curve, of yes or no


@dataclass(frozen=True)
class Found:
    """A direction with its figures, which are means over the classes that have it."""

    about: Direction  # for the manifest
    array: NDArray[np.float32]  # [size], or [classes, size]
    shifts: Mapping[float, float] = field(default_factory=dict)  # move -> shift of the attribute, in its standard deviations
    classes: int | None = None  # that it was measured in; None: there are none
    least: Figures | None = None  # the smallest of any class, each for itself


@dataclass(frozen=True)
class Drawn:
    """Images of one class, measured."""

    label: int | None
    seeds: list[int]
    latents: Floats  # [n, size]
    values: Values  # [n, attributes]

    @property
    def used(self) -> slice:
        """Those that lines are fitted to."""
        return slice(len(self.seeds) - len(self.seeds) // _ONE_IN)

    @property
    def aside(self) -> slice:
        """The others."""
        return slice(len(self.seeds) - len(self.seeds) // _ONE_IN, None)


@dataclass(frozen=True)
class _Fit:
    """A line for one class, and its figures there."""

    line: Line
    figures: Figures


def draw(sampler: Sampler, measures: Sequence[Measure], samples: int, first_seed: int) -> list[Drawn]:
    """Draw and measure so many images of each class, each of a seed of its own."""
    found = []
    with _progress(samples * len(sampler.labels)) as count_images:
        for place, label in enumerate(sampler.labels):
            seeds = seed_range((first_seed + place * samples) % 2**32, samples)
            rows = sampler.rows(seeds, label)
            found.append(Drawn(label, seeds, latents_of(rows), sampler.measure(rows, measures, count_images)))
    return found


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """The progress of so many images: a bar on a terminal, a line now and then elsewhere; yields what counts them."""
    progress = Progress(total, 0, shown=True)

    def count_images(images: int) -> None:
        progress.update(images)
        progress.set_statistics(total, {})

    try:
        yield count_images
    finally:
        progress.close()


def follow(sampler: Sampler, measures: Sequence[Measure], options: Options) -> tuple[list[Found], list[str]]:
    """Find the direction of each attribute; returns them, and a sentence for each attribute that has none to speak of."""
    drawn = draw(sampler, measures, options.samples, options.first_seed)
    columns = [(measure, column) for measure in measures for column in range(len(measure.attributes))]
    fits: dict[int, dict[int | None, _Fit]] = {}
    dropped = []
    for place, (measure, column) in enumerate(columns):
        attribute = measure.attributes[column]
        having = [one for one in drawn if _has(attribute, one, place)]
        found = (_fit_together if options.shared else _fit_each)(having, attribute, place)
        reason = too_weak(attribute, [fit.figures for fit in found.values()], options)
        if reason is None:
            fits[place] = found
        else:
            dropped.append(f"{attribute.name}: {reason}")
    arrays = {columns[place][0].attributes[columns[place][1]].name: _array(sampler, drawn, found) for place, found in fits.items()}
    directions = Directions(arrays, sampler.manifest.latent, on_sphere=not sampler.manifest.attributes)
    kept = []
    havings = {place: [one for one in drawn if one.label in found] for place, found in fits.items()}
    with _progress(
        sum(len(MOVES) * sum(len(_moved(one, having)) for one in having) for having in havings.values())
    ) as count_images:
        for place, found in fits.items():
            measure, column = columns[place]
            shifts = _mean_shifts(sampler, directions, havings[place], place, measure, column, count_images)
            if shifts[MOVES[-1]] < _LEAST_SHIFT:
                shift = f"{shifts[MOVES[-1]]:+.2f} standard deviations, below {_LEAST_SHIFT:g}"
                dropped.append(f"{measure.attributes[column].name}: a move by {MOVES[-1]:g} shifts it by {shift}")
                continue
            kept.append(_described(measure.attributes[column], list(found.values()), arrays, shifts, drawn))
    return kept, dropped


def _has(attribute: Attribute, one: Drawn, place: int) -> bool:
    within = attribute.classes is None or one.label in attribute.classes
    return within and varies(one.values[one.used, place], attribute.yes_or_no)


def _fit_each(having: Sequence[Drawn], attribute: Attribute, place: int) -> dict[int | None, _Fit]:
    """A line for each class."""
    found = {}
    for one in having:
        line = fit_line(one.latents[one.used], one.values[one.used, place])
        true = one.values[one.aside, place]
        found[one.label] = _Fit(line, figures(line.at(one.latents[one.aside]), true, true > 0 if attribute.yes_or_no else None))
    return found


def _fit_together(having: Sequence[Drawn], attribute: Attribute, place: int) -> dict[int | None, _Fit]:
    """One line for all classes, in each of which values are counted from its own mean in its own standard deviations."""
    if not having:
        return {}
    scaled = []
    for one in having:
        values = one.values[:, place]
        scaled.append((values - values[one.used].mean()) / values[one.used].std())
    line = fit_line(
        np.concatenate([one.latents[one.used] for one in having]),
        np.concatenate([values[one.used] for one, values in zip(having, scaled, strict=True)]),
    )
    found = {}
    for one, values in zip(having, scaled, strict=True):
        yes = one.values[one.aside, place] > 0 if attribute.yes_or_no else None
        found[one.label] = _Fit(line, figures(line.at(one.latents[one.aside]), values[one.aside], yes))
    return found


def too_weak(attribute: Attribute, found: Sequence[Figures], options: Options) -> str | None:
    """Why a direction is not worth keeping; None if it is."""
    if not found:
        return "it is the same in all images" if not attribute.yes_or_no else "hardly any image, or every one, has it"
    if attribute.yes_or_no:
        auroc = mean_auroc(found)
        return None if auroc >= options.least_auroc else f"held-out AUROC {auroc:.2f}, below {options.least_auroc:g}"
    r2 = float(np.mean([one.r2 for one in found]))
    return None if r2 >= options.least_r2 else f"held-out R² {r2:.2f}, below {options.least_r2:g}"


def mean_auroc(found: Sequence[Figures]) -> float:
    """The mean of those that there are; 0.5, which is chance, if there are none."""
    values = [one.auroc for one in found if one.auroc is not None]
    return float(np.mean(values)) if values else 0.5


def _array(sampler: Sampler, drawn: Sequence[Drawn], fits: Mapping[int | None, _Fit]) -> NDArray[np.float32]:
    """The direction in units of moves: of each class, zeros where it has none, or the one that all share."""
    latents = {one.label: one.latents for one in drawn}
    lines = {id(fit.line) for fit in fits.values()}
    if None in fits or (len(lines) == 1 and len(fits) == len(drawn) > 1):
        direction = _without_noise(next(iter(fits.values())).line.direction, sampler)
        return (direction * sampler.deviation(np.concatenate(list(latents.values())), direction)).astype(np.float32)
    found = np.zeros((len(drawn), sampler.size), np.float32)
    for label, fit in fits.items():
        assert label is not None, "models without classes have one line"
        direction = _without_noise(fit.line.direction, sampler)
        found[label] = direction * sampler.deviation(latents[label], direction)
    return found


def _without_noise(direction: Floats, sampler: Sampler) -> Floats:
    """The direction, of length 1, without small parts along components that choose attributes.

    These are the error of the fit, and would choose other values of attributes that the direction is not about.
    """
    small = np.abs(direction) < _NOISE * np.abs(direction).max()
    small[len(sampler.manifest.attributes) :] = False
    kept = np.where(small, 0, direction)
    return kept / max(float(np.linalg.norm(kept)), 1e-12)


def _moved(one: Drawn, having: Sequence[Drawn]) -> list[int]:
    """The seeds of those of its images that are moved, where `having` are all classes with the attribute."""
    return one.seeds[one.aside][: max(_FEWEST_MOVED, _MOVED // len(having))]


def _mean_shifts(
    sampler: Sampler,
    directions: Directions,
    having: Sequence[Drawn],
    place: int,
    measure: Measure,
    column: int,
    count_images: Callable[[int], None],
) -> dict[float, float]:
    """Shifts of an attribute, column `place` of what was drawn, on images that its line was not fitted to."""
    found = {}
    for units in MOVES:
        shifts = []
        for one in having:
            seeds = _moved(one, having)
            before = one.values[one.aside, place][: len(seeds)]
            moved = directions.moved(sampler.rows(seeds, one.label), {measure.attributes[column].name: units})
            after = sampler.measure(moved, [measure], count_images)[:, column]
            shifts.append(float((after - before).mean() / one.values[:, place].std()))
        found[units] = float(np.mean(shifts))
    return found


def _described(
    attribute: Attribute,
    fits: Sequence[_Fit],
    arrays: Mapping[str, NDArray[np.float32]],
    shifts: Mapping[float, float],
    drawn: Sequence[Drawn],
) -> Found:
    found = [fit.figures for fit in fits]
    about = Direction(
        name=attribute.name,
        kind="regression",
        about=attribute.about,
        r2=round(float(np.mean([one.r2 for one in found])), 4),
        auroc=round(mean_auroc(found), 4) if attribute.yes_or_no else None,
        effect=round(shifts[1.0], 4),
    )
    least = Figures(min(one.r2 for one in found), min((one.auroc for one in found if one.auroc is not None), default=None))
    return Found(about, arrays[attribute.name], shifts, None if drawn[0].label is None else len(fits), least)
