"""The measuring command: `python -m training.evaluate`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from training.commands import Flags, explain, parse
from training.config import Count

if TYPE_CHECKING:
    from training.classifier import Classifier
    from training.features import Extractor
    from training.quality import Assessment
    from training.subjects import Drawn, RealData

_EXAMPLES = """examples:
  python -m training.evaluate models/fashion-mnist-dcgan              seeds 0 to 4999 against Fashion-MNIST's held-out pictures
  python -m training.evaluate runs/003-fashion-mnist-cgan --json      the model of a run, as JSON
  python -m training.evaluate models/shoes --data ./my-pictures       a model of one's own pictures
  python -m training.evaluate ./drawn --data ./my-pictures            pictures in a folder, drawn by anything
  python -m training.evaluate models/shoes --data ./my-pictures --pairs pairs.png
                                                                      and the most suspicious ones beside training pictures
"""


class _CommandLine(Flags):
    """Measure how good generated pictures are: a model's, a run's, or those in a folder, beside real ones.

    Each number is printed with its protocol, and beside it what real pictures get under the same one, as a yardstick.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    target: CliPositionalArg[Path]
    """a model folder, whose seeds are drawn, each with its own label; a run's folder; or a folder of pictures"""
    data: str = "fashion-mnist"
    """what the model was trained on: 'fashion-mnist' or a folder of pictures, as for training.run"""
    features: Literal["auto", "inception", "classifier", "random"] = "auto"
    """the network that measures: inception compares with published numbers and needs its weights; classifier is trained on the
    labels of the data, once, in minutes; random needs nothing and says least; auto takes the first that can be had"""
    inception_weights: Path | None = None
    """torch-fidelity's file of Inception V3 weights, where it cannot be downloaded"""
    against: Literal["auto", "held-out", "training"] = "auto"
    """the real side: auto takes held-out pictures where the data has any"""
    samples: Count = 5_000
    """pictures to draw, or to take from a folder at most; numbers compare only for as many"""
    seed_start: int = Field(0, ge=0, lt=2**32)
    """the first seed"""
    resolution: int = Field(32, gt=0)
    """for a folder of pictures: the side in pixels that they and the data are brought to; a model has its own"""
    pairs: Path | None = None
    """a PNG file to write: the generated pictures nearest to training pictures, each beside that one"""
    as_json: bool = Field(False, validation_alias="json")
    """print JSON instead of a table"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command; returns the exit status, 2 for a command that cannot be carried out as given."""
    given = parse(_CommandLine, "training.evaluate", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    from gan.artifact import ModelFolderError
    from training.data import DataError
    from training.features import FeaturesUnavailableError
    from training.subjects import SubjectError

    try:
        _evaluate(_CommandLine.model_validate(given))
    except ValidationError as error:
        print(explain("training.evaluate", error), file=sys.stderr)
    except (SubjectError, ModelFolderError, DataError, FeaturesUnavailableError) as error:
        print(f"training.evaluate: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    else:
        return 0
    return 2


def _evaluate(command: _CommandLine) -> None:
    from training import subjects
    from training.features import choose
    from training.quality import assess

    model = subjects.find_model(command.target)
    size, conditional = (command.resolution, command.resolution), False
    if model is not None:
        from gan.artifact import read_manifest

        manifest = read_manifest(model)
        size, conditional = (manifest.height, manifest.width), manifest.classes is not None
    known = conditional or subjects.has_known_labels(command.data)
    preferred = None if command.features == "auto" else command.features
    name, why = choose(preferred, labelled=known, inception_weights=command.inception_weights)
    # Training a classifier takes minutes: whoever asks for random features of an unconditional model is not to wait for it.
    labelled = conditional or name == "classifier" or (known and name == "inception")
    data = subjects.load(command.data, size, labelled=labelled)
    if model is not None:
        drawn = subjects.draw(model, samples=command.samples, seed_start=command.seed_start)
    else:
        drawn = subjects.read(command.target, size, samples=command.samples)
    drawn = subjects.fit(drawn, data.real)
    if model is not None and conditional and manifest.classes != list(data.classes):
        raise subjects.SubjectError(
            f"--data {command.data} has other classes than {model} was trained on: give the data it was trained on"
        )

    try:
        # First what may not be to be had: a classifier takes minutes to train.
        extractor = _inception(command.inception_weights) if name == "inception" else None
        classifier = _classifier(data) if data.labels is not None else None
        found = assess(
            drawn.pictures,
            data.real,
            extractor or _other(name, classifier),
            against=None if command.against == "auto" else command.against,
            labels=drawn.labels,
            classifier=classifier,
            class_names=data.classes,
            progress=True,
        )
    except ValueError as error:
        raise subjects.SubjectError(f"{error}; see --samples, --against and --data") from error
    if command.pairs is not None:
        _write_pairs(command.pairs, drawn.pictures, data.real.train, found)
    if command.as_json:
        print(json.dumps(_as_json(drawn, data, why, found), indent=2))
    else:
        print(_as_table(drawn, data, why, found))


def _classifier(data: "RealData") -> "Classifier":
    from training.classifier import load_or_train

    assert data.labels is not None, "called for labelled data"
    real = data.real
    held_out = None if real.held_out is None or real.held_out_labels is None else (real.held_out, real.held_out_labels)
    return load_or_train(
        real.train, data.labels, classes=len(data.classes), fingerprint=data.fingerprint, held_out=held_out, progress=True
    )


def _inception(weights: Path | None) -> "Extractor":
    import torch

    from training.features import inception_network

    return inception_network(weights, device="cuda" if torch.cuda.is_available() else "cpu")


def _other(name: str, classifier: "Classifier | None") -> "Extractor":
    from training.features import classifier_network, random_network

    return classifier_network(classifier) if name == "classifier" and classifier is not None else random_network()


def _write_pairs(path: Path, generated: NDArray[np.uint8], train: NDArray[np.uint8], found: "Assessment") -> None:
    from gan.imaging import encode, enlarge, grid
    from training import subjects

    pairs = found.memorisation.pairs
    sheet = np.stack([picture for pair in pairs for picture in (generated[pair.generated], train[pair.training])])
    try:
        path.write_bytes(encode(enlarge(grid(sheet.transpose(0, 2, 3, 1), columns=8), 2), "png"))
    except OSError as error:
        raise subjects.SubjectError(f"--pairs {path}: cannot be written ({error.strerror}); give another file") from error


def _as_json(drawn: "Drawn", data: "RealData", why: str, found: "Assessment") -> dict[str, Any]:
    shares = {} if found.class_shares is None else dict(zip(data.classes, found.class_shares.tolist(), strict=True))
    return {
        "pictures": drawn.about,
        "data": data.about,
        "features": why,
        "measurements": [
            {"name": one.name, "value": one.value, "real": one.real, "protocol": one.protocol} for one in found.measurements
        ],
        "class_shares": shares,
        "nearest": [
            {"generated": pair.generated, "training": pair.training, "ratio": pair.ratio} for pair in found.memorisation.pairs
        ],
    }


def _as_table(drawn: "Drawn", data: "RealData", why: str, found: "Assessment") -> str:
    wide = max(len(one.name) for one in found.measurements)
    lines = [f"pictures: {drawn.about}", f"data: {data.about}", why, "", f"{'measure':{wide}}  generated       real  protocol"]
    for one in found.measurements:
        real = "" if one.real is None else f"{one.real:.4g}"
        lines.append(f"{one.name:{wide}}  {one.value:>9.4g}  {real:>9}  {one.protocol}")
    if found.class_shares is not None:
        parts = [f"{name} {100 * share:.1f} %" for name, share in zip(data.classes, found.class_shares, strict=True)]
        lines += ["", f"shares of the classes, as the classifier sees them: {', '.join(parts)}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
