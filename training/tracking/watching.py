"""What a page that watches runs shows of each: its state, how far it is, its last figures, and its newest samples."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from gan.manifest import MANIFEST
from training.config.files import CONFIG
from training.config.points import is_points, things_of
from training.tracking import frames, run_dir, stats
from training.tracking.history import DISTANCE_TITLES
from training.tracking.plots import number_text
from training.tracking.stats import Row

State = Literal["running", "finished", "diverged", "stopped"]

_SAMPLES = re.compile(r"samples-(\d{1,18})\.png")
# Figures of a run, by their keys in stats.jsonl, where it has them
_SHARES = {"good": "good points", "precision": "precision", "recall": "recall", "spread": "diversity"}


def run_folders(runs: Path) -> dict[str, Path]:
    """The runs in a folder by their names, the one that was started or went on last first; none while there is no folder."""
    try:
        found = [path for path in runs.iterdir() if (path / CONFIG).is_file()]
    except FileNotFoundError:
        return {}
    return {path.name: path for path in sorted(found, key=_age)}


def describe(folder: Path) -> dict[str, Any]:
    """One run, for the page. What is missing or damaged is left out."""
    config, rows = _config(folder), stats.read_last_rows(folder / stats.STATS)
    warnings = stats.read_last_rows(folder / stats.WARNINGS)
    last = rows[-1] if rows else {}
    share = stats.share_done(config, rows)
    state = _state(folder, config, warnings, share)
    of_points = is_points(config.get("data"))
    backdrops = of_points and (folder / frames.BACKDROP).is_file()
    shown = frames.frame_files(folder) if backdrops else []
    return {
        "name": folder.name,
        "state": state,
        "about": [str(config[key]) for key in ("data", "recipe") if config.get(key) is not None],
        "share": None if state == "finished" else share,
        "facts": list(_facts(last, things_of(config.get("data")))),
        "figures": list(_figures(rows)),
        "warning": str(warnings[-1].get("message", "")) if warnings else None,
        "samples": _newest_samples(folder),
        "frame": shown[-1].name if shown else None,
        "backdrop": frames.BACKDROP if shown else None,
    }


def _state(folder: Path, config: Row, warnings: list[Row], share: float | None) -> State:
    if run_dir.is_locked(folder):
        return "running"
    if warnings and str(warnings[-1].get("message", "")).startswith(stats.HAS_ENDED):
        return "diverged"
    if (folder / "model" / MANIFEST).is_file() or (is_points(config.get("data")) and share == 1):
        return "finished"
    return "stopped"


def _facts(last: Row, things: str) -> Iterator[str]:
    yield f"{last.get('pictures', 0):,.0f} {things}"
    if stats.is_number(last.get("seconds")):
        yield f"{last['seconds'] / 60:,.1f} minutes"
    if stats.is_number(last.get("pictures_per_second")):
        yield f"{last['pictures_per_second']:,.0f} {things}/s"


def _figures(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """The last figures, name and value: of the last checkpoint, and the losses."""
    measured = next((row for row in reversed(rows) if "protocol" in row), {})
    for key, title in DISTANCE_TITLES.items():
        distance, real = _finite(measured.get(key)), _finite(measured.get(f"{key}_real"))
        if distance is not None:
            # Estimates without bias of a distance near 0 may lie below it.
            yield title, number_text(max(distance, 0)) + ("" if real is None else f" (real {number_text(max(real, 0))})")
    if stats.is_number(measured.get("modes")) and stats.is_number(measured.get("modes_real")):
        yield "modes covered", f"{measured['modes']:.0f} of {measured['modes_real']:.0f}"
    for key, title in _SHARES.items():
        if stats.is_number(measured.get(key)):
            yield title, f"{measured[key]:.2f}"
    for row in reversed(rows):
        losses = _finite(row.get("loss_d")), _finite(row.get("loss_g"))
        if losses[0] is not None and losses[1] is not None:
            yield "losses", f"{number_text(losses[0])}, {number_text(losses[1])}"
            return


def _newest_samples(folder: Path) -> str | None:
    found = [(int(match[1]), path.name) for path in folder.iterdir() if (match := _SAMPLES.fullmatch(path.name))]
    return max(found)[1] if found else None


def _config(folder: Path) -> Row:
    try:
        content = yaml.safe_load((folder / CONFIG).read_bytes())
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _age(folder: Path) -> float:
    """Minus the time at which the run was started or went on, which leaves the order as it is while runs train."""
    try:
        return -(folder / CONFIG).stat().st_mtime
    except OSError:
        return 0.0


def _finite(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) < 1e18 else None
