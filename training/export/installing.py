"""Installing: a finished model is measured and copied to the models of the service, where it may replace a worse one."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from gan import atomic, model_folder
from gan.errors import ModelFolderError
from gan.manifest import Manifest
from gan.manifest_parts import Metric
from training.errors import UsageError
from training.evaluation.evaluator import Evaluator
from training.evaluation.ranking import ranked_by
from training.evaluation.real_images import FIRST_SEED
from training.evaluation.samples import ModelSampler, SeedRange, render_pairs

_log = logging.getLogger(__name__)


def measure_model(evaluator: Evaluator, model: Path, samples: int, sets: int = 1, nearest: Path | None = None) -> list[Metric]:
    """Measure a model folder for its card: images of test seeds, generated as by the service, against test images.

    `sets` samples of so many seeds each give every measure its standard deviation. `nearest` is a PNG file to write: the images
    nearest to training images, each beside that training image.
    """
    seeds = SeedRange(samples, FIRST_SEED["test"], sets)
    _log.info(f"measuring the model by {sets} times {samples:,} images, which takes minutes; --measure-sets 1 is quicker")
    found = evaluator.evaluate(ModelSampler(model).generate(seeds), seeds=str(seeds), progress=True)
    for remark in found.remarks:
        _log.info(remark)
    if nearest is not None:
        atomic.write_bytes_atomically(nearest, render_pairs(found.suspects, evaluator.test.train, found.pairs))
    return found.measurements


def rank_models(evaluator: Evaluator, models: list[Path], samples: int) -> list[Metric]:
    """The distance of each model folder from the selection images, under one protocol; less is better."""
    checkpoint_evaluator = evaluator.checkpoint_evaluator(samples)
    seeds, distances = SeedRange(samples, FIRST_SEED["selection"]), []
    for model in models:
        (sample,) = ModelSampler(model).generate(seeds)
        found = checkpoint_evaluator.measure(sample.images)
        name = ranked_by(found)
        assert name is not None, "every measurement has a distance"
        distances.append(
            Metric(name=name, value=found[name], protocol=checkpoint_evaluator.protocol, real=checkpoint_evaluator.real[name])
        )
    return distances


def install(model: Path, models: Path) -> None:
    """Copy a finished model to the models of the service, unless one of its name exists there. Raises UsageError."""
    target = models / model_folder.read_manifest(model).name
    try:
        model_folder.copy(model, target)
        _log.info(f"copied to {target}; `make serve` serves it")
    except FileExistsError:
        _log.info(f"{target} exists already and was left as it is; add --promote to replace it if the new model is better")
    except OSError as error:
        raise _not_copied(model, target, error) from error


def check_replaceable(target: Path) -> None:
    """Raises UsageError if something is there that --promote could not replace."""
    if target.exists() and not target.is_dir():
        raise UsageError(f"--promote: {target} is a file: move it away, or give another --name")


def promote(model: Path, models: Path, rank: Callable[[list[Path]], list[Metric]]) -> None:
    """Install a finished model, and replace the one of its name there if that is worse: has the larger Fréchet distance.

    `rank` measures both by images that are in no reported measure: choosing by the reported ones would make those of the chosen
    model too good. The replaced model is kept beside the new one, in the run's folder. Raises UsageError.
    """
    new = model_folder.read_manifest(model)
    target = models / new.name
    if not target.exists():
        install(model, models)
        return
    try:
        old = model_folder.read(target).manifest
    except ModelFolderError as error:
        raise UsageError(f"--promote: {error}, or move {target} away") from error
    if old.version == new.version:
        _log.info(f"{target} is this model already")
        return
    if _shape(old) != _shape(new):
        _log.info(
            f"{target} was left as it is: it draws {_describe(old)}, and the new model {_describe(new)}; "
            "move the old one away to have the new one there"
        )
        return

    _log.info(f"measuring {target} and the new model by the selection images")
    before, after = rank([target, model])
    distances = f"{after.name}: {after.value:.6g}, and {before.value:.6g} of {old.name}@{old.version} ({after.protocol})"
    if not after.value < before.value:
        _log.info(f"{target} was left as it is, since the new model is not better. {distances}")
        return
    kept = model.parent / f"replaced-{old.version}"
    try:
        if not kept.exists():
            model_folder.copy(target, kept)
        model_folder.copy(model, target, replace=True)
    except OSError as error:
        raise _not_copied(model, target, error) from error
    _log.info(
        f"{target} was replaced by {new.name}@{new.version}, which is better. {distances}\n"
        f"the old one is in {kept}; to go back: rm -r {target} && cp -r {kept} {target}"
    )


def _shape(manifest: Manifest) -> tuple[object, ...]:
    """The properties that requests to a model depend on."""
    return manifest.channels, manifest.height, manifest.width, manifest.z_dim, manifest.classes, manifest.codes


def _describe(manifest: Manifest) -> str:
    colour = "grey" if manifest.channels == 1 else "coloured"
    classes = f" of {', '.join(manifest.classes)}" if manifest.classes else ""
    codes = f" by {', '.join(f'{code.name}={code.categories or 1}' for code in manifest.codes)}" if manifest.codes else ""
    return f"{colour} {manifest.width}x{manifest.height} images{classes} from {manifest.z_dim} numbers{codes}"


def _not_copied(model: Path, target: Path, error: OSError) -> UsageError:
    reason: object = error
    if isinstance(error, shutil.Error):  # one for each file, of which the first says enough
        reason = error.args[0][0][2]
    return UsageError(f"--models: cannot copy {model} to {target} ({reason}); see that there is room, or copy it by hand")
