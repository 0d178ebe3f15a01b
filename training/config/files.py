"""Files of settings, and config.yaml of a run: reading, writing, and which settings may change when it is resumed."""

import logging
import re
import reprlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from gan.atomic import write_bytes_atomically
from training.config.schema import TrainingConfig
from training.config.validation import validated
from training.config.values import current_name
from training.errors import UsageError

_log = logging.getLogger(__name__)

CONFIG = "config.yaml"
PICTURES = "pictures"  # named in --change to resume with other images
# Settings that do not change the weights of a run after a given number of images, but for the rounding of other threads.
_FREE_TO_CHANGE = {
    "threads",
    "data",  # where the images are; `check_data` compares the images themselves
    "images",
    "encoder_images",
    "minutes",
    "log",
    "sample_every",
    "checkpoint_every",
    "features",
    "inception_weights",
    "measure",
    "measure_final",
    "measure_sets",
}

# Settings that decide which tensors the networks have, so that no checkpoint fits others
_NETWORKS = ("arch", "width", "blocks", "z_dim", "resolution", "conditional", "codes", "discriminator_norm")


def read_config(folder: Path) -> TrainingConfig:
    """Read the configuration of a run. Raises UsageError if its file cannot be read or is not a configuration."""
    settings = read_yaml(folder / CONFIG, "--resume")
    return validated(settings, folder / CONFIG, settings)


def write_config(folder: Path, config: TrainingConfig) -> None:
    """Write config.yaml, fully resolved."""
    write_bytes_atomically(folder / CONFIG, to_yaml(config).encode())


def to_yaml(config: TrainingConfig) -> str:
    """Format a configuration as YAML, one setting a line, in the order of --help."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_yaml(file: Path, flag: str) -> dict[str, Any]:
    """The settings in a YAML file, by their names. Raises UsageError, naming the flag that gave it."""
    try:
        content = yaml.load(file.read_bytes(), _Loader)  # noqa: S506, as safe as the class that it extends
    except OSError as error:
        raise UsageError(f"{flag}: cannot read {file} ({error.strerror}); it must be a YAML file of settings") from error
    # What pyyaml lets through of values that are none, such as the 45th of a month.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{flag}: cannot read {file} ({reason}); it must be a YAML file of settings") from error
    if not isinstance(content, dict):
        raise UsageError(f"{flag}: {file} must hold settings, one 'name: value' a line, and holds {_kind(content)}")
    # As flags are written too: batch-size for batch_size.
    settings: dict[str, Any] = {}
    for written, value in content.items():
        name = current_name(written.replace("-", "_") if isinstance(written, str) else str(written), f"{flag} {file}")
        if name in settings:
            raise UsageError(f"{flag}: {file} has {name} twice, once as {written}; leave one of them out")
        settings[name] = value
    return settings


_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+)([eE][-+][0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
}


class _Loader(yaml.SafeLoader):
    """Refuses a file that gives one setting twice, of which YAML would take the last, and reads whole numbers as flags are read.

    For YAML 1.1 0100 is 64, and 1:30 is 90.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [str(key.value).replace("-", "_") for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} is given twice: keep one of them", node.start_mark)
        return super().construct_mapping(node, deep)


# What else YAML 1.1 takes for a number stays text, which the setting's own check reads or refuses.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _kind(content: Any) -> str:
    return "nothing" if content is None else reprlib.repr(content)[:200]


def check_changes(folder: Path, before: TrainingConfig, after: TrainingConfig, allowed: Collection[str]) -> None:
    """Raises UsageError, with a diff, if a setting that shapes the weights would change and is not named in `allowed`."""
    unknown = set(allowed) - set(TrainingConfig.model_fields) - {PICTURES}
    if unknown:
        raise UsageError(f"--change {min(unknown)}: there is no such setting; name them as in {CONFIG}")
    for name in sorted(_FREE_TO_CHANGE & set(allowed)):
        about = f"; to go on with other images than before, add --change {PICTURES}" if name in ("images", "data") else ""
        _log.warning(f"--change {name}: this setting may always change and need not be named{about}")
    if shape := [name for name in _NETWORKS if name in allowed and getattr(before, name) != getattr(after, name)]:
        was = ", ".join(f"{name} {getattr(before, name)}" for name in shape)
        raise UsageError(
            f"--change {shape[0]}: the networks of {folder} have {was} and stay as they are; start a new run for others"
        )
    changes = [
        name
        for name in TrainingConfig.model_fields
        if name not in _FREE_TO_CHANGE and name not in allowed and getattr(before, name) != getattr(after, name)
    ]
    if changes:
        diff = "\n".join(f"  - {name}: {getattr(before, name)}\n  + {name}: {getattr(after, name)}" for name in changes)
        raise UsageError(
            f"--resume {folder} would change the run's configuration:\n{diff}\n"
            f"leave these flags out, start a new run, or, to go on with other settings, add --change {','.join(changes)}"
        )
