"""From a model folder to the same with an encoder and a score: training, its folder, and what can be resumed."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import yaml

from gan import model_folder
from gan.atomic import write_bytes_atomically
from gan.encoder import ENCODER_WEIGHTS
from gan.manifest import Manifest
from gan.networks.encoder import Encoder
from training.encoder import loop, pictures
from training.encoder.frozen import FrozenModel
from training.encoder.settings import EncoderConfig
from training.encoder.state import CHECKPOINT, EncoderState
from training.encoder.writing import write_encoder
from training.engine.setup import choose_hardware
from training.engine.stopping import StopSignal
from training.errors import UsageError
from training.hardware import Hardware
from training.tracking.run_dir import check_writable, locked
from training.tracking.stats import STATS

SETTINGS = "encoder.yaml"
_FREE_TO_CHANGE = {"checkpoint_every", "device", "precision", "threads"}  # but for the rounding of other hardware

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of an encoder's training."""

    manifest: Manifest | None  # of the model with its encoder; None where it was asked to stop before
    written: bool = False  # False: the encoder that was there is as good, and stayed
    psnr: float = 0.0  # of the trained encoder in dB, mean over held-out pictures that have chosen nothing
    pictures: int = 0  # of these
    stopped_by: int = 0  # the number of the signal that asked it to stop


def add_encoder(
    path: Path,  # of the model folder
    config: EncoderConfig,
    data: str | None,  # None: what the model was trained on
    out: Path,  # the folder that gets the encoder's run
    anew: bool = False,  # begin again, whatever there is
    replace: bool = False,  # an encoder that is there even if it is better
) -> Outcome:
    """Train an encoder on a model, or go on where that was stopped, and write it and the score into the model's folder.

    An encoder that is there stays unless the new one has the higher PSNR on the held-out pictures that choose; a replaced one is
    kept in the run's folder. SIGINT and SIGTERM stop it; what they find being written is written again by the same call.

    Raises UsageError, ModelFolderError, DataError, CheckpointError, DivergenceError or ExportError; the model is then as before.
    """
    stop = StopSignal()
    try:
        return _add_encoder(path, config, data, out, stop, anew, replace)
    except KeyboardInterrupt:  # of a signal that came while something was written
        if not stop.number:
            raise
        return Outcome(None, stopped_by=stop.number)
    finally:
        stop.let_go()


def _add_encoder(
    path: Path, config: EncoderConfig, data: str | None, out: Path, stop: StopSignal, anew: bool, replace: bool
) -> Outcome:
    hardware = choose_hardware(config)
    model = FrozenModel.read(path, hardware.device)
    for flag, target in (("--out", out), ("MODEL", model.folder.path.parent)):  # before hours are spent
        check_writable(flag, target)
    parts = pictures.load(model.manifest, data)
    if config.batch_size > len(parts.train.images):
        raise UsageError(
            f"--batch-size {config.batch_size} is more than the {len(parts.train.images)} images there are: take fewer"
        )
    try:
        state = EncoderState.start(config, model, hardware)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    fingerprint = _fingerprint(model, parts, config)
    folder = run_folder(out, model.manifest)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if anew:
            for name in (CHECKPOINT, STATS):
                (folder / name).unlink(missing_ok=True)
        resumed = state.restore(folder, fingerprint)
        write_bytes_atomically(folder / SETTINGS, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())
        _say(model, parts, hardware, state, folder if resumed else None)
        if not loop.train(state, model, parts, config, hardware, folder, fingerprint, stop.received):
            return Outcome(None, stopped_by=stop.number)
        stop.interrupt()
        psnr = loop.psnr_of(state.best, model, parts.test, hardware)
        _log.info(
            f"best after {state.best_seen:,} images: {psnr.mean():.2f} dB over {len(psnr):,} held-out images that chose nothing, "
            f"the worst tenth below {sorted(psnr)[len(psnr) // 10]:.2f}"
        )
        if not replace and _is_no_better(state.best, model, parts, hardware):
            return Outcome(model.manifest, False, float(psnr.mean()), len(psnr))
        _log.info(
            "the score: storing features of real images and scoring held-out ones, which takes minutes where there are labels"
        )
        kept = _keep_old(model, folder)
        manifest = write_encoder(state.best, model, parts, config)
    if kept is not None:
        _log.info(f"the model with its old encoder is in {kept}; to go back: rm -r {path} && cp -r {kept} {path}")
    return Outcome(manifest, True, float(psnr.mean()), len(psnr))


def _is_no_better(encoder: Encoder, model: FrozenModel, parts: pictures.Pictures, hardware: Hardware) -> bool:
    """Whether a model has an encoder already that is as good as the given one, which is then said. Raises ModelFolderError."""
    old = model.read_encoder()
    if old is None:
        return False
    before = loop.measure(old.to(hardware.device), model, parts.selection, hardware)
    after = loop.measure(encoder, model, parts.selection, hardware)
    if after > before:
        return False
    _log.info(
        f"{model.folder.path} was left as it is, since the new encoder is not better: it draws held-out images again at "
        f"{after:.2f} dB, and the one there at {before:.2f}; the same command with --replace takes the new one"
    )
    return True


def _keep_old(model: FrozenModel, folder: Path) -> Path | None:
    """Copy a model with the encoder that it has into the run's folder; returns where, or None if it has none."""
    if "encoder" not in model.manifest.networks:
        return None
    kept = folder / f"replaced-{model.manifest.files[ENCODER_WEIGHTS][:12]}"
    if not kept.exists():
        model_folder.copy(model.folder.path, kept)
    return kept


def run_folder(out: Path, manifest: Manifest) -> Path:
    """The folder of the encoder's run of a model. Runs of `training.run` have numbers in front, so none is taken for the other."""
    return out / f"encoder-{manifest.name}-{manifest.version}"


def _fingerprint(model: FrozenModel, parts: pictures.Pictures, config: EncoderConfig) -> str:
    """What a checkpoint may be resumed with: the same model, images and settings."""
    settings = config.model_dump_json(exclude=_FREE_TO_CHANGE | ({"attributes"} if model.attributes is None else set()))
    text = f"{model.manifest.version} {parts.train.fingerprint} {settings}"
    return hashlib.sha256(text.encode()).hexdigest()


def _say(model: FrozenModel, parts: pictures.Pictures, hardware: Hardware, state: EncoderState, resumed: Path | None) -> None:
    """Log what is trained on what."""
    features = "its discriminator's features" if model.discriminator is not None else "no features, since it has no discriminator"
    _log.info(f"model: {model.folder.title}, with {features}")
    _log.info(f"data: {parts.train.name}, {len(parts.train.images):,} images to learn from; {'; '.join(parts.train.notes)}")
    _log.info(f"encoder: {sum(parameter.numel() for parameter in state.encoder.parameters()):,} parameters; hardware: {hardware}")
    if resumed is not None:
        _log.info(f"resumed from {resumed} after {state.seen:,} images")
