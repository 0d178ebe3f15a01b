"""What a model's directions do, by images of fresh seeds: `python -m benchmarks.directions models/fashion-mnist`.

For each direction of an attribute, within each class, and the mean over the classes that have it (the least in brackets): the
squared correlation of the attribute with the place along the direction (the R^2 of the best line in it), the area under the ROC
curve for yes and no, and the shift of the attribute by moves of -2 and +2, in its standard deviations. What people said of real
pictures is read by a judge, a predictor of its own: give it pictures that the directions were not found by. With `--others`: what
each direction does to all measured attributes.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from gan import model_folder
from gan.directions import Directions
from gan.latents import seed_range
from training.directions.attributes import Attribute, Measure, measured_on_images
from training.directions.finding import Drawn, Options, draw
from training.directions.given import Given, learned
from training.directions.regression import varies
from training.directions.sampling import Sampler
from training.evaluation.real_images import FIRST_SEED

_MOVES = (-2.0, 2.0)
_JUDGE_SEED = 1


def main() -> None:
    """Print a row for each direction."""
    parser = argparse.ArgumentParser("python -m benchmarks.directions", description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder with directions")
    parser.add_argument("--samples", type=int, default=1000, help="images of each class (default: %(default)s)")
    parser.add_argument(
        "--moved", type=int, default=200, help="of these, images of each class that are moved (default: %(default)s)"
    )
    parser.add_argument("--attributes", type=Path, help="a CSV file of pictures, as training.directions takes it, for the judge")
    parser.add_argument("--columns", help="as training.directions takes them")
    parser.add_argument("--data", type=Path, help="the folder of the pictures")
    parser.add_argument("--others", action="store_true", help="print instead what moves by +2 do to the other measured attributes")
    given = parser.parse_args()
    sampler = Sampler(model_folder.read(given.model))
    directions = Directions.read(sampler.folder)
    if given.others:
        _print_others(sampler, directions, given.moved)
        return
    judge, said = learned(
        sampler.manifest,
        Given(given.attributes, given.columns, given.data, None),
        Options(given.samples, _JUDGE_SEED, shared=False, least_r2=0.4, least_auroc=0.8),
    )
    print("\n".join(said))
    measures = [measured_on_images(sampler.manifest.channels), *([] if judge is None else [judge])]
    drawn = draw(sampler, measures, given.samples, FIRST_SEED["test"])
    columns = [(measure, column) for measure in measures for column in range(len(measure.attributes))]
    print(
        f"\n{sampler.folder.title}, {given.samples} images of each class from seed {FIRST_SEED['test']} on, {given.moved} moved\n"
    )
    print("| direction | classes | R² | AUROC | shift at -2 | at +2 |\n|---|---|---|---|---|---|")
    for place, (measure, column) in enumerate(tqdm(columns, unit="direction", leave=False, disable=None)):
        name = measure.attributes[column].name
        if name in directions.names:
            having = [one for one in drawn if _is_measured(directions, measure.attributes[column], one, place)]
            tqdm.write(_row(sampler, directions, having, place, measure, column, given.moved))


def _is_measured(directions: Directions, attribute: Attribute, one: Drawn, place: int) -> bool:
    return directions.has_effect(attribute.name, one.label) and varies(one.values[:, place], attribute.yes_or_no)


def _row(
    sampler: Sampler, directions: Directions, having: list[Drawn], place: int, measure: Measure, column: int, moved: int
) -> str:
    attribute = measure.attributes[column]
    if not having:
        return f"| {attribute.name} | none has it | | | | |"
    r2, auroc, shifts = [], [], []
    for one in having:
        values = one.values[:, place]
        along = one.latents @ directions.of(attribute.name, one.label)
        r2.append(np.corrcoef(along, values)[0, 1] ** 2)
        if attribute.yes_or_no:
            auroc.append(roc_auc_score(values > 0, along))
        rows = sampler.rows(one.seeds[:moved], one.label)
        moves = [directions.moved(rows, {attribute.name: units}) for units in _MOVES]
        changed = [sampler.measure(moved_rows, [measure])[:, column] for moved_rows in moves]
        shifts.append([(after - values[:moved]).mean() / values.std() for after in changed])
    low, high = np.mean(shifts, 0)
    yes = f"{np.mean(auroc):.3f} ({min(auroc):.3f})" if auroc else ""
    return f"| {attribute.name} | {len(having)} | {np.mean(r2):.2f} ({min(r2):.2f}) | {yes} | {low:+.2f} | {high:+.2f} |"


def _print_others(sampler: Sampler, directions: Directions, moved: int) -> None:
    """Mean sizes, over classes, of the shifts of all measured attributes; also by directions without what they share."""
    measure = measured_on_images(sampler.manifest.channels)
    columns = [place for place, attribute in enumerate(measure.attributes) if attribute.name in directions.names]
    names = [measure.attributes[place].name for place in columns]
    found = {name: np.stack([directions.of(name, label) for label in sampler.labels]) for name in names}
    apart = {name: _apart(found[name], [found[other] for other in names if other != name]) for name in names}
    for title, arrays in (("as found", found), ("orthogonal to the others", apart)):
        some = Directions(
            {name: array if len(array) > 1 else array[0] for name, array in arrays.items()},
            sampler.manifest.latent,
            on_sphere=not sampler.manifest.attributes,
        )
        shifts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for label in sampler.labels:
            rows = sampler.rows(seed_range(FIRST_SEED["test"], moved), label)
            before = sampler.measure(rows, [measure])
            for name in names:
                after = sampler.measure(some.moved(rows, {name: _MOVES[-1]}), [measure])
                shifts[name].append(np.abs((after - before).mean(0) / before.std(0))[columns])
        print(f"\n| {title}: a move by +2 of | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
        for name in names:
            print(f"| {name} | {' | '.join(f'{shift:.2f}' for shift in np.mean(shifts[name], 0))} |")


def _apart(array: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """Directions [classes, size] without their parts in the span of others, as long as before."""
    rest = []
    for label, direction in enumerate(array):
        span = np.stack([other[label] for other in others], 1)
        left = direction - span @ np.linalg.lstsq(span, direction)[0]
        rest.append(left * np.linalg.norm(direction) / np.linalg.norm(left))
    return np.stack(rest)


if __name__ == "__main__":
    main()
