"""A run's report: one HTML file to look at while the run goes on, and to send to others."""

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import yaml

from gan import atomic, errors, model_folder
from gan.manifest import Manifest
from training.evaluation import deviations
from training.tracking import charts

REPORT, NEAREST = "report.html", "nearest.png"
_TEMPLATE = Path(__file__).with_name("report.html")
_MOST_GRIDS, _MOST_GRID_BYTES = 40, 24_000_000  # embedded; a grid of large images has megabytes
_MOST_WARNINGS = 20  # shown; the last ones

Row = dict[str, Any]


@dataclass(frozen=True)
class _Run:
    """What lies in a run's folder; whatever is missing or damaged is empty here."""

    name: str
    config: Row
    environment: Row
    stats: list[Row]
    warnings: list[Row]
    grids: list[tuple[int, Path]]  # images seen, file
    manifest: Manifest | None  # of the finished model
    nearest: bytes  # a PNG of the model's images that are nearest to training images


def write(folder: Path, grid_every: int = 1) -> Path:
    """Write report.html into a run's folder, from what lies there, and return its path.

    Of the sample grids every `grid_every`-th is shown, and at most 40; the first and the last always. What is missing or
    damaged is left out. Raises OSError if the file cannot be written.
    """
    run = _read(folder)
    curves = charts.curves(run.stats)
    grids = _choose(run.grids, grid_every)
    images = (0, run.stats[-1]["pictures"] if run.stats else 0)
    known = [charts.draw(chart, curves, images) for chart in charts.CHARTS if chart.labels.keys() & curves.keys()]
    other = [charts.draw(chart, curves, images) for chart in charts.others(curves)]
    data = {
        key: {"pictures": [round(seen) for seen in curve.images.tolist()], "values": _rounded(curve.values.tolist())}
        for key, curve in curves.items()
        if key not in ("pictures", "seconds")
    }
    parts = {
        "title": escape(run.name),
        "heading": _heading(run),
        "warnings": _warnings(run.warnings),
        "samples": _samples(grids),
        "protocol": _protocol(run.stats),
        "charts": "\n".join(known),
        "other": '<h2>Other</h2>\n<div class="charts">\n' + "\n".join(other) + "\n</div>" if other else "",
        "quality": _quality(run),
        "tables": _tables(run),
        # In a script element only "<" could end it; the name of a key is anybody's.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    # One pass, so that nothing within a part is taken for a place to fill.
    page = re.sub(r"<!--(\w+)-->", lambda place: parts[place[1]], _TEMPLATE.read_text(encoding="utf-8"))
    path = folder / REPORT
    atomic.write_bytes_atomically(path, page.encode("utf-8", "replace"))
    return path


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
        stats=_measured_alike(read_rows(folder / "stats.jsonl")),
        warnings=read_rows(folder / "warnings.jsonl"),
        grids=sorted(grids),
        manifest=manifest,
        nearest=_content(folder / NEAREST),
    )


def _mapping(file: Path) -> Row:
    """A YAML or JSON file of settings, {} if it is none."""
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_rows(file: Path) -> list[Row]:
    """The objects of a JSON lines file that say after how many images, in that order; other lines are passed over."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # a last line cut short, most likely
            continue
        if isinstance(row, dict) and type(row.get("pictures")) in (int, float) and 0 <= row["pictures"] < 1e18:
            rows.append(row)
    return sorted(rows, key=lambda row: float(row["pictures"]))


def last_protocol(rows: list[Row]) -> str | None:
    """How checkpoints were measured, the last time one was; None where none was."""
    return next((str(row["protocol"]) for row in reversed(rows) if "protocol" in row), None)


def _measured_alike(rows: list[Row]) -> list[Row]:
    """Without the measures of checkpoints that were taken in another way than the last: one curve shows one kind of number."""
    protocol = last_protocol(rows)
    return [row for row in rows if row.get("protocol", protocol) == protocol]


def _choose(grids: list[tuple[int, Path]], every: int) -> list[tuple[int, bytes]]:
    """Images seen and PNG file of the grids to embed, evenly chosen with the first and the last."""
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


def _heading(run: _Run) -> str:
    last = run.stats[-1] if run.stats else {}
    seen = last.get("pictures", 0)
    total = run.config.get("images")
    facts = [f"{seen:,.0f}" + (f" of {total:,}" if _is_number(total) else "") + " images"]
    if _is_number(last.get("seconds")):
        limit = run.config.get("minutes")
        facts.append(f"{last['seconds'] / 60:,.1f}" + (f" of {limit:,g}" if _is_number(limit) else "") + " minutes")
    if _is_number(last.get("pictures_per_second")):
        facts.append(f"{last['pictures_per_second']:,.0f} images/s")
    facts.append("finished" if run.manifest else "not finished")
    names = [
        f"{key} <b>{escape(str(run.config[key]))}</b>" for key in ("name", "data", "recipe") if run.config.get(key) is not None
    ]
    if run.manifest:
        title = escape(f"{run.manifest.name}@{run.manifest.version}")
        names.append(f'model <a href="model/"><b>{title}</b></a>')
    bar = f'<progress value="{seen}" max="{total}"></progress>' if _is_number(total) and not run.manifest else ""
    now = datetime.now().astimezone()
    return f"""<h1>{escape(run.name)}</h1>
<p>{" · ".join(names)}</p>
{bar}<p class="facts">{" · ".join(facts)}</p>
<p class="note">written <time datetime="{now.isoformat(timespec="seconds")}">{now:%Y-%m-%d %H:%M:%S %Z}</time></p>"""


def _warnings(rows: list[Row]) -> str:
    if not rows:
        return ""
    items = [
        f"<li>after {row['pictures']:,.0f} images: {escape(str(row.get('message', '')))}</li>" for row in rows[-_MOST_WARNINGS:]
    ]
    earlier = f"<p>{len(rows) - _MOST_WARNINGS:,} earlier ones are in warnings.jsonl.</p>" if len(rows) > _MOST_WARNINGS else ""
    return f'<section class="warnings" role="alert"><h2>Warnings</h2><ul>{"".join(items)}</ul>{earlier}</section>'


def _samples(grids: list[tuple[int, bytes]]) -> str:
    if not grids:
        return ""
    images = [
        f'<img data-images="{seen}"{" hidden" if index < len(grids) - 1 else ""} alt="Sample grid after {seen:,} images" '
        f'src="data:image/png;base64,{base64.b64encode(content).decode()}">'
        for index, (seen, content) in enumerate(grids)
    ]
    last = len(grids) - 1
    return f"""<section id="samples"><h3>Samples</h3>
<p>The same latent vectors each time: what moves is the generator. After <output>{grids[-1][0]:,}</output> images:</p>
<div class="grids">{"".join(images)}</div>
<div class="controls"><button type="button" aria-label="Play">▶</button>
<input type="range" min="0" max="{last}" value="{last}" aria-label="Sample grid"></div>
</section>"""


def _protocol(stats: list[Row]) -> str:
    protocol = last_protocol(stats)
    return "" if protocol is None else f'<p class="note">Distance, precision and recall by {escape(protocol)}.</p>'


def _quality(run: _Run) -> str:
    """What the finished model was measured at, and its images that come nearest to training images."""
    if run.manifest is None or not run.manifest.metrics:
        return ""
    rows = [
        f'<tr><th scope="row">{escape(metric.name)}</th><td>{"</td><td>".join(deviations.texts(metric, deviation))}</td>'
        f"<td>{escape(metric.protocol)}</td></tr>"
        for metric, deviation in deviations.figures(run.manifest.metrics)
    ]
    nearest = ""
    if run.nearest:
        nearest = (
            "<h3>Nearest training images</h3><p>In each pair a generated image, and to its right the training image nearest "
            "to it; the nearest pairs of all, so the first to look alike if images were learned by heart.</p>"
            f'<img class="nearest" alt="Generated images beside the nearest training images" '
            f'src="data:image/png;base64,{base64.b64encode(run.nearest).decode()}">'
        )
    return f"""<section class="quality"><h2>Quality of the model</h2>
<table><tr><th>measure</th><th>generated</th><th>real images</th><th>protocol</th></tr>{"".join(rows)}</table>
{nearest}</section>"""


def _tables(run: _Run) -> str:
    tables = {"Configuration": _flat(run.config), "Environment": _flat(run.environment)}
    if run.manifest:
        tables = {"Model": {"name": run.manifest.name, "version": run.manifest.version}} | tables
    return "\n".join(
        f"<section><h2>{title}</h2><table>"
        + "".join(
            f'<tr><th scope="row">{escape(str(key))}</th><td>{escape(_text(value))}</td></tr>' for key, value in table.items()
        )
        + "</table></section>"
        for title, table in tables.items()
        if table
    )


def _flat(settings: Row) -> Row:
    """One level of {"a": {"b": 1}} as {"a.b": 1}."""
    flat: Row = {}
    for key, value in settings.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e18


def _rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
