"""The report of a run: one HTML file to view while the run trains, and to send to others."""

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gan import atomic, errors, model_folder
from gan.manifest import Manifest
from gan.manifest_parts import Trained
from training.config.auto import UNBOUNDED
from training.config.points import is_points, things_of
from training.evaluation import deviations
from training.tracking import charts, frames, plots
from training.tracking.history import RunHistory, read_history
from training.tracking.marks import marks_of, place
from training.tracking.stats import STATS, WARNINGS, Row, is_number, last_protocol, read_rows, share_done
from training.tracking.summary import in_words
from training.tracking.verdict import verdict

REPORT, NEAREST = "report.html", "nearest.png"
REAL, GRID_LABELS = "real.png", "grid-labels.json"
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,  # names of runs, data and settings are given by people
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # the package may be upgraded while a run goes on
)
_MOST_GRIDS, _MOST_GRID_BYTES = 40, 24_000_000  # embedded; a grid of large images has megabytes
_MOST_WARNINGS = 20  # shown; the last ones


@dataclass(frozen=True)
class _Run:
    """The contents of a run's folder; what is missing or damaged is empty here."""

    name: str
    config: Row
    environment: Row
    stats: list[Row]
    warnings: list[Row]
    grids: list[tuple[int, Path]]  # images seen, file
    manifest: Manifest | None  # of the finished model
    nearest: bytes  # a PNG of the model's images that are nearest to training images
    points: dict[str, Any] | None  # of a run on points in the plane: what `frames.read` returns

    @property
    def of_points(self) -> bool:
        """Whether it is a run on points in the plane."""
        return is_points(self.config.get("data"))


def write(folder: Path, grid_every: int = 1, *, training: bool = False) -> Path:
    """Write report.html into a run's folder, from the other files there, and return its path.

    A run that is `training`, perhaps on from a finished model, is not finished.

    Of the sample grids every `grid_every`-th is shown, and at most 40; the first and the last always. What is missing or
    damaged is left out. Raises OSError if the file cannot be written.
    """
    run = _read(folder)
    finished = not training and (run.manifest is not None or (run.of_points and share_done(run.config, run.stats) == 1))
    curves = plots.curves(run.stats)
    images = (0, run.stats[-1]["pictures"] if run.stats else 0)
    shown = [charts.of_points(chart) if run.of_points else chart for chart in charts.CHARTS if chart.labels.keys() & curves.keys()]
    history = _history(folder)
    things = things_of(run.config.get("data"))
    page = render(
        REPORT,
        **_heading(run, finished, things),
        warnings=[(f"{row['pictures']:,.0f}", row.get("message", "")) for row in run.warnings[-_MOST_WARNINGS:]],
        earlier_warnings=max(0, len(run.warnings) - _MOST_WARNINGS),
        protocol=last_protocol(run.stats),
        grids=[(seen, _base64(content)) for seen, content in _choose(run.grids, grid_every)],
        words=in_words(run.stats, run.warnings, history, things),
        things=things,
        plots=[plots.plot(chart, curves, images) for chart in shown],
        other_plots=[plots.plot(chart, curves, images) for chart in charts.other_charts(curves)],
        side=plots.SIDE,
        marks=[] if history is None else marks_of(history, _exported(run.manifest), exports=not run.of_points),
        distances=charts.DISTANCES,
        place=place,
        points=_script_json(run.points) if run.points else None,
        last_frame=len(run.points["frames"]) - 1 if run.points else 0,
        measures=_measures(run.manifest),
        nearest=_base64(run.nearest),
        verdict=verdict(folder, run.manifest.metrics) if finished and run.manifest else [],
        real=_base64(_content(folder / REAL)),
        grid_labels=_names(folder / GRID_LABELS),
        tables=_tables(run),
        data=_script_json(_data(curves)),
    )
    path = folder / REPORT
    atomic.write_bytes_atomically(path, page)
    return path


def render(page: str, **values: Any) -> bytes:
    """A page from its template, as UTF-8."""
    return _TEMPLATES.get_template(page).render(values).encode("utf-8", "replace")


def _data(curves: dict[str, plots.Curve]) -> dict[str, Any]:
    """The points of all curves, for the script."""
    return {
        key: {"pictures": [round(seen) for seen in curve.images.tolist()], "values": _rounded(curve.values.tolist())}
        for key, curve in curves.items()
        if key not in ("pictures", "seconds")
    }


def _script_json(content: Any) -> Markup:
    """JSON for a script element, which only "<" could end; the name of a key is anybody's."""
    return Markup(json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))  # noqa: S704


def _history(folder: Path) -> RunHistory | None:
    """The measured checkpoints of the run; None where there are none."""
    try:
        return read_history(folder)
    except errors.GanServiceError:
        return None


def _exported(manifest: Manifest | None) -> int | None:
    """The images seen by the checkpoint whose model was exported; None where there is no model."""
    return manifest.origin.pictures_seen if manifest is not None and isinstance(manifest.origin, Trained) else None


def _read(folder: Path) -> _Run:
    try:
        manifest = model_folder.read_manifest(folder / "model")
    except errors.ModelFolderError:
        manifest = None
    grids = [(int(match[1]), path) for path in folder.iterdir() if (match := re.fullmatch(r"samples-(\d{1,18})\.png", path.name))]
    return _Run(
        name=folder.resolve().name,
        config=_mapping(folder / "config.yaml"),
        environment=_mapping(folder / "environment.json"),
        stats=_measured_alike(read_rows(folder / STATS)),
        warnings=read_rows(folder / WARNINGS),
        grids=sorted(grids),
        manifest=manifest,
        nearest=_content(folder / NEAREST),
        points=frames.read(folder),
    )


def _mapping(file: Path) -> Row:
    """A YAML or JSON file of settings, {} if it is none."""
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _names(file: Path) -> list[str]:
    """A JSON list of names, [] if it is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [str(name) for name in found] if isinstance(found, list) else []


def _measured_alike(rows: list[Row]) -> list[Row]:
    """Drop the measures of checkpoints under other protocols than the last: a curve shows one kind of number."""
    protocol = last_protocol(rows)
    return [row for row in rows if row.get("protocol", protocol) == protocol]


def _choose(grids: list[tuple[int, Path]], every: int) -> list[tuple[int, bytes]]:
    """Images seen and PNG file of the grids to embed, evenly spaced with the first and the last."""
    candidates = [grid for index, grid in enumerate(grids) if index % every == 0 or index == len(grids) - 1]
    # The grids of a run are about as large as each other.
    largest = len(_content(candidates[-1][1])) if candidates else 0
    count = min(len(candidates), _MOST_GRIDS, max(2, _MOST_GRID_BYTES // max(largest, 1)))
    last = len(candidates) - 1
    chosen = [candidates[round(index * last / max(count - 1, 1))] for index in range(count)]
    return [(seen, content) for seen, path in chosen if (content := _content(path))]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _heading(run: _Run, finished: bool, things: str) -> dict[str, Any]:
    """What the template's heading shows: which run this is, and how far it has come."""
    last = run.stats[-1] if run.stats else {}
    seen = last.get("pictures", 0)
    total = run.config.get("images")
    by_clock = is_number(run.config.get("minutes")) and total is not None and is_number(total) and total >= UNBOUNDED
    facts = [f"{seen:,.0f}" + (f" of {total:,}" if is_number(total) and not by_clock else "") + f" {things}"]
    if is_number(last.get("seconds")):
        limit = run.config.get("minutes")
        facts.append(f"{last['seconds'] / 60:,.1f}" + (f" of {limit:,g}" if is_number(limit) else "") + " minutes")
    if is_number(last.get("pictures_per_second")):
        facts.append(f"{last['pictures_per_second']:,.0f} {things}/s")
    facts.append("finished" if finished else "not finished")
    return {
        "name": run.name,
        "settings": [(key, run.config[key]) for key in ("name", "data", "recipe") if run.config.get(key) is not None],
        "model": f"{run.manifest.name}@{run.manifest.version}" if run.manifest else None,
        "progress": None if finished else share_done(run.config, run.stats),
        "facts": facts,
        "now": datetime.now().astimezone(),
    }


def _measures(manifest: Manifest | None) -> dict[str, list[tuple[str, str, str]]]:
    """The measures of the finished model by their protocol: name, generated images, real images."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for metric in manifest.metrics if manifest else []:
        found.setdefault(metric.protocol, []).append((metric.name, *deviations.format_measure(metric)))
    return found


def _tables(run: _Run) -> dict[str, dict[str, str]]:
    model = {} if run.manifest is None else {"name": run.manifest.name, "version": run.manifest.version}
    tables = {"Model": model, "Configuration": _flat(run.config), "Environment": _flat(run.environment)}
    return {title: {key: _text(value) for key, value in table.items()} for title, table in tables.items()}


def _flat(settings: Row) -> Row:
    """Flatten one level of {"a": {"b": 1}} to {"a.b": 1}."""
    flat: Row = {}
    for key, value in settings.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
