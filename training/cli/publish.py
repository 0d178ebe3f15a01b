"""The command that publishes a model on the Hugging Face Hub: `python -m training.publish`."""

import sys
from collections.abc import Sequence

from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from gan import model_folder
from gan.model_folder import CARD
from gan.paths import UserPath
from training.cli.console import log_lines
from training.cli.flags import Flags, parse, run_command
from training.export import hub

_EXAMPLES = """examples:
  python -m training.publish models/shoes hf://me/shoes --dry-run     what would be sent, and how the Hub would describe it
  python -m training.publish models/shoes hf://me/shoes --private --licence cc-by-4.0
  python -m training.publish runs/003-shoes-auto/model hf://me/shoes --revision larger

The last line that it prints is the setting by which a service fetches just this model: GAN_FETCH=hf://me/shoes@COMMIT#sha256=…
"""


class CommandLine(Flags):
    """Publish a model folder on the Hugging Face Hub, with its card, such that others can find it and services fetch it.

    The token comes from HF_TOKEN or `hf auth login`; HF_ENDPOINT names another server than huggingface.co.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    usage = "MODEL hf://OWNER/NAME [--flag value …]        (--help lists the flags)"

    model: CliPositionalArg[UserPath]
    """a model folder"""
    address: CliPositionalArg[str]
    """hf://owner/name, a repository of the Hub, which is made if there is none"""
    private: bool = False
    """make a repository that only its owner sees; one that exists stays as it is, and is refused if it is public"""
    revision: str = Field("main", min_length=1)
    """the branch, which is made if there is none"""
    licence: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """the Hub's name of the licence, such as mit or cc-by-4.0, where the model's own text does not begin with one"""
    dry_run: bool = False
    """show what would be sent, and send nothing"""


@log_lines()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, 2 for one that cannot be carried out as given, 1 where the Hub fails it."""
    given = parse(CommandLine, "training.publish", _EXAMPLES, sys.argv[1:] if arguments is None else arguments)

    def work() -> None:
        command = CommandLine.model_validate(given)
        folder = model_folder.read(command.model)
        publication = hub.Publication.prepare(folder, command.address, command.revision, command.private, command.licence)
        print(publication.describe())
        if command.dry_run:
            print(f"its {CARD}:\n\n{publication.card}\nnothing was sent; once it is: {publication.setting('COMMIT')}")
        else:
            print(publication.setting(hub.upload(publication)))

    return run_command("training.publish", work)
