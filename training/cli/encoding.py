"""The second half of a run with --encoder-images: an encoder and a score for its model."""

import logging
import sys
from pathlib import Path

from training.config.schema import TrainingConfig
from training.encoder.run import add_encoder
from training.encoder.settings import EncoderConfig

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
    outcome = add_encoder(folder / "model", chosen, config.data, folder, replace=True)
    if outcome.manifest is None:
        print(f"stopped and saved; go on with: python -m training.run --resume {folder}", file=sys.stderr)
        return 128 + outcome.stopped_by
    _log.info(f"the encoder draws {outcome.pictures:,} held-out images again at {outcome.psnr:.2f} dB")
    return 0
