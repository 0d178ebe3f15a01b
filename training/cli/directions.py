"""The command that finds directions for edits: `python -m training.directions`."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from gan import model_folder
from gan.latents import SEEDS
from gan.manifest import Manifest
from gan.paths import UserPath
from training.cli.console import log_lines
from training.cli.flags import Flags, parse, run_command
from training.config.values import Count
from training.disk import writing_to
from training.errors import UsageError

if TYPE_CHECKING:
    from training.directions.finding import Found
    from training.directions.sampling import Sampler

_EXAMPLES = """examples:
  python -m training.directions models/shoes                           of brightness, width, place …, and of the weights
  python -m training.directions models/shoes --samples 500             faster, for large images
  python -m training.directions models/faces --attributes options.csv --columns hairColor,glasses:any --data pictures
  python -m training.directions models/faces --keep --no-measured --sefa 0 --classes pictures     add one, of the pictures in
                                                                       pictures/sad and in pictures/happy
  python -m training.directions models/shoes --remove sefa-4,sefa-5    take some away again
"""
_FIRST_SEED = 2**30  # far from the seeds that people ask for, and from those that quality is measured by


class CommandLine(Flags):
    """Find directions in a model's latent space along which its images change in one way, for POST /edit."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    usage: ClassVar[str] = "MODEL [--flag value …]        (--help lists the flags)"

    model: CliPositionalArg[UserPath]
    """a model folder; its directions are written into it"""
    samples: Count = 2000
    """images that are drawn of each class, or in all without classes; a quarter of them measures what was found on the others"""
    sefa: int = Field(5, ge=0, le=100)
    """directions of the generator's first weights (SeFa); 0: none"""
    measured: bool = True
    """directions of what can be measured on any images: brightness, contrast, size, place and colours"""
    attributes: UserPath | None = None
    """a CSV file with a column for each attribute of your own, of numbers, yes and no, words or colours, and one that says of which
    image: `seed`, of the model's images with these seeds, or `file`, of pictures in the folder --data"""
    columns: str | None = None
    """of --attributes: those to take, separated by commas, all by default; `hat:any` is yes wherever that column is not empty"""
    data: UserPath | None = None
    """the folder that the column `file` of --attributes starts from; that of the CSV file by default"""
    classes: UserPath | None = None
    """a folder with two folders of pictures, without an attribute and with it"""
    shared: bool = False
    """one direction for all classes, where each class would have its own"""
    least_r2: float = Field(0.4, ge=0, le=1)
    """keep a direction only if it explains this share of the attribute's variance in images it was not found on"""
    least_auroc: float = Field(0.8, ge=0.5, le=1)
    """and, of an attribute that is yes or no, if it tells them apart as well as this (area under the ROC curve, 0.5 by chance);
    a network that reads attributes off pictures must do at least as well on held-out ones"""
    seed: int = Field(_FIRST_SEED, ge=0, lt=SEEDS)
    """the first seed of the images that are drawn"""
    keep: bool = False
    """keep the directions that the model has, and add to them; those of the same names are replaced"""
    replace: bool = False
    """replace the directions that the model has"""
    remove: str | None = None
    """names of directions to remove, separated by commas; nothing else is done"""


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 for what cannot be done as asked."""
    given = parse(CommandLine, "training.directions", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    try:
        return run_command("training.directions", lambda: _find(CommandLine.model_validate(given)), "take fewer --samples")
    except KeyboardInterrupt:
        print("training.directions: stopped; nothing was written", file=sys.stderr)
        return 130


def _find(command: CommandLine) -> None:
    # Torch takes seconds to import: --help and a mistyped flag should not.
    from training.directions import folder
    from training.directions.sampling import Sampler
    from training.directions.table import table
    from training.export.again import check_replaceable

    if command.remove is not None:
        _check_alone(command)
        with writing_to(command.model, "remove them again"):
            left = folder.remove(command.model, [name.strip() for name in command.remove.split(",")])
        print(f"{command.model}: {_listed(left)}")
        return
    model = model_folder.read(command.model)
    check_replaceable(command.model.resolve())
    _check_intended(command, model.manifest)
    sampler = Sampler(model)
    found = _from_weights(command, sampler)
    found += _from_images(command, sampler, [one.about.name for one in found])
    if not found:
        raise UsageError("no direction was found: nothing was written; --least-r2 and --least-auroc set how good one must be")
    print(table(found))
    with writing_to(command.model, "find them again"):
        written = folder.write(command.model, found, command.keep)
    print(f"{command.model}: {_listed(written)}")


def _check_alone(command: CommandLine) -> None:
    if others := command.model_fields_set - {"model", "remove"}:
        raise UsageError(f"--remove does nothing else: leave --{sorted(others)[0].replace('_', '-')} out, or run the command twice")


def _check_intended(command: CommandLine, manifest: Manifest) -> None:
    if command.keep and command.replace:
        raise UsageError("--keep and --replace exclude each other: give one of them")
    if manifest.directions and not (command.keep or command.replace):
        names = ", ".join(direction.name for direction in manifest.directions)
        raise UsageError(f"{command.model} has directions ({names}): add --keep to keep them beside new ones, or --replace")
    if command.attributes is None and (command.columns or command.data):
        raise UsageError(f"--{'columns' if command.columns else 'data'} is for --attributes: give that, or leave it out")
    if command.shared and manifest.classes is None:
        raise UsageError(f"--shared: {command.model} has no classes; leave it out")


def _from_weights(command: CommandLine, sampler: "Sampler") -> "list[Found]":
    """Raises UsageError where SeFa was asked for and cannot be had; without being asked it is left out."""
    from training.directions.weights import from_weights

    if not command.sefa:
        return []
    if sampler.manifest.architecture is None:
        reason = f"{command.model} was imported without weights, which SeFa needs"
        if "sefa" in command.model_fields_set:
            raise UsageError(f"--sefa: {reason}: leave it out")
        print(f"{reason}: only directions of attributes are found")
        return []
    return from_weights(sampler, command.sefa)


def _from_images(command: CommandLine, sampler: "Sampler", taken: list[str]) -> "list[Found]":
    """Those of attributes; `taken` are names of others."""
    from training.directions.attributes import measured_on_images
    from training.directions.finding import Options, follow
    from training.directions.given import Given, from_scores, learned

    options = Options(command.samples, command.seed, command.shared, command.least_r2, command.least_auroc)
    measures = [measured_on_images(sampler.manifest.channels)] if command.measured else []
    taken = [*taken, *(attribute.name for measure in measures for attribute in measure.attributes)]
    given = Given(command.attributes, command.columns, command.data, command.classes, taken)
    scored, said = from_scores(sampler, given, options)
    given = replace(given, taken=[*taken, *(one.about.name for one in scored)])
    measure, more = learned(sampler.manifest, given, options)
    for sentence in [*said, *more]:
        print(f"  {sentence}", flush=True)
    measures += [measure] if measure is not None else []
    if not measures:
        return scored
    print(f"drawing {len(sampler.labels) * command.samples:,} images, and measuring them", flush=True)
    found, dropped = follow(sampler, measures, options)
    for sentence in dropped:
        print(f"  dropped: {sentence}")
    return scored + found


def _listed(manifest: Manifest) -> str:
    names = [direction.name for direction in manifest.directions]
    return f"{manifest.name}@{manifest.version} has {len(names)} directions: {', '.join(names)}" if names else "no directions left"
