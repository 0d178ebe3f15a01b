"""The training command: `python -m training.run`."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, PydanticBaseSettingsSource

from training.config import TrainingConfig

_EXAMPLES = """examples:
  python -m training.run                                       the article's recipe on Fashion-MNIST
  python -m training.run --minutes 30 --width 64               half the width: sooner to a fair picture
  python -m training.run --data ./my-pictures --name shoes     any folder of pictures
  python -m training.run --resume latest                       go on where the last run stopped
"""


class _CommandLine(TrainingConfig, BaseSettings):  # type: ignore[misc]  # both have a model_config; they merge
    """Train a generator on a folder of pictures and export it to a model folder that the service serves."""

    out: Path = Path("runs")
    """the folder that gets a folder for each run: configuration, statistics, sample grids, checkpoints, the model"""
    models: Path = Path("models")
    """the folder the finished model is copied to, if none of its name stands there"""
    resume: str | None = Field(None, min_length=1)
    """go on with a run, given by its folder, or 'latest'; --images and --minutes may be changed, nothing else"""
    config: Path | None = None
    """a YAML file of settings, such as a run's config.yaml; flags override it"""
    dry_run: bool = False
    """show the configuration, the data and the networks, and train nothing"""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags only: an environment variable that happens to be called SEED or NAME must not change a run."""
        return (sources["init_settings"],)


_ELSEWHERE = set(_CommandLine.model_fields) - set(TrainingConfig.model_fields)
_MAY_CHANGE_ON_RESUME = {"images", "minutes", "sample_every", "checkpoint_every"}


class UsageError(Exception):
    """A command that cannot be carried out as given; the message names the flag and the remedy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command; returns the exit status, 2 for a command that cannot be carried out as given."""
    given = _parse(sys.argv[1:] if arguments is None else list(arguments))
    # The libraries take seconds to import: --help and a mistyped flag should not.
    from training.data import DataError
    from training.export import ExportError
    from training.loop import DivergedError
    from training.state import CheckpointError

    try:
        return _run(given)
    except ValidationError as error:
        print("\n".join(_explain(error)), file=sys.stderr)
    except (UsageError, DataError, CheckpointError, DivergedError, ExportError) as error:
        print(f"training.run: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("training.run: stopped before training began", file=sys.stderr)
        return 128 + signal.SIGINT
    return 2


def _parse(arguments: list[str]) -> dict[str, Any]:
    """The flags that were given, as text, by field name."""
    parser = argparse.ArgumentParser(
        "python -m training.run",
        description=_CommandLine.__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    source = CliSettingsSource[argparse.ArgumentParser](
        _CommandLine,
        root_parser=parser,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
    )
    source(args=arguments)
    return dict(source())


def _run(given: dict[str, Any]) -> int:
    flags = {name: value for name, value in given.items() if name not in _ELSEWHERE}
    where = _CommandLine.model_validate({name: value for name, value in given.items() if name in _ELSEWHERE})
    folder = _find_run(where.out, where.resume) if where.resume else None
    if where.resume and folder is None:
        print(f"nothing to resume in {where.out}: starting anew")
    config = _resolve(flags, where.config, folder)

    from gan import artifact
    from training import report
    from training.data import load
    from training.environment import record
    from training.export import export_model
    from training.hardware import Hardware
    from training.loop import train
    from training.state import TrainingState, checkpoints

    try:
        hardware = Hardware.choose(config)
    except ValueError as error:
        raise UsageError(str(error)) from error
    for flag, target in (("--out", where.out), ("--models", where.models)):
        _check_writable(flag, target)
    saved = checkpoints(folder) if folder else []
    if folder and saved and _is_done(folder, saved[-1], config):
        print(f"{folder} is done; its model is in {folder / 'model'}")
        return 0
    dataset = load(config.data, config.resolution, config.conditional)
    name = config.name or f"{dataset.name}-{config.recipe}"
    if len(dataset.pictures) < config.batch_size:
        raise UsageError(
            f"--batch-size {config.batch_size} is more than the {len(dataset.pictures)} pictures there are: take fewer"
        )

    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).rstrip())
    print(f"data: {dataset.name}, {'; '.join(dataset.notes)}\nhardware: {hardware}")
    state = TrainingState.start(config, dataset.pictures.shape[1], len(dataset.classes) or None, hardware.device)
    for player, network in (("generator", state.generator), ("discriminator", state.discriminator)):
        print(f"{player}: {sum(parameter.numel() for parameter in network.parameters()):,} parameters")
    if where.dry_run:
        return 0

    if folder is None:
        folder = _new_run(where.out, f"{dataset.name}-{config.recipe}")
    environment = record(folder, hardware)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    if saved:
        state.restore(saved[-1])
        print(f"resumed from {saved[-1]}")
    print(f"run: {folder}")

    stop = _StopSignal()
    if not train(state, dataset, config, hardware, folder, stop.received):
        print(f"stopped and saved; go on with: python -m training.run --resume {folder}", file=sys.stderr)
        return 128 + stop.number

    manifest = export_model(folder / "model", name, state, dataset, config, environment)
    print(f"exported {manifest.name}@{manifest.version} to {folder / 'model'}; the report: {report.write(folder)}")
    try:
        artifact.copy(folder / "model", where.models / name)
        print(f"copied to {where.models / name}; `make serve` serves it")
    except FileExistsError:
        print(f"{where.models / name} stands already and was left alone; to serve the new model, copy {folder / 'model'} there")
    except OSError as error:
        raise UsageError(f"--models: cannot copy {folder / 'model'} to {where.models / name} ({error}); copy it by hand") from error
    return 0


def _resolve(flags: dict[str, Any], file: Path | None, folder: Path | None) -> TrainingConfig:
    """Defaults, overridden by the file, overridden by flags; for a resumed run its own configuration with few changes."""
    settings: dict[str, Any] = {}
    if file is not None:
        settings = _read_yaml(file, "--config")
    if folder is None:
        return TrainingConfig.model_validate({**settings, **flags})
    before = TrainingConfig.model_validate(_read_yaml(folder / "config.yaml", "--resume"))
    after = TrainingConfig.model_validate({**before.model_dump(), **settings, **flags})
    changes = [
        f"{field} from {getattr(before, field)} to {getattr(after, field)}"
        for field in TrainingConfig.model_fields
        if field not in _MAY_CHANGE_ON_RESUME and getattr(before, field) != getattr(after, field)
    ]
    if changes:
        raise UsageError(f"--resume {folder} would change {', '.join(changes)}: leave these flags out, or start a new run")
    return after


def _is_done(folder: Path, checkpoint: Path, config: TrainingConfig) -> bool:
    """Whether the last checkpoint is at the run's end and the exported model was made from it."""
    from gan import artifact
    from training.state import read_progress

    progress = read_progress(checkpoint)
    if not config.is_reached(progress.seen, progress.seconds):
        return False
    try:
        return artifact.read(folder / "model").manifest.origin.pictures_seen == progress.seen
    except artifact.ModelFolderError:
        return False


def _check_writable(flag: str, folder: Path) -> None:
    """Raises UsageError if a run could not write there, before hours are spent. Leaves nothing behind."""
    standing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not standing.is_dir():
        raise UsageError(f"{flag} {folder}: {standing} is not a folder; give another")
    try:
        # Asked for by trying: permission bits do not tell of read-only file systems, nor root of anything.
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        raise UsageError(f"{flag} {folder}: cannot write to {standing} ({error.strerror}); give another folder") from error


def _read_yaml(file: Path, flag: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{flag}: cannot read {file} ({error}); it must be a YAML file of settings") from error
    if not isinstance(content, dict):
        raise UsageError(f"{flag}: {file} must hold settings, one 'name: value' a line")
    return content


def _find_run(out: Path, resume: str) -> Path | None:
    """The run's folder; None if 'latest' is asked for and there is none. Raises UsageError for a folder that is no run."""
    if resume == "latest":
        return max((path.parent for path in out.glob("*/config.yaml")), default=None, key=_number)
    for folder in (Path(resume), out / resume):
        if (folder / "config.yaml").is_file():
            return folder
    raise UsageError(f"--resume {resume}: no run there (a run's folder holds config.yaml); give one of {out}, or 'latest'")


def _new_run(out: Path, title: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    folder = out / f"{max(map(_number, out.iterdir()), default=0) + 1:03d}-{title}"
    folder.mkdir()
    return folder


def _number(run: Path) -> int:
    number = run.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _explain(error: ValidationError) -> list[str]:
    return [
        f"training.run: --{str(item['loc'][0]).replace('_', '-')}: {item['msg']}, not {str(item['input'])[:80]!r}"
        for item in error.errors()
    ]


class _StopSignal:
    """Ctrl-C and SIGTERM ask the run to save and stop; a second one ends it at once."""

    def __init__(self) -> None:
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.number:
            os._exit(128 + number)
        self.number = number

    def received(self) -> bool:
        return self.number != 0


if __name__ == "__main__":
    sys.exit(main())
