"""A trained encoder, and the score made of it, are written into the model folder."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from gan import atomic, model_folder
from gan.encoder import ENCODER, ENCODER_WEIGHTS, LATENT
from gan.latents import Inputs, count, select
from gan.manifest import Manifest
from gan.manifest_parts import Architecture, Export, Network, Scoring
from gan.model_folder import CARD
from gan.networks.encoder import Encoder
from gan.scoring import DRAWN, SCORE, SCORER
from training.encoder.eight_bits import store_in_eight_bits
from training.encoder.frozen import FrozenModel
from training.encoder.pictures import Part, Pictures
from training.encoder.scorer import Scorer
from training.encoder.settings import EncoderConfig
from training.encoder.state import arguments_of
from training.errors import ExportError
from training.evaluation.subsets import fixed_subset
from training.export.export import TOLERANCE, export_onnx, write_manifest
from training.export.model_card import model_card

_STORED = 6000  # real pictures at most whose features a score is measured by
_HELD_OUT = 5000  # at most that are scored for the quantiles
_QUANTILES = 1001
_COMPARED = 64  # pictures
_AT_ONCE = 16
# Of a number whose standard deviation over real pictures is about 1, before its weights are rounded to 8 bits, and after.
_SCORE_TOLERANCE, _ROUNDED_TOLERANCE = 1e-2, 0.3


class _Encoding(nn.Module):
    """An encoder as it is exported."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: Tensor, *label: Tensor) -> Tensor:
        z: Tensor = self.encoder(pictures, *label)
        return z


def write_encoder(encoder: Encoder, model: FrozenModel, pictures: Pictures, config: EncoderConfig) -> Manifest:
    """Write encoder and score into the model's folder, in one step; returns its manifest.

    Raises ExportError, and changes nothing, if an exported file is over its tolerance, or the model is another one by now.
    """
    encoder, version, path = _plain(encoder, model, config), model.manifest.version, model.folder.path
    model = FrozenModel.read(path, torch.device("cpu"))
    if model.manifest.version != version:
        raise ExportError(
            f"{path} has another version now ({model.manifest.version}) than the encoder was trained on ({version}): not written"
        )
    written: list[Manifest] = []
    scorer = make_scorer(encoder, model, pictures)

    def fill(folder: Path) -> None:
        shutil.copytree(path, folder, dirs_exist_ok=True)
        rows = _rows(pictures.selection, _COMPARED)
        networks = dict(model.manifest.networks)
        save_file(encoder.state_dict(), folder / ENCODER_WEIGHTS)
        networks["encoder"] = Network(
            architecture=Architecture(name="encoder", arguments=arguments_of(config, model)),
            files={"weights": ENCODER_WEIGHTS, "onnx": ENCODER},
            exports=_export(_Encoding(encoder).eval(), folder / ENCODER, rows, [LATENT], TOLERANCE),
        )
        outputs = [SCORE, DRAWN, *(["label"] if model.classes is not None else [])]
        rows = {"pictures": rows["pictures"]}
        # It takes any number of rows, but sums over a row differ in their last bits with its place in the memory of a batch.
        exports = _export(scorer, folder / SCORER, rows, outputs, _SCORE_TOLERANCE, _ROUNDED_TOLERANCE)
        networks["scorer"] = Network(files={"onnx": SCORER}, exports=exports, batch=1)
        files = model.manifest.files | model_folder.digests(folder, [ENCODER_WEIGHTS, ENCODER, SCORER])
        scoring = _scoring(folder / SCORER, pictures.selection)
        manifest = model.manifest.model_copy(update={"networks": networks, "files": files, "scoring": scoring})
        write_manifest(folder, manifest)
        card = folder / CARD
        if card.is_file() and card.read_text() == model_card(model.manifest):  # otherwise somebody has edited it
            card.write_text(model_card(manifest))
        written.append(model_folder.read(folder).manifest)

    atomic.write_atomically(path, fill, replace=True)
    return written[0]


def make_scorer(encoder: Encoder, model: FrozenModel, pictures: Pictures) -> Scorer:
    """The score of a model, by real pictures: features of some of those learned from, and scales of held-out ones."""
    scorer = Scorer(encoder, model.generator, model.discriminator).eval()
    train = pictures.train.images
    stored = train[fixed_subset(len(train), min(_STORED, len(train)), seed=0)]
    held_out = pictures.selection.images
    some = held_out[fixed_subset(len(held_out), min(1000, len(held_out)), seed=0)]
    scorer.fit(torch.from_numpy(_values(stored)), torch.from_numpy(_values(some)))
    return scorer


def _plain(encoder: Encoder, model: FrozenModel, config: EncoderConfig) -> Encoder:
    """A copy on the processor in the standard memory layout."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    copied = Encoder(model.manifest.z_dim, model.manifest.channels, model.size, **arguments_of(config, model))
    copied.load_state_dict(weights)
    return copied.eval().requires_grad_(False)


def _values(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixel values in [-1, 1]."""
    return np.asarray(images, np.float32) / np.float32(127.5) - np.float32(1)


def _rows(part: Part, most: int) -> Inputs:
    """Some pictures as exported files take them, and their labels."""
    found: Inputs = {"pictures": _values(part.images[:most])}
    if part.labels is not None:
        found["label"] = part.labels[:most]
    return found


def _export(
    network: nn.Module,
    file: Path,
    rows: Inputs,
    outputs: list[str],
    tolerance: float,
    when_rounded: float | None = None,  # the tolerance with weights in 8 bits; None: they stay as they are
) -> dict[str, Export]:
    """Export to ONNX, and compare with the network in memory on these rows. Raises ExportError over the tolerance.

    Labels of the nearest pictures may differ where two are equally near, and with them those pictures; these are not compared.
    """
    two = {name: np.concatenate([values, values])[:2] for name, values in rows.items()}
    export_onnx(network, file, two, outputs)
    largest = _compared(network, file, rows, outputs[0], tolerance)
    if when_rounded is not None:
        store_in_eight_bits(file)
        tolerance = when_rounded
        largest = _compared(network, file, rows, outputs[0], tolerance)
    return {file.name: Export(largest_difference=largest, tolerance=tolerance, latents=count(rows))}


def _compared(network: nn.Module, file: Path, rows: Inputs, output: str, tolerance: float) -> float:
    """The largest difference of a file's output from the network's first. Raises ExportError over the tolerance."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = 0.0
    for start in range(0, count(rows), _AT_ONCE):
        some = select(rows, slice(start, start + _AT_ONCE))
        with torch.no_grad():
            expected = network(*map(torch.from_numpy, some.values()))
        first = expected if isinstance(expected, Tensor) else expected[0]
        difference = float(np.abs(session.run([output], some)[0] - first.numpy()).max())
        largest = float(np.max([largest, difference]))  # which keeps what is not a number
    if not largest <= tolerance:
        raise ExportError(
            f"{file.name} differs from the network in memory by {largest:.2g}, more than {tolerance:.0e}: not exported"
        )
    return largest


def _scoring(file: Path, part: Part) -> Scoring:
    """The quantiles of held-out pictures' scores, by the exported file."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    images = part.images[:_HELD_OUT]
    starts = tqdm(range(0, len(images), _AT_ONCE), desc="scoring", leave=False, disable=None)
    scores = np.concatenate([session.run([SCORE], {"pictures": _values(images[one : one + _AT_ONCE])})[0] for one in starts])
    return Scoring(quantiles=np.quantile(scores, np.linspace(0, 1, _QUANTILES)).tolist(), pictures=len(images))
