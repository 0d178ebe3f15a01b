"""Flags, a file and the data -> the configuration of a run."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gan.paths import expand
from training.config import files, recipes
from training.config.schema import TrainingConfig
from training.config.validation import validated

_log = logging.getLogger(__name__)


def resolve(flags: dict[str, Any], file: Path | None, folder: Path | None, changeable: Collection[str]) -> TrainingConfig:
    """Defaults, overridden by the file, overridden by flags; for a resumed run its own configuration with allowed changes."""
    in_file = files.read_yaml(file, "--config") if file else {}
    settings = {**in_file, **flags}
    from_file = in_file.keys() - flags.keys()
    if folder is None:
        return validated(_with_choices(settings), file, from_file)
    before = files.read_config(folder)
    after = validated({**before.model_dump(), **settings}, file, from_file)
    files.check_changes(folder, before, after, changeable)
    return after


def _with_choices(settings: dict[str, Any]) -> dict[str, Any]:
    """Add the settings that --recipe auto chooses, the default for data that is not a builtin set."""
    source = settings.get("data", TrainingConfig.model_fields["data"].default)
    if not isinstance(source, str) or settings.get("recipe", "auto") != "auto":
        return settings
    try:
        source = expand(source)
    except ValueError:
        return settings  # validation reports it
    from training.data import survey

    found = survey(source)
    if found.builtin and "recipe" not in settings:
        return settings
    _log.info(f"--recipe auto, for {found.count:,} images of about {found.width}x{found.height}:")
    chosen: dict[str, Any] = {"recipe": "auto"}
    for choice in recipes.choose(found.count, found.height, found.width, found.channels):
        flag = f"--{choice.field.replace('_', '-')}"
        if choice.field == "width" and settings.get("arch", "dcgan") != "dcgan":
            continue  # the choice is for those networks
        if choice.field in settings:
            _log.info(f"  {flag} {settings[choice.field]}, as asked")
        else:
            chosen[choice.field] = choice.value
            _log.info(f"  {flag} {choice.value}: {choice.reason}")
    return {**chosen, **settings}
