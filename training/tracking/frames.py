"""The frames of a run on points in the plane: the names of their files, how they are packed, and reading them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BACKDROP = "real-points.json"  # what stays the same in all frames
_FRAME = re.compile(r"points-(\d{1,18})\.json")
_OF_BACKDROP, _OF_FRAME = {"real", "modes", "window", "side", "lines"}, {"pictures", "modes", "good", "points", "field"}
_PLACES = 1000  # of a coordinate: a thousandth is less than a pixel of the drawing
_MOST = 60  # frames of a run that a report has


def frame_name(seen: int) -> str:
    """The file of the frame after `seen` points."""
    return f"points-{seen:09d}.json"


def packed(points: NDArray[np.float32]) -> list[int]:
    """Points [n, 2] as x, y, x, y …, in thousandths; what lies far outside is cut off."""
    thousandths: list[int] = np.rint(np.clip(points, -9, 9) * _PLACES).astype(int).flatten().tolist()
    return thousandths


def frame_files(folder: Path) -> list[Path]:
    """The frames of a run, the first one first."""
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _FRAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def read(folder: Path) -> dict[str, Any] | None:
    """The backdrop of a run and, under "frames", its frames, evenly chosen where there are many; None for one without any.

    Damaged files are left out.
    """
    backdrop, files = _mapping(folder / BACKDROP, _OF_BACKDROP), frame_files(folder)
    count = min(len(files), _MOST)
    chosen = [files[round(index * (len(files) - 1) / max(count - 1, 1))] for index in range(count)]
    frames = [frame for file in chosen if (frame := _mapping(file, _OF_FRAME)) is not None]
    return None if backdrop is None or not frames else {**backdrop, "frames": frames}


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number for a page")


def _mapping(file: Path, needed: set[str]) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes(), parse_constant=_refused)
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and needed <= content.keys() else None
