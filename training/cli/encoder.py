"""The command that gives finished models an encoder and a score: `python -m training.encoder`."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic_settings import CliPositionalArg

from gan.paths import UserPath, expand
from training.cli.console import log_lines
from training.cli.flags import Flags, parse, run_command
from training.disk import writing_to
from training.encoder.settings import EncoderConfig

_EXAMPLES = """examples:
  python -m training.encoder models/shoes                      on the images that it was trained on, where they were
  python -m training.encoder models/shoes --data ./my-pictures where they are now
  python -m training.encoder models/shoes --images 2M          longer: closer pictures
  python -m training.encoder models/shoes                      the same command goes on with a run that was stopped
"""


class CommandLine(EncoderConfig, Flags):  # type: ignore[misc]  # both have a model_config; they merge
    """Train an encoder on a finished model, and make of it a score of how unusual a picture is.

    The encoder finds the latent vector that draws a picture, in one step. Both are written into the model's folder, whose images,
    name and version stay.
    """

    headings = {"images": "the encoder", "device": "the run", "data": "this command"}  # noqa: RUF012, as of Flags
    usage = "MODEL [--flag value …]        (--help lists the flags)"

    model: CliPositionalArg[UserPath]
    """a model folder"""
    data: Annotated[str, AfterValidator(expand)] | None = None
    """the images that the model was trained on, if they are not where its manifest says"""
    out: UserPath = Path("runs")
    """the folder that gets the folder of this run, with its checkpoint"""
    anew: bool = False
    """begin again, whatever was trained before"""
    replace: bool = False
    """take the new encoder even if the model has a better one; without, the better one stays"""


_COMMAND_ONLY = set(CommandLine.model_fields) - set(EncoderConfig.model_fields)


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, 2 for one that cannot be carried out as given, 1 where a disk fails it."""
    given = parse(CommandLine, "training.encoder", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)
    try:
        remedy = "take a smaller --batch-size or --width, or free some; the same command goes on from the last checkpoint"
        return run_command("training.encoder", lambda: _train(CommandLine.model_validate(given)), remedy)
    except KeyboardInterrupt:
        print("training.encoder: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 128 + signal.SIGINT


def _train(command: CommandLine) -> int:
    # The libraries take seconds to import: --help and a mistyped flag should not.
    from training.encoder.run import add_encoder

    config = EncoderConfig(**{name: getattr(command, name) for name in EncoderConfig.model_fields})
    with writing_to(command.out, "run the same command again"):
        outcome = add_encoder(command.model, config, command.data, command.out, command.anew, command.replace)
    if outcome.manifest is None:
        print("stopped and saved; the same command goes on", file=sys.stderr)
        return 128 + outcome.stopped_by
    if not outcome.written:
        return 0
    print(
        f"{command.model}: {outcome.manifest.name}@{outcome.manifest.version} has an encoder, which draws {outcome.pictures:,} "
        f"held-out images again at {outcome.psnr:.2f} dB, and a score"
    )
    return 0
