"""Directions of attributes that people gave: scores of a model's own images, or real pictures that a predictor learns from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan.latents import SEEDS
from gan.manifest import Manifest
from gan.manifest_parts import Direction
from training.data.tables import SEED, Table, read_table
from training.directions import pictures, predictor
from training.directions.attributes import Measure
from training.directions.finding import Found, Options, too_weak
from training.directions.regression import Figures, Floats, Line, figures, fit_line
from training.directions.sampling import Sampler, latents_of
from training.directions.scores import Target, class_of_rows, named_apart, targets
from training.errors import UsageError

_FOLDS = 5  # of the cross-validation of scores, which are too few to set some aside


@dataclass(frozen=True)
class Given:
    """What the command was given."""

    attributes: Path | None
    columns: str | None
    data: Path | None
    classes: Path | None
    taken: Sequence[str] = ()  # names of directions that are found beside these

    def table(self) -> Table | None:
        """The table of attributes. Raises UsageError as `read_table` does."""
        return None if self.attributes is None else read_table(self.attributes)

    def targets(self, table: Table, manifest: Manifest) -> tuple[list[Target], list[str]]:
        """What the table says, of the columns asked for; and sentences about the others."""
        wanted = None if self.columns is None else [name.strip() for name in self.columns.split(",")]
        found, passed = targets(table, wanted, manifest.classes, self.taken)
        if not found:
            raise UsageError(f"--attributes: {table.path} has no column that can be used: {'; '.join(passed)}")
        return found, [f"not used: {sentence}" for sentence in passed]


def learned(manifest: Manifest, given: Given, options: Options) -> tuple[Measure | None, list[str]]:
    """A predictor of the attributes in real pictures, but for those that it reads badly; and what is to be said of it.

    None if no pictures were given. Raises UsageError and DataError.
    """
    sets, said = [], list[str]()
    if (table := given.table()) is not None and table.key != SEED:
        found, said = given.targets(table, manifest)
        folder = given.data or table.path.parent
        sets.append(pictures.of_table(table, found, folder, manifest, options.first_seed))
    if given.classes is not None:
        sets.append(pictures.of_two_folders(given.classes, manifest, options.first_seed))
    if not sets:
        return None, []
    if len(sets) > 1:
        raise UsageError("--classes and --attributes with pictures: give one of them, then the other with --keep")
    images, wanted = sets[0][0], named_apart(sets[0][1], given.taken)
    trained = predictor.train(images, wanted, options.first_seed)
    kept = []
    for place, (attribute, quality) in enumerate(zip(trained.attributes, trained.quality, strict=True)):
        reason = too_weak(attribute, [quality], options)
        if reason is None:
            kept.append(place)
        figure = f"R² {quality.r2:.3f}" if quality.auroc is None else f"AUROC {quality.auroc:.3f}"
        said.append(f"{attribute.name}: read off held-out pictures with {figure}" + ("" if reason is None else ": dropped"))
    return trained.measure(kept) if kept else None, said


def from_scores(sampler: Sampler, given: Given, options: Options) -> tuple[list[Found], list[str]]:
    """Directions of scores that people gave to images of seeds, one for all classes; and what is to be said of them.

    Images have the class that a column of the table names, or else that of their seed. The figures are of cross-validation; what a
    move does to an attribute that only people see is not measured. Raises UsageError.
    """
    table = given.table()
    if table is None or table.key != SEED:
        return [], []
    if given.data is not None:
        raise UsageError(f"--data is for a table with a column called file, and {table.path} has one called {SEED}: leave it out")
    wanted, said = given.targets(table, sampler.manifest)
    rows = sampler.rows([_seed(table, row[SEED]) for row in table.rows], class_of_rows(table, sampler.manifest.classes))
    latents, labels = latents_of(rows), rows.get("label")
    found = []
    for target in wanted:
        known = ~np.isnan(target.values)
        line, fits = _cross_validated(
            latents[known], target.values[known], None if labels is None else labels[known], target.attribute.yes_or_no
        )
        if (reason := too_weak(target.attribute, [fits], options)) is not None:
            said.append(f"dropped: {target.attribute.name}: {reason}, in cross-validation over {known.sum()} images")
            continue
        about = Direction(
            name=target.attribute.name,
            kind="regression",
            about=f"{target.attribute.about}, as people scored {known.sum()} images",
            r2=round(fits.r2, 4),
            auroc=None if fits.auroc is None else round(fits.auroc, 4),
        )
        found.append(Found(about, (line.direction * sampler.deviation(latents, line.direction)).astype(np.float32)))
    return found, said


def _seed(table: Table, text: str) -> int:
    if not text.isdecimal() or int(text) >= SEEDS:
        raise UsageError(
            f"--attributes: {table.path} has {text!r} in its column {SEED}, where a number from 0 to {SEEDS - 1} belongs"
        )
    return int(text)


def _cross_validated(latents: Floats, values: Floats, labels: Floats | None, yes_or_no: bool) -> tuple[Line, Figures]:
    """The line for all samples, and the figures of predictions of each fifth by the others. Each class has its own mean."""
    predicted = np.empty(len(values))
    centred = values - _means(values, labels, np.ones(len(values), bool))
    for aside in _folds(len(values)):
        used = ~aside
        means = _means(values, labels, used)
        predicted[aside] = fit_line(latents[used], (values - means)[used]).at(latents[aside]) + means[aside]
    return fit_line(latents, centred), figures(predicted, values, values > 0.5 if yes_or_no else None)


def _folds(n: int) -> Iterator[np.ndarray]:
    order = np.random.default_rng(0).permutation(n)
    for fold in range(_FOLDS):
        aside = np.zeros(n, bool)
        aside[order[fold::_FOLDS]] = True
        yield aside


def _means(values: Floats, labels: Floats | None, used: np.ndarray) -> Floats:
    """The mean, over the used samples, of each sample's class; of all where a class has none."""
    found = np.full(len(values), values[used].mean())
    if labels is not None:
        for label in np.unique(labels[used]):
            found[labels == label] = values[used & (labels == label)].mean()
    return found
