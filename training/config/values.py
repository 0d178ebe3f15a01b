"""How values of settings are written: counts such as 600k, shares such as 1%, sizes such as 48x64, and names of before."""

import logging
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gan.networks.layers.base_grid import Size

_log = logging.getLogger(__name__)

FORMER_NAMES = {"label_reader": "aux_classifier_weight"}  # of settings; flags and files may still use them
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


def parse_count(value: Any) -> Any:
    """'600k' -> 600000, '1.5M' -> 1500000; anything that is not such text is left for pydantic to check."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", value.strip())):
        return int(Decimal(match[1]) * _UNITS[match[2].lower()])
    return value


def _parse_share(value: Any) -> Any:
    """'1%' -> 0.01; anything that is not such text is left for pydantic to check."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())):
        return float(Decimal(match[1]) / 100)
    return value


Count = Annotated[int, BeforeValidator(parse_count), Field(gt=0, le=10**12)]
Share = Annotated[float, BeforeValidator(_parse_share), Field(ge=0, le=1)]


def current_name(name: str, where: str) -> str:
    """The name of a setting, with a warning if `where` (a flag or a file, for people) has one that it had in earlier versions."""
    if name not in FORMER_NAMES:
        return name
    _log.warning(f"{where}: {name} is called {FORMER_NAMES[name]} now")
    return FORMER_NAMES[name]


def parse_size(resolution: str) -> Size:
    """'32' -> (32, 32), and '48x64', width and height in pixels, -> (64, 48). Raises ValueError for anything else."""
    if not re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4})?", resolution):
        raise ValueError("take one number, or width x height, such as 32 or 48x64")
    width, _, height = resolution.partition("x")
    return int(height or width), int(width)
