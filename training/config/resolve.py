"""Flags, a file and the data -> the configuration of a run."""

import logging
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan.paths import expand
from training.config import auto, files
from training.config.points import is_points
from training.config.schema import TrainingConfig
from training.config.validation import validated

if TYPE_CHECKING:
    from training.data import Survey

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """The configuration of a run, some of which --recipe auto may still have to choose."""

    config: TrainingConfig  # as given, valid
    survey: "Survey | None" = None  # of the images that auto has to choose by; None: there is nothing left to choose
    given: dict[str, Any] | None = None  # the settings in flags and file

    def complete(self, seconds_per_image: Callable[[TrainingConfig, int, int | None], float]) -> TrainingConfig:
        """Choose what is left, and log the reasons.

        `seconds_per_image` is the time that training takes on this machine, of a configuration, channels and classes. Raises
        UsageError as `resolve` does.
        """
        if self.survey is None:
            return self.config
        found, asked = self.survey, dict(self.given or {})
        kind = "points in the plane" if is_points(self.config.data) else f"images of about {found.width}x{found.height}"
        _log.info(f"--recipe auto, for {found.count:,} {kind}:")
        if found.classes is not None and "conditional" not in asked:
            _log.info(f"  its folders look like {found.classes} classes: with --conditional they can be asked for by name")
        for name, value in asked.items():
            if name in _CHOSEN:
                _log.info(f"  --{name.replace('_', '-')} {value}, as asked")
        settings: dict[str, Any] = {"recipe": "auto"}

        def seconds(settings: dict[str, Any]) -> float:
            return seconds_per_image(validated({**settings, "recipe": "auto"}, None, ()), found.channels, found.classes)

        for choice in auto.choose(found, asked, seconds, _processors()):
            settings[choice.field] = choice.value
            _log.info(f"  --{choice.field.replace('_', '-')} {choice.value}: {choice.reason}")
        return validated({**settings, **asked}, None, ())


_CHOSEN = (
    *("resolution", "width", "batch_size", "augment", "r1", "penalty_every", "aux_classifier_weight", "threads", "images"),
    *("learning_rate", "learning_rate_end", "anneal_images"),
)


def resolve(flags: dict[str, Any], file: Path | None, folder: Path | None, changeable: Collection[str]) -> Resolved:
    """Defaults, overridden by the file, overridden by flags; for a resumed run its own configuration with allowed changes.

    Raises UsageError for settings that are wrong, and DataError where auto would have to choose for data that cannot be read.
    """
    in_file = files.read_yaml(file, "--config") if file else {}
    settings = {**in_file, **flags}
    from_file = in_file.keys() - flags.keys()
    if folder is None:
        survey = _survey(settings)
        recipe = {} if survey is None else {"recipe": "auto"}
        return Resolved(validated({**recipe, **settings}, file, from_file), survey, settings)
    before = files.read_config(folder)
    after = validated({**before.model_dump(), **settings}, file, from_file)
    files.check_changes(folder, before, after, changeable)
    return Resolved(after)


def _survey(settings: dict[str, Any]) -> "Survey | None":
    """The images that --recipe auto chooses by, the default for data that is not a builtin set; None for other recipes."""
    source = settings.get("data", TrainingConfig.model_fields["data"].default)
    if not isinstance(source, str) or settings.get("recipe", "auto") != "auto":
        return None
    try:
        source = expand(source)
    except ValueError:
        return None  # validation reports it
    from training.data import survey

    found = survey(source)
    return None if found.builtin and "recipe" not in settings and not is_points(source) else found


def _processors() -> int:
    return len(os.sched_getaffinity(0))
