"""The second half of a run with --encoder-images: an encoder and a score for its model."""

import logging
import sys
from pathlib import Path

from training.config.schema import TrainingConfig
from training.encoder.run import Outcome, add_encoder
from training.encoder.settings import EncoderConfig
from training.engine.stopping import StopSignal

_WIDEST = 64

_log = logging.getLogger(__name__)


def train_encoder(folder: Path, config: TrainingConfig) -> int:
    """Train the encoder of a run's model, if the run is to have one; returns the exit status, not 0 where it was asked to stop.

    Raises UsageError, DataError, CheckpointError, DivergenceError or ExportError; the model is then as before.
    """
    if config.encoder_images is None:
        return 0
    _log.info("the encoder, and a score of how unusual a picture is")
    chosen = EncoderConfig(
        images=config.encoder_images,
        width=min(config.width, _WIDEST),
        batch_size=min(config.batch_size, 32),
        seed=config.seed,
        device=config.device,
        precision="auto" if config.precision == "float16" else config.precision,
        threads=config.threads,
    )
    stop = StopSignal()
    try:
        outcome = add_encoder(folder / "model", chosen, config.data, folder, stop, replace=True)
    except KeyboardInterrupt:
        if not stop.number:
            raise
        outcome = Outcome(None)
    finally:
        stop.let_go()
    if outcome.manifest is None:
        print(f"stopped and saved; go on with: python -m training.run --resume {folder}", file=sys.stderr)
        return 128 + stop.number
    _log.info(f"the encoder draws {outcome.pictures:,} held-out images again at {outcome.psnr:.2f} dB")
    return 0
