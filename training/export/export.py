"""A finished generator -> a model folder; each exported file is compared with the network in memory."""

import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gan import atomic, model_folder
from gan.images import encoding
from gan.images.colours import WHOLE_DEPTH
from gan.latents import Inputs, count, select
from gan.manifest import IMAGES, MANIFEST, Manifest, generator_inputs, image_output
from gan.manifest_parts import Architecture, Environment, Export, Metric, Network, Trained
from gan.model.pictures import DEPTH
from gan.model_folder import CARD, DISCRIMINATOR, ONNX, SAMPLES, TORCHSCRIPT, WEIGHTS
from gan.networks import attributes
from gan.networks.family import Generator
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.engine.logger import sample_grid
from training.engine.state import TrainingState
from training.errors import ExportError
from training.export.model_card import model_card, sample_seeds
from training.export.networks import NetworkToExport, networks_of

COMPARED_LATENTS = 256
_LARGE = 2**14  # values of an image, such as those of 74x74 RGB, over which fewer are compared
_COMPARED_VALUES = 2**21  # of large images: those of 10 images of 256x256 RGB
_FEWEST = 4
_VALUES_AT_ONCE = 2**18  # which bounds the memory that it takes
# A grey level is 1/127.5 = 0.0078 wide in the network's range; at a hundredth of that, one image element in a hundred
# may round to the neighbouring level and none further.
TOLERANCE = 1e-4
# The versions that programs of 2024 read, such as onnxruntime 1.17 and onnx2torch; the exporter's own choice is for newer ones.
_OPSET, _IR_VERSION = 18, 9


def export_model(
    target: Path,  # a folder there is replaced once the new one is complete
    name: str,
    state: TrainingState,
    dataset: Dataset,
    config: TrainingConfig,
    environment: Environment,  # at the start of the run
    measure: Callable[[Path], list[Metric]],  # a complete model folder -> the measures for its manifest and card
) -> Manifest:
    """Write the model folder atomically. Raises ExportError, and leaves nothing behind, if an export is over its tolerance."""
    generator = state.finished_generator()
    _, channels, height, width = dataset.images.shape
    written: list[Manifest] = []

    def fill(folder: Path) -> None:
        architecture = Architecture(name=config.arch, arguments=config.arguments | attributes.arguments_of(generator))
        networks = write_generator(generator, folder, architecture, (height, width))
        weights = state.discriminator.discriminator.state_dict()
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, folder / DISCRIMINATOR)
        files = model_folder.digests(folder, [WEIGHTS, ONNX, TORCHSCRIPT, DISCRIMINATOR])
        manifest = Manifest(
            name=name,
            version=files[WEIGHTS][:12],
            inputs=generator_inputs(state.input_spec, dataset.classes or None),
            outputs=[image_output(channels, height, width)],
            networks={
                **networks,
                "discriminator": Network(
                    architecture=Architecture(
                        name=config.arch,
                        arguments={
                            **config.arguments,
                            "norm": config.discriminator_norm,
                            "classes": len(dataset.classes) or None,
                        },
                    ),
                    files={"weights": DISCRIMINATOR},
                ),
            },
            origin=Trained(
                dataset=dataset.name,
                dataset_fingerprint=dataset.fingerprint,
                dataset_pictures=len(dataset.images),
                config=config.model_dump(mode="json") | _found_in(dataset),
                environment=environment,
                seed=config.seed,
                pictures_seen=state.seen,
                wall_time_seconds=round(state.seconds, 1),
            ),
            licence=dataset.licence,
            files=files,
        )
        write_manifest(folder, manifest)
        manifest = manifest.model_copy(update={"metrics": measure(folder)})
        write_manifest(folder, manifest)
        (folder / CARD).write_text(model_card(manifest))
        written.append(manifest)

    atomic.write_atomically(target, fill, replace=True)
    return written[0]


def write_generator(
    generator: Generator, folder: Path, architecture: Architecture, size: tuple[int, int], about: dict[str, str] | None = None
) -> dict[str, Network]:
    """Write the weights, exported files and samples of a finished generator of images of this height and width.

    `about` is written into the file of the weights.

    Returns its networks for the manifest. Raises ExportError.
    """
    save_file(generator.state_dict(), folder / WEIGHTS, about)
    networks = export_networks(generator, folder)
    (folder / SAMPLES).write_bytes(encoding.encode(sample_grid(generator, sample_seeds(*size)), "png"))
    networks["generator"] = networks["generator"].model_copy(update={"architecture": architecture})
    return networks


def export_networks(
    generator: Generator, folder: Path, rewrite: Callable[[NetworkToExport, Path], None] | None = None
) -> dict[str, Network]:
    """Write the exported files of a finished generator, and compare them with it; `rewrite` may change a generator's ONNX file.

    Raises ExportError.
    """
    found = {}
    for network in networks_of(generator):
        export_onnx(network.module, folder / network.files["onnx"], network.rows(2), network.outputs)
        if rewrite is not None and network.name == "generator":
            rewrite(network, folder / network.files["onnx"])
        export_torchscript(network.module, folder / network.files["torchscript"], network.rows(2))
        found[network.name] = Network(files=network.files, exports=compare(network, folder))
    return found


def _found_in(dataset: Dataset) -> dict[str, int]:
    """What a picture must be decoded by, beside the settings, to be seen as those of the data set were."""
    return {DEPTH: dataset.depth} if dataset.depth < WHOLE_DEPTH else {}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write model.json."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def export_onnx(network: nn.Module, path: Path, rows: Inputs, outputs: Sequence[str] = (IMAGES,)) -> None:
    """Export to ONNX: inputs as those of two rows, such as z [n, z_dim], -> outputs [n, …], any n; weights inside."""
    n = torch.export.Dim("n")
    first, *others = map(torch.from_numpy, rows.values())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # all inputs share the one name on purpose
        program = torch.onnx.export(
            network,
            (first, *others),
            input_names=list(rows),
            output_names=list(outputs),
            dynamic_shapes=({0: n}, *([tuple({0: n} for _ in others)] if others else [])),
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=_OPSET,
        )
    assert program is not None, "the exporter asked for by dynamo=True returns one"
    program.model.ir_version = _IR_VERSION
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the exporter writes where the source of each layer lies on this machine
    program.save(path, external_data=False)


def export_torchscript(network: nn.Module, path: Path, rows: Inputs) -> None:
    """Export to TorchScript as a traced module; not frozen, since that would turn the weights into constants of a fixed type."""
    with warnings.catch_warnings():
        # torch calls TorchScript deprecated but keeps it; it is the one format that runs without the network's source.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter(
            "ignore", torch.jit._trace.TracerWarning
        )  # sizes of images, unlike their number, may become constants
        # Unchecked, since `compare` checks more than a second call of the same would.
        traced = torch.jit.trace(network, tuple(map(torch.from_numpy, rows.values())), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path)
    _remove_debug_files(path)


def _remove_debug_files(path: Path) -> None:
    """Remove what TorchScript records of the source: paths of this machine, which no program needs."""
    with zipfile.ZipFile(path) as archive:
        kept = [(member, archive.read(member)) for member in archive.infolist() if not member.filename.endswith(".debug_pkl")]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member, content in kept:
            archive.writestr(zipfile.ZipInfo(member.filename), content)


def compare(network: NetworkToExport, folder: Path) -> dict[str, Export]:
    """Compare the first seeds by the network in memory and by each exported file; returns the largest differences.

    They are 256 seeds, or fewer of large images, but at least 4. Raises ExportError if a difference is over the tolerance.
    """
    onnx, torchscript = (folder / network.files[kind] for kind in ("onnx", "torchscript"))
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    largest, compared, at_once, most = {onnx.name: 0.0, torchscript.name: 0.0}, 0, 1, COMPARED_LATENTS
    rows = network.rows(COMPARED_LATENTS)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.load(torchscript)  # type: ignore[no-untyped-call]
        while compared < most:
            some = select(rows, slice(compared, min(compared + at_once, most)))
            values = [torch.from_numpy(column) for column in some.values()]
            expected = _as_list(network.module(*values))
            if not compared:
                size = max(one[0].numel() for one in expected)
                at_once = max(1, min(COMPARED_LATENTS, _VALUES_AT_ONCE // size))
                most = COMPARED_LATENTS if size <= _LARGE else max(_FEWEST, _COMPARED_VALUES // size)
            for file, found in ((onnx, session.run(network.outputs, some)), (torchscript, _as_list(traced(*values)))):
                differences = [float(np.abs(a - b.numpy()).max()) for a, b in zip(map(np.asarray, found), expected, strict=True)]
                largest[file.name] = float(np.max([largest[file.name], *differences]))  # which keeps what is not a number
            compared += count(some)
    for name, difference in largest.items():
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{name} differs from the network in memory by {difference:.2g}, more than {TOLERANCE:.0e}: not exported"
            )
    return {
        name: Export(largest_difference=difference, tolerance=TOLERANCE, latents=compared) for name, difference in largest.items()
    }


def _as_list(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
