"""Weights & Biases: a run of the project WANDB_PROJECT, or with WANDB_MODE=offline files that `wandb sync` sends later."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gan.images.encoding import Images
from training.config.schema import TrainingConfig
from training.errors import UsageError

if TYPE_CHECKING:
    from wandb import Run

_PROJECT = "gan-service"  # where the environment names none
_AXIS = "pictures"  # images seen, as in stats.jsonl; its own steps may not go back, as a run does that was killed


class Wandb:
    """A run of W&B, whose client writes in a process of its own."""

    def __init__(self, run: "Run") -> None:
        self._run, self.run_id = run, run.id
        run.define_metric(_AXIS)
        run.define_metric("*", step_metric=_AXIS)

    def scalars(self, values: Mapping[str, float], seen: int) -> None:
        """Write numbers after `seen` images."""
        self._run.log({**values, _AXIS: seen})

    def image(self, name: str, image: Images, seen: int) -> None:
        """Write an image after `seen` images, uint8 [height, width, channels]."""
        import wandb

        self._run.log({name: wandb.Image(image), _AXIS: seen})

    def close(self, finished: bool) -> None:
        """Wait until all is written, or sent, and end the run there."""
        self._run.finish(exit_code=0 if finished else 1)


def open_run(config: TrainingConfig, folder: Path, run_id: str | None) -> Wandb:
    """Make a run, or go on with that of an id. Raises UsageError where W&B does not let it."""
    import wandb

    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=folder.name,
            dir=os.environ.get("WANDB_DIR", folder),
            id=run_id,
            resume="allow",
            settings=wandb.Settings(console="off"),  # standard output is the command's
        )
        settings = config.model_dump(mode="json")
        run.config.update(settings, allow_val_change=True)  # type: ignore[no-untyped-call]
    except (wandb.Error, OSError, ValueError) as error:
        raise UsageError(
            f"--log wandb: cannot begin a run ({' '.join(str(error).split())}): run `wandb login`, set WANDB_MODE=offline to send "
            "it later, or leave wandb out of --log"
        ) from error
    return Wandb(run)
