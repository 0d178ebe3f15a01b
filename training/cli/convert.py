"""The command that converts models of other programs: `python -m training.convert`."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from gan import model_folder
from gan.manifest_parts import NAME
from gan.paths import UserPath
from training.cli.console import log_lines
from training.cli.flags import Flags, parse, run_command
from training.disk import writing_to
from training.errors import ConversionError

if TYPE_CHECKING:
    from training.convert.files.sources import Source, State
    from training.convert.graphs import Graph
    from training.convert.kinds.base import Recognised

_EXAMPLES = """examples:
  python -m training.convert netG.pth --name faces          a DCGAN as in PyTorch's tutorial; models/faces is served from then on
  python -m training.convert snapshot.pkl --name cats       StyleGAN2, StyleGAN2-ADA, StyleGAN3 or R3GAN
  python -m training.convert netG.pth --list                what is in it
  python -m training.convert models/faces --to state-dict --out netG.pth     and out again
"""
# Averages of a generator's weights over its training draw better images than the weights of its last step.
_AVERAGES = ("G_ema", "g_ema", "avgG", "netG_ema", "ema")
_LAST_STEPS = {"G": "G_ema", "g": "g_ema"}  # and what the average would be called beside it
_OF_MANIFEST = ("name", "kind", "part", "trust", "input", "output", "range", "latent", "licence")  # flags that a manifest has
_LARGE = 128  # pixels of a side, over which exports take long


class CommandLine(Flags):
    """Make a model folder, which the service serves, of a generator that was trained elsewhere. No code of the file is run."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    usage: ClassVar[str] = "FILE --name NAME [--flag value …]        (--help lists the flags)"

    file: CliPositionalArg[UserPath]
    """weights of torch.save, a pickle, a safetensors file, a zip file or wheel that holds one; an ONNX or TorchScript file;
    with --to, a model folder"""
    name: str | None = Field(None, pattern=f"^{NAME}$")
    """the model's name"""
    models: UserPath = Path("models")
    """the folder that the model folder is written to"""
    kind: Literal["auto", "dcgan", "dcgan-zoo", "sngan", "r3gan", "stylegan2", "stylegan2-rosinality", "stylegan3"] = "auto"
    """what the file holds; auto tells by the names and shapes of the tensors"""
    part: str | None = None
    """which of several networks in the file, by the place that --list shows, such as netG"""
    trust: bool = False
    """read a TorchScript file, which is a program: only one whose maker you trust, since reading it runs it"""
    input: str | None = None
    """of a graph: the latent vector's name in an ONNX file, its shape without the batch for TorchScript (512, 100x1x1)"""
    output: str | None = None
    """of an ONNX file with several: the name of the images"""
    range: str | None = Field(None, pattern=r"^-?\d+(\.\d+)?,-?\d+(\.\d+)?$")
    """of a graph's images: the values that are black and white, written --range=-1,1; measured by default"""
    latent: Literal["normal", "uniform"] = "normal"
    """what latent vectors are drawn from: N(0, 1), or U(-1, 1)"""
    classes: UserPath | None = None
    """a text file with the names of the classes, one in a line, for a network with labels; 0, 1, 2 … without"""
    to: Literal["state-dict", "onnx-uint8"] | None = None
    """with a model folder as FILE: write its weights, or one ONNX file that draws uint8 images, for other programs"""
    out: UserPath | None = None
    """the file that --to writes"""
    licence: str = "unknown, see its source"
    """of the model, for its card and its manifest"""
    list_only: bool = Field(False, validation_alias="list")
    """show what the file holds, and write nothing"""


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 for a file that cannot be converted."""
    given = parse(CommandLine, "training.convert", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    try:
        return run_command("training.convert", lambda: _convert(CommandLine.model_validate(given)))
    except KeyboardInterrupt:
        print("training.convert: stopped; nothing was written", file=sys.stderr)
        return 130


def _convert(command: CommandLine) -> None:
    # Torch takes seconds to import: --help and a mistyped flag should not.
    from training.convert import folder
    from training.convert.files import sources

    if command.to is not None or command.file.is_dir():
        _write_for_others(command)
        return
    source = sources.read(command.file)
    if command.list_only:
        print(sources.describe(source))
        return
    if command.name is None:
        raise ConversionError("--name: the model needs a name, by which requests ask for it")
    target = command.models / command.name
    if os.path.lexists(target):
        raise ConversionError(f"{target} exists already: give another --name, or move it away")
    names = folder.read_names(command.classes)
    if source.graph is not None:
        found: Recognised | Graph = _read_graph(source, command, names)
        print(f"{source.title}: {source.container}")
    else:
        if wrong := [f"--{name}" for name in ("input", "output", "range") if getattr(command, name) is not None]:
            raise ConversionError(f"{wrong[0]} is for ONNX and TorchScript files, and this is {source.container}: leave it out")
        state, found = recognise(source, command.part, command.kind)
        found.generator.input_spec = replace(found.generator.input_spec, distribution=command.latent)
        print(f"{source.title}: {source.container}{f', {state.path}' if state.path else ''}: {found.kind}")
        for theirs, became in found.tensors.items():
            print(f"  {theirs} -> {became}")
    for note in found.notes:
        print(f"  {note}")
    if max(found.size) > _LARGE:
        print(f"  images of {found.size[1]}x{found.size[0]} take a while to export and compare: some minutes", flush=True)
    with writing_to(command.models, "convert it again"):
        command.models.mkdir(parents=True, exist_ok=True)
        title, written = command.file.name, _as_written(command)
        manifest = folder.write(found, title, source.digest, target, command.name, command.licence, names, written)
    print(f"{target}: {manifest.name}@{manifest.version}; `GAN_DEFAULT_MODEL={manifest.name} make serve` serves it")


def _as_written(command: CommandLine) -> str:
    """The command line, by the names of files without their folders."""
    given = command.model_dump(include={*_OF_MANIFEST} & command.model_fields_set)
    flags = [f"--{name}" if value is True else f"--{name}={shlex.quote(str(value))}" for name, value in given.items()]
    classes = [] if command.classes is None else [f"--classes={shlex.quote(command.classes.name)}"]
    return " ".join(["python -m training.convert", shlex.quote(command.file.name), *flags, *classes])


def _write_for_others(command: CommandLine) -> None:
    """Raises ConversionError, and ModelFolderError for a folder that is no model's or damaged."""
    from training.convert import outwards

    if command.to is None:
        raise ConversionError(f"{command.file} is a folder: give a file, or --to, which writes a model's files for other programs")
    if command.out is None:
        raise ConversionError("--to needs --out: the file to write")
    if os.path.lexists(command.out):
        raise ConversionError(f"--out: {command.out} exists already: give another name, or move it away")
    model = model_folder.read(command.file)
    write = {"state-dict": outwards.write_state_dict, "onnx-uint8": outwards.write_onnx_uint8}[command.to]
    with writing_to(command.out.parent, "convert it again"):
        command.out.parent.mkdir(parents=True, exist_ok=True)
        said = write(model, command.out)
    print(f"{command.out}: {said}")


def _read_graph(source: "Source", command: CommandLine, names: list[str] | None) -> "Graph":
    """The generator in an ONNX or TorchScript file. Raises ConversionError."""
    from training.convert import onnx_graphs, torchscript_graphs
    from training.convert.graphs import GraphOptions

    limits = None
    if command.range is not None:
        low, high = map(float, command.range.split(","))
        if not low < high:
            raise ConversionError(f"--range: {command.range}: the first value, black, must be the smaller one")
        limits = low, high
    options = GraphOptions(command.input, command.output, limits, command.latent, None if names is None else len(names))
    if source.graph == "onnx":
        return onnx_graphs.read(source.content, command.file.parent, options)
    if not command.trust:
        raise ConversionError(
            f"{source.title}: it is a TorchScript file, which is a program: bring the weights that it was made from, or, if you "
            "trust its maker, add --trust to run it"
        )
    return torchscript_graphs.read(source.content, options)


def recognise(source: "Source", part: str | None, kind: str) -> "tuple[State, Recognised]":
    """The generator in a file. Raises ConversionError if there is none, or several that none is the average of."""
    from training.convert import kinds
    from training.convert.files import sources
    from training.convert.kinds.base import DiscriminatorError

    sources.refuse_tensorflow(source)
    states = [state for state in sources.states_in(source.content) if part in (None, state.path)]
    averages = [state for state in states if state.path.rpartition(".")[2] in _AVERAGES]
    discriminators: list[DiscriminatorError] = []

    def recognised_of(some: "Iterable[State]") -> "Iterator[tuple[State, Recognised]]":
        for state in some:
            try:
                recognised = kinds.recognise(state, kind)
            except DiscriminatorError as error:
                discriminators.append(error)
                continue
            if recognised is not None:
                yield state, recognised

    found = list(recognised_of(averages))
    if len(found) != 1:
        found = list(recognised_of(states))
    if len(found) == 1:
        (state, recognised) = found[0]
        last = state.path.rpartition(".")[2]
        if last in _LAST_STEPS:
            note = f"there is no average of its training ({_LAST_STEPS[last]}): {last} is taken, whose images are rougher"
            recognised = replace(recognised, notes=(*recognised.notes, note))
        return state, recognised
    if discriminators and not found:
        raise discriminators[0]
    places = ", ".join(state.place for state in ([one for one, _ in found] or states)) or "none"
    problem = "several networks that are known here: choose one by --part" if found else "no generator that is known here"
    raise ConversionError(f"{source.title} holds {problem} (tensors: {places}); --list shows what is in it")
