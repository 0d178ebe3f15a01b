"""A finished generator -> a model folder; each exported file is compared with the network in memory."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from gan import atomic, model_folder
from gan.images import encoding
from gan.latents import inputs_of_seeds
from gan.manifest import (
    GENERATOR_FILES,
    IMAGES,
    MANIFEST,
    Architecture,
    Environment,
    Export,
    Manifest,
    Metric,
    Network,
    Trained,
    generator_inputs,
    image_output,
)
from gan.model_folder import CARD, DISCRIMINATOR, ONNX, SAMPLES, TORCHSCRIPT, WEIGHTS
from gan.networks.family import Generator
from gan.networks.layers.conditioning import inputs_as_tensors
from training.config.schema import TrainingConfig
from training.data import Dataset
from training.engine.logger import sample_grid
from training.engine.state import TrainingState
from training.errors import ExportError
from training.export.model_card import model_card

COMPARED_LATENTS = 256
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
        save_file(generator.state_dict(), folder / WEIGHTS)
        export_onnx(generator, folder / ONNX)
        export_torchscript(generator, folder / TORCHSCRIPT)
        (folder / SAMPLES).write_bytes(encoding.encode(sample_grid(generator), "png"))
        weights = state.discriminator.discriminator.state_dict()
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, folder / DISCRIMINATOR)
        files = model_folder.digests(folder, [WEIGHTS, ONNX, TORCHSCRIPT, DISCRIMINATOR])
        manifest = Manifest(
            name=name,
            version=files[WEIGHTS][:12],
            inputs=generator_inputs(state.input_spec, dataset.classes or None),
            outputs=[image_output(channels, height, width)],
            networks={
                "generator": Network(
                    architecture=Architecture(name=config.arch, arguments=config.arguments),
                    files=GENERATOR_FILES,
                    exports=compare(generator, folder),
                ),
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
                config=config.model_dump(mode="json"),
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


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write model.json."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def export_onnx(generator: Generator, path: Path) -> None:
    """Export to ONNX: `input_spec.names`, such as z [n, z_dim], -> images [n, channels, height, width], any n; weights inside."""
    n = torch.export.Dim("n")
    first, *others = inputs_as_tensors(range(2), generator.input_spec)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # all inputs share the one name on purpose
        program = torch.onnx.export(
            generator,
            (first, *others),
            input_names=generator.input_spec.names,
            output_names=[IMAGES],
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


def export_torchscript(generator: Generator, path: Path) -> None:
    """Export to TorchScript as a traced module; not frozen, since that would turn the weights into constants of a fixed type."""
    with warnings.catch_warnings():
        # torch calls TorchScript deprecated but keeps it; it is the one format that runs without the network's source.
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.trace(generator, tuple(inputs_as_tensors(range(2), generator.input_spec))), path)  # type: ignore[no-untyped-call]
    _remove_debug_files(path)


def _remove_debug_files(path: Path) -> None:
    """Remove what TorchScript records of the source: paths of this machine, which no program needs."""
    with zipfile.ZipFile(path) as archive:
        kept = [(member, archive.read(member)) for member in archive.infolist() if not member.filename.endswith(".debug_pkl")]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member, content in kept:
            archive.writestr(zipfile.ZipInfo(member.filename), content)


def compare(generator: Generator, folder: Path) -> dict[str, Export]:
    """Compare seeds 0 to 255 by the network in memory and by each exported file; returns the largest differences.

    Raises ExportError if one is over the tolerance.
    """
    rows = inputs_of_seeds(range(COMPARED_LATENTS), generator.input_spec)
    values = [torch.from_numpy(column) for column in rows.values()]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = generator(*values).numpy()
        session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
        found: dict[str, NDArray[np.float32]] = {
            ONNX: session.run(None, rows)[0],
            TORCHSCRIPT: torch.jit.load(folder / TORCHSCRIPT)(*values).numpy(),  # type: ignore[no-untyped-call]
        }
    exports = {}
    for file, images in found.items():
        difference = float(np.abs(images - expected).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{file} differs from the network in memory by {difference:.2g}, more than {TOLERANCE:.0e}: not exported"
            )
        exports[file] = Export(largest_difference=difference, tolerance=TOLERANCE, latents=COMPARED_LATENTS)
    return exports
