"""A generator of another program -> a model folder."""

import json
from pathlib import Path

import torch

from gan import atomic, model_folder, runtimes
from gan.images import encoding
from gan.latents import inputs_of_seeds
from gan.manifest import GENERATOR_FILES, Manifest, generator_inputs, image_output
from gan.manifest_parts import Architecture, Imported, Network, Sampling
from gan.model_folder import CARD, SAMPLES
from training.convert.graphs import Graph
from training.convert.kinds.base import Recognised
from training.errors import ConversionError
from training.export.export import write_generator, write_manifest
from training.export.model_card import model_card, sample_seeds
from training.export.networks import styles_of


def read_names(file: Path | None) -> list[str] | None:
    """Names of classes, one in a line of a text file. Raises ConversionError."""
    if file is None:
        return None
    try:
        names = [line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"--classes: {file} cannot be read as text ({error})") from error
    if len(set(names)) != len(names) or not names:
        raise ConversionError(f"--classes: {file} has {len(set(names))} different names in {len(names)} lines")
    return names


def class_names(classes: int | None, names: list[str] | None) -> list[str] | None:
    """The names of so many classes, as given or 0, 1, 2 …; None of a network without labels. Raises ConversionError."""
    if classes is None:
        if names is not None:
            raise ConversionError("--classes: this network has no labels; leave it out")
        return None
    if names is not None and len(names) != classes:
        raise ConversionError(f"--classes: there are {len(names)} names, and the network has {classes} classes")
    return [str(number) for number in range(classes)] if names is None else names


def write(
    found: Recognised | Graph,
    title: str,  # of the file that it was in
    digest: str,  # SHA-256 of that
    target: Path,
    name: str,
    licence: str,
    names: list[str] | None,  # of the classes
    command: str | None = None,  # for the manifest
) -> Manifest:
    """Write the model folder atomically.

    Raises FileExistsError if there is one, ConversionError for names that are not as many as the classes, and ExportError as
    exports do.
    """
    written: list[Manifest] = []
    spec = found.input_spec if isinstance(found, Graph) else found.generator.input_spec
    classes = class_names(spec.classes, names)
    if isinstance(found, Recognised):
        _check(found)

    def fill(folder: Path) -> None:
        if isinstance(found, Graph):
            networks, styles = {"generator": _write_graph(found, folder)}, None
        else:
            architecture = Architecture(name=found.family, arguments=dict(found.arguments))
            networks, styles = _write_network(found, folder, architecture), styles_of(found.generator)
        files = model_folder.digests(folder, [file for network in networks.values() for file in network.files.values()])
        manifest = Manifest(
            name=name,
            version=files[next(iter(networks["generator"].files.values()))][:12],
            inputs=generator_inputs(spec, classes),
            outputs=[image_output(found.channels, *found.size, found.range if isinstance(found, Graph) else (-1.0, 1.0))],
            networks=networks,
            styles=styles,
            sampling=Sampling(truncation=None, truncation_space="z" if styles is None else "w"),
            origin=Imported(source=f"{title}, {found.kind}", digest=digest, command=command),
            licence=licence,
            files=files,
        )
        write_manifest(folder, manifest)
        if isinstance(found, Graph):
            (folder / SAMPLES).write_bytes(_samples(folder))
        (folder / CARD).write_text(model_card(manifest))
        written.append(manifest)

    atomic.write_atomically(target, fill)
    return written[0]


def _check(found: Recognised) -> None:
    """Raises ConversionError for a network that cannot draw, or draws something else than grey or RGB images of its size."""
    if found.channels not in (1, 3):
        raise ConversionError(f"it draws images of {found.channels} channels: only grey (1) and RGB (3) can be served")
    rows = inputs_of_seeds([0], found.generator.input_spec)
    try:
        with torch.no_grad():
            drawn = found.generator(*(torch.from_numpy(column) for column in rows.values()))
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConversionError(
            f"it cannot draw ({' '.join(str(error).split())[:150]}): it is damaged, or of a changed program"
        ) from error
    if tuple(drawn.shape) != (1, found.channels, *found.size):
        raise ConversionError(f"it draws {list(drawn.shape)[1:]}, and says {[found.channels, *found.size]}: it is damaged")
    if not torch.isfinite(drawn).all():
        raise ConversionError("it draws values that are not finite: training had diverged; bring an earlier one")


def _write_network(found: Recognised, folder: Path, architecture: Architecture) -> dict[str, Network]:
    """Write the files of a network; returns its networks for the manifest.

    The weights' file says how the network computes with them, so that its digest, the version, differs where images do.
    """
    about = {**architecture.model_dump(mode="json"), "latent": found.generator.input_spec.distribution}
    # One entry, since safetensors writes several in any order
    return write_generator(found.generator, folder, architecture, found.size, {"generator": json.dumps(about, sort_keys=True)})


def _write_graph(found: Graph, folder: Path) -> Network:
    """Write the files of a graph; returns it for the manifest."""
    for kind, content in found.files.items():
        (folder / GENERATOR_FILES[kind]).write_bytes(content)
    return Network(
        files={kind: GENERATOR_FILES[kind] for kind in sorted(found.files)},
        exports={GENERATOR_FILES[kind]: export for kind, export in found.exports.items()},
        batch=found.batch,
    )


def _samples(folder: Path) -> bytes:
    """The samples of a complete model folder, drawn as by the service."""
    read = model_folder.read(folder)
    manifest = read.manifest
    runtime = runtimes.load(read, "onnx" if "onnx" in manifest.networks["generator"].files else "torchscript", "cpu")
    rows = inputs_of_seeds(sample_seeds(manifest.height, manifest.width), manifest.input_spec)
    return encoding.encode(encoding.grid(runtimes.generate_images(runtime, rows)), "png")
